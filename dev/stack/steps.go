package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// clusterSteps install what runs on the cluster and prove that it works.
func (s *supervisor) clusterSteps() []*part {
	return []*part{
		{name: "base", needs: []string{"apiserver"}, prepare: func(ctx context.Context) error {
			return s.apply(ctx, baseManifest())
		}},
		{name: "accounts", needs: []string{"base", "controllers"}, prepare: s.giveAccounts},
		{name: "operator", needs: []string{"base", "controllers"}, prepare: s.installOperator},
		{name: "plugin", needs: []string{"base", "controllers"}, prepare: s.installPlugin},
		{name: "dns check", needs: []string{"base", "coredns", "kube-proxy"}, prepare: s.checkDNS},
		{name: "policy check", needs: []string{
			"controllers", "scheduler", "kubelet", "kube-router", "base",
		}, prepare: s.checkNetworkPolicy},
		{name: "checks", needs: []string{
			"dns check", "policy check", "operator", "plugin", "kubelet", "scheduler", "operand", "provisioner",
		}, prepare: s.checkCluster},
	}
}

func (s *supervisor) apply(ctx context.Context, manifest string) error {
	_, err := s.kubectl(ctx, manifest, "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

func (s *supervisor) installOperator(ctx context.Context) error {
	original, err := os.ReadFile(s.manifest("operator.yaml"))
	if err != nil {
		return err
	}
	return s.apply(ctx, operatorManifest(string(original)))
}

func (s *supervisor) installPlugin(ctx context.Context) error {
	original, err := os.ReadFile(s.manifest("plugin.yaml"))
	if err != nil {
		return err
	}
	manifest, err := pluginManifest(s.layout, string(original))
	if err != nil {
		return err
	}
	return s.apply(ctx, manifest)
}

// checkDNS resolves a name over the address that pods ask. The first questions
// may be asked before kube-proxy's rules stand.
func (s *supervisor) checkDNS(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return s.until(ctx, func() error { return askDNS(ctx) })
}

func askDNS(ctx context.Context) error {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, dnsIP+":53")
	}}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	addresses, err := resolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
	if err != nil {
		return err
	}
	if len(addresses) != 1 || addresses[0] != serviceIP {
		return fmt.Errorf("the cluster's DNS answers %v", addresses)
	}
	return nil
}

// checkNetworkPolicy proves that a connection which was possible is refused
// once a policy denies it: a policy engine that is not at work looks healthy.
func (s *supervisor) checkNetworkPolicy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	defer func() {
		away, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, _ = s.kubectl(away, "", "delete", "namespace", checkNS, "--wait=false", "--ignore-not-found")
	}()
	if err := s.until(ctx, func() error { return s.apply(ctx, checkPods()) }); err != nil {
		return err
	}
	if _, err := s.kubectl(ctx, "", "wait", "-n", checkNS, "--for=condition=Ready", "pod/server", "pod/client",
		"--timeout=50s"); err != nil {
		return err
	}
	address, err := s.kubectl(ctx, "", "get", "pod", "-n", checkNS, "server", "-o", "jsonpath={.status.podIP}")
	if err != nil {
		return err
	}
	connect := func() error {
		_, err := s.kubectl(ctx, "", "exec", "-n", checkNS, "client", "--", "/pause", "dial", address+":8080")
		return err
	}
	if err := s.until(ctx, connect); err != nil {
		return fmt.Errorf("a pod cannot reach another: %w", err)
	}
	if err := s.apply(ctx, checkPolicy()); err != nil {
		return err
	}
	return s.until(ctx, func() error {
		if connect() == nil {
			return errors.New("a NetworkPolicy has no effect")
		}
		return nil
	})
}

// checkCluster waits for the operator and the plugin and asks the webhooks.
func (s *supervisor) checkCluster(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if _, err := s.kubectl(ctx, "", "wait", "-n", operatorNS, "--for=condition=Available", "--timeout=110s",
		"deployment/cnpg-controller-manager", "deployment/barman-cloud"); err != nil {
		return err
	}
	return s.until(ctx, func() error {
		_, err := s.kubectl(ctx, badCluster, "create", "--dry-run=server", "-f", "-")
		if err == nil {
			return errors.New("the operator's webhook took a bad Cluster")
		}
		if !strings.Contains(err.Error(), "Can't use 'latest'") {
			return fmt.Errorf("the operator's webhook does not answer: %w", err)
		}
		return nil
	})
}

// until tries again until it works or the context's time is up; the error is
// then that of the last try.
func (s *supervisor) until(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// makeBucket makes the buckets that backups and heads of the audit log go to.
func (s *supervisor) makeBucket(ctx context.Context) error {
	env, err := s.secretEnv("minio.env")
	if err != nil {
		return err
	}
	user, password := value(env, "MINIO_ROOT_USER"), value(env, "MINIO_ROOT_PASSWORD")
	for name, locks := range map[string]bool{bucket: false, auditBucket: true} {
		if err := createBucket(ctx, "http://"+addressMinIO, name, locks, user, password); err != nil {
			return err
		}
	}
	return nil
}

// value finds a variable in an environment.
func value(env []string, name string) string {
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
