//go:build bench

package bench

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// partsVariable names where `make bench` says that the parts of the local stack are, which it has built.
const partsVariable = "DAAP_STACK_CACHE"

func part(t *testing.T, elem ...string) string {
	t.Helper()
	cache := os.Getenv(partsVariable)
	if cache == "" {
		t.Fatalf("%s is not set: run make bench", partsVariable)
	}
	return filepath.Join(append([]string{cache}, elem...)...)
}

// kubernetes is how a Kubernetes API is reached, and the etcd behind it.
type kubernetes struct{ Host, Token, CAFile, Etcd string }

func (k kubernetes) access() *rest.Config {
	return &rest.Config{
		Host: k.Host, BearerToken: k.Token, TLSClientConfig: rest.TLSClientConfig{CAFile: k.CAFile},
	}
}

// client is without any limit of its own, and is not part of what is measured.
func (k kubernetes) client(t *testing.T) client.Client {
	t.Helper()
	access := k.access()
	access.QPS = -1
	made, err := client.New(access, client.Options{Scheme: scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	made, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func newScheme() (*runtime.Scheme, error) {
	made := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(made); err != nil {
		return nil, err
	}
	return made, cnpgv1.AddToScheme(made)
}

// startKubernetes starts a real API server on a real etcd, with CloudNativePG's kinds and nothing behind them: no node,
// no controller, no operator. Both end with the test.
func startKubernetes(t *testing.T) kubernetes {
	t.Helper()
	dir, program := t.TempDir(), part(t, "bin", "kubernetes")
	etcd, peers, address := freeAddress(t), freeAddress(t), freeAddress(t)
	token := rand.Text()
	write(t, filepath.Join(dir, "tokens"), []byte(token+",bench,bench,system:masters\n"))
	key := serviceAccountKey(t)
	write(t, filepath.Join(dir, "sa.key"), key)
	startProgram(t, "etcd", program, "etcd", "--data-dir", filepath.Join(dir, "etcd"),
		"--unsafe-no-fsync", // it is thrown away
		"--quota-backend-bytes=8589934592", "--log-level=error",
		"--listen-client-urls=http://"+etcd, "--advertise-client-urls=http://"+etcd, "--listen-peer-urls=http://"+peers)
	startProgram(t, "kube-apiserver", program, "kube-apiserver",
		"--etcd-servers=http://"+etcd, "--bind-address=127.0.0.1", "--secure-port="+address[strings.LastIndex(address, ":")+1:],
		"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", "--cert-dir="+filepath.Join(dir, "certs"),
		"--token-auth-file="+filepath.Join(dir, "tokens"), "--authorization-mode=AlwaysAllow",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/24",
		"--service-account-key-file="+filepath.Join(dir, "sa.key"),
		"--service-account-signing-key-file="+filepath.Join(dir, "sa.key"),
		"--disable-admission-plugins=ServiceAccount", // nobody makes accounts in the namespaces
		"--enable-priority-and-fairness=false", "--v=0")
	k := kubernetes{Host: "https://" + address, Token: token, CAFile: filepath.Join(dir, "certs", "apiserver.crt"), Etcd: "http://" + etcd}
	await(t, time.Minute, "the API server", func(ctx context.Context) error {
		access, err := rest.HTTPClientFor(k.access())
		if err != nil {
			return err
		}
		response, err := access.Get(k.Host + "/readyz")
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != 200 {
			return fmt.Errorf("it answers %s", response.Status)
		}
		return nil
	})
	k.installCNPG(t)
	return k
}

// installCNPG makes CloudNativePG's kinds known, and waits until the API serves them.
func (k kubernetes) installCNPG(t *testing.T) {
	t.Helper()
	var manifest []byte
	for _, name := range []string{"operator.yaml", "plugin.yaml"} {
		content, err := os.ReadFile(part(t, "manifests", name))
		if err != nil {
			t.Fatal(err)
		}
		manifest = slices.Concat(manifest, []byte("\n---\n"), content)
	}
	api, reader := k.client(t), yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 1<<16)
	var kinds []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		if err := reader.Decode(&object.Object); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if object.GetKind() != "CustomResourceDefinition" {
			continue
		}
		if err := api.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, object)
	}
	await(t, time.Minute, "CloudNativePG's kinds", func(ctx context.Context) error {
		for _, kind := range kinds {
			if err := api.Get(ctx, client.ObjectKeyFromObject(kind), kind); err != nil {
				return err
			}
			conditions, _, _ := unstructured.NestedSlice(kind.Object, "status", "conditions")
			if !slices.ContainsFunc(conditions, func(c any) bool {
				condition, ok := c.(map[string]any)
				return ok && condition["type"] == "Established" && condition["status"] == "True"
			}) {
				return fmt.Errorf("%s is not served", kind.GetName())
			}
		}
		return api.List(ctx, &cnpgv1.ClusterList{})
	})
}

// supervise runs a program until its standard input ends, which it does when the test process does, however that comes
// about.
const supervise = `
"$@" < /dev/null &
program=$!
read -r _
kill -KILL $program
wait $program
`

// startProgram runs a program until the test ends.
func startProgram(t *testing.T, name string, command ...string) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	//nolint:noctx // it ends with its standard input
	cmd := exec.Command("/bin/sh", append([]string{"-c", supervise, "sh"}, command...)...)
	cmd.Stdout, cmd.Stderr = log, log
	stop, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = stop.Close()
		_ = cmd.Wait() // it was killed
		_ = log.Close()
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s said last: %s", name, said[max(0, len(said)-2000):])
		}
	})
}

// freeAddress is one on loopback that nobody listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func serviceAccountKey(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// await looks again and again, and fails the test where it does not come about in time.
func await(t *testing.T, within time.Duration, what string, look func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for poll := time.NewTicker(20 * time.Millisecond); ; {
		err := look(ctx)
		if err == nil {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v after %s", what, err, within)
		}
	}
}
