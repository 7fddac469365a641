package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
)

// accountsNS is the namespace that deploy/kubernetes makes for DAAP itself.
const accountsNS = "daap"

// accounts are the ServiceAccounts of DAAP's processes by the names of their parts.
var accounts = map[string]string{"api": "daap-api", "worker": "daap-worker"}

// accountKubeconfig leads a part of DAAP to Kubernetes with the rights of its own account.
func (l layout) accountKubeconfig(part string) string { return l.in(part + ".kubeconfig") }

// giveAccounts makes the accounts, with the rights that deploy/kubernetes gives them, and a kubeconfig of each.
func (s *supervisor) giveAccounts(ctx context.Context) error {
	manifests := filepath.Join(s.repo, "deploy", "kubernetes")
	if _, err := s.kubectl(ctx, "", "apply", "--server-side", "--force-conflicts", "-f", manifests); err != nil {
		return err
	}
	for part, account := range accounts {
		if err := s.giveAccount(ctx, part, account); err != nil {
			return err
		}
	}
	return nil
}

func (s *supervisor) giveAccount(ctx context.Context, part, account string) error {
	if err := s.apply(ctx, tokenSecret(account)); err != nil {
		return err
	}
	var token []byte
	err := s.until(ctx, func() error {
		encoded, err := s.kubectl(ctx, "", "get", "secret", "-n", accountsNS, account+"-token",
			"-o", "jsonpath={.data.token}")
		if err != nil {
			return err
		}
		if token, err = base64.StdEncoding.DecodeString(encoded); err == nil && len(token) == 0 {
			err = fmt.Errorf("account %s has no token yet", account)
		}
		return err
	})
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(s.pki("ca.crt"))
	if err != nil {
		return err
	}
	// Renamed into its place: a part that starts at this moment reads one or the other.
	path := s.accountKubeconfig(part)
	if err := os.WriteFile(path+".tmp", []byte(kubeconfig(ca, "token: "+string(token))), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// tokenSecret has Kubernetes make a token of the account that lasts as long as the Secret.
func tokenSecret(account string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata:
  name: %[1]s-token
  namespace: %[2]s
  annotations: {kubernetes.io/service-account.name: %[1]s}
`, account, accountsNS)
}

// withAccount is DAAP's environment for a part, which goes to Kubernetes with its own account; the environment is for
// people too, who go as the admin.
func (s *supervisor) withAccount(part string) func() ([]string, error) {
	return func() ([]string, error) {
		env, err := s.secretEnv("daap.env")
		return append(env, "KUBECONFIG="+s.accountKubeconfig(part)), err
	}
}

// auditPolicy has the API server note what DAAP's own accounts ask for, and who deletes namespaces, with which the
// rights in them go; nothing of what is in a request.
func auditPolicy() string {
	return fmt.Sprintf(`apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: Metadata
  users: ["system:serviceaccount:%[1]s:%[2]s", "system:serviceaccount:%[1]s:%[3]s"]
- level: Metadata
  verbs: [delete]
  resources: [{group: "", resources: [namespaces]}]
- level: None
`, accountsNS, accounts["api"], accounts["worker"])
}
