package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// keyPair is a certificate with its key, ready for PEM.
type keyPair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// identity is what one certificate of the stack says.
type identity struct {
	file         string
	name         string
	organization string
	names        []string
	addresses    []string
	server       bool
	client       bool
}

// identities are the certificates that the cluster's own CA signs.
func identities() []identity {
	return []identity{
		{
			file: "apiserver", name: "kube-apiserver", server: true,
			names: []string{
				"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local",
			},
			addresses: []string{nodeIP, serviceIP, "127.0.0.1"},
		},
		{
			file: "kubelet", name: "system:node:" + nodeName, organization: "system:nodes",
			client: true, server: true, names: []string{nodeName}, addresses: []string{nodeIP},
		},
		{file: "admin", name: "admin", organization: "system:masters", client: true},
		{file: "kube-controller-manager", name: "system:kube-controller-manager", client: true},
		{file: "kube-scheduler", name: "system:kube-scheduler", client: true},
		{file: "kube-proxy", name: "system:kube-proxy", client: true},
	}
}

// writePKI makes the CA, the certificates and the kubeconfigs of a new stack;
// a stack that has them keeps them.
func writePKI(l layout) error {
	if _, err := os.Stat(l.kubeconfig()); err == nil {
		return nil
	}
	ca, err := newCA("daap-local-stack")
	if err != nil {
		return err
	}
	if err := ca.write(l.in("pki"), "ca"); err != nil {
		return err
	}
	for _, id := range identities() {
		pair, err := ca.sign(id)
		if err != nil {
			return err
		}
		if err := pair.write(l.in("pki"), id.file); err != nil {
			return err
		}
		if !id.client {
			continue
		}
		if err := writeKubeconfig(l.component(id.file), ca, pair); err != nil {
			return err
		}
	}
	if err := writeServiceAccountKey(l); err != nil {
		return err
	}
	if err := writePluginTLS(l); err != nil {
		return err
	}
	// Last, because its presence says that all of the above is there.
	return os.Rename(l.component("admin"), l.kubeconfig())
}

// writePluginTLS makes the two self-signed pairs by which the operator and the
// backup plugin know each other (elsewhere cert-manager makes them).
func writePluginTLS(l layout) error {
	for _, id := range []identity{
		{file: "barman-cloud-server-tls", name: "barman-cloud", names: []string{"barman-cloud"}, server: true},
		{file: "barman-cloud-client-tls", name: "barman-cloud-client", client: true},
	} {
		pair, err := selfSigned(id)
		if err != nil {
			return err
		}
		if err := pair.write(l.in("pki"), id.file); err != nil {
			return err
		}
	}
	return nil
}

func newCA(name string) (keyPair, error) {
	template, err := certificate(identity{name: name})
	if err != nil {
		return keyPair{}, err
	}
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	return issue(template, nil)
}

func selfSigned(id identity) (keyPair, error) {
	template, err := certificate(id)
	if err != nil {
		return keyPair{}, err
	}
	return issue(template, nil)
}

func (ca keyPair) sign(id identity) (keyPair, error) {
	template, err := certificate(id)
	if err != nil {
		return keyPair{}, err
	}
	return issue(template, &ca)
}

func certificate(id identity) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: id.name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		DNSNames:              id.names,
	}
	if id.organization != "" {
		template.Subject.Organization = []string{id.organization}
	}
	for _, address := range id.addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(address))
	}
	if id.server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if id.client {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	return template, nil
}

// issue signs the template with the CA, or with its own key when there is none.
func issue(template *x509.Certificate, ca *keyPair) (keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return keyPair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return keyPair{}, err
	}
	return keyPair{cert: cert, key: key}, nil
}

func (p keyPair) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func (p keyPair) write(dir, name string) error {
	key, err := keyPEM(p.key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".key"), key, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".crt"), p.certPEM(), 0o600)
}

// writeServiceAccountKey makes the key that signs the tokens of pods.
func writeServiceAccountKey(l layout) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := keyPEM(key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if err := os.WriteFile(l.pki("sa.pub"), public, 0o600); err != nil {
		return err
	}
	return os.WriteFile(l.pki("sa.key"), private, 0o600)
}

func writeKubeconfig(path string, ca, pair keyPair) error {
	key, err := keyPEM(pair.key)
	if err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString
	content := kubeconfig(ca.certPEM(), "client-certificate-data: "+text(pair.certPEM())+
		"\n    client-key-data: "+text(key))
	return os.WriteFile(path, []byte(content), 0o600)
}

// kubeconfig leads to the stack's API server; user is how it is told who asks, in lines of four spaces.
func kubeconfig(ca []byte, user string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: daap
contexts:
- name: daap
  context: {cluster: daap, user: daap}
clusters:
- name: daap
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: daap
  user:
    %s
`, apiserverURL, base64.StdEncoding.EncodeToString(ca), user)
}
