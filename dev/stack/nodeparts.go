package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// nodeParts are the components of Kubernetes; they run inside the node.
func (s *supervisor) nodeParts() []*part {
	k := func(component string, args ...string) []string {
		return append([]string{s.bin("kubernetes"), component}, args...)
	}
	return []*part{
		{
			name: "etcd", inNode: true,
			// Without fsync: the stack is thrown away, the machine's disk is shared.
			command: k("etcd", "--data-dir", s.in("etcd"), "--unsafe-no-fsync", "--log-level=warn",
				"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
				"--listen-peer-urls=http://127.0.0.1:2380"),
		},
		{
			name: "apiserver", inNode: true, needs: []string{"etcd"}, address: nodeIP + ":6443",
			command: k("kube-apiserver", s.apiserverFlags()...),
			ready:   s.kubectlReady("get", "--raw", "/readyz"),
		},
		{
			name: "controllers", inNode: true, needs: []string{"apiserver"},
			command: k("kube-controller-manager", append(s.componentFlags("kube-controller-manager"),
				"--service-account-private-key-file="+s.pki("sa.key"), "--root-ca-file="+s.pki("ca.crt"),
				"--cluster-signing-cert-file="+s.pki("ca.crt"), "--cluster-signing-key-file="+s.pki("ca.key"),
				"--use-service-account-credentials=true", "--allocate-node-cidrs=true", "--cluster-cidr="+clusterNet)...),
			ready: s.kubectlReady("get", "serviceaccount", "default", "-n", "default"),
		},
		{
			name: "scheduler", inNode: true, needs: []string{"apiserver"},
			command: k("kube-scheduler", s.componentFlags("kube-scheduler")...),
		},
		{
			name: "containerd", inNode: true, prepare: s.freshNetworkState,
			command: []string{"containerd", "--config", s.config("containerd.toml"), "--log-level", "warn"},
			ready:   func(ctx context.Context) error { return dial(ctx, "unix", s.containerdSocket()) },
		},
		// The sandbox and the operators first: kubelet would retry without them.
		{name: "images", needs: []string{"containerd"}, prepare: s.importImages(archiveCore)},
		{name: "operand", needs: []string{"images"}, prepare: s.importImages(archiveOperand)},
		{
			name: "kubelet", inNode: true, needs: []string{"apiserver", "images"}, address: nodeIP + ":10250",
			command: k("kubelet", "--config="+s.config("kubelet.yaml"), "--kubeconfig="+s.component("kubelet"),
				"--hostname-override="+nodeName, "--node-ip="+nodeIP, "--root-dir="+s.in("kubelet")),
			ready: s.nodeReady,
		},
		{
			name: "kube-proxy", inNode: true, needs: []string{"apiserver"},
			command: k("kube-proxy", "--kubeconfig="+s.component("kube-proxy"), "--hostname-override="+nodeName,
				"--cluster-cidr="+clusterNet, "--proxy-mode=iptables",
				// The limits of connection tracking belong to the machine.
				"--conntrack-max-per-core=0", "--conntrack-min=0",
				"--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0"),
			ready: httpReady("http://" + nodeIP + ":10256/healthz"),
		},
		{
			name: "coredns", inNode: true, needs: []string{"apiserver"}, address: dnsIP + ":53",
			command: []string{s.bin("coredns"), "-conf", s.config("Corefile")},
			ready:   httpReady("http://" + nodeIP + ":8181/ready"),
		},
		{
			// It gives up, and with it every policy, when the node is not known.
			name: "kube-router", inNode: true, needs: []string{"kubelet"},
			command: []string{
				s.bin("kube-router"), "--kubeconfig=" + s.kubeconfig(), "--run-firewall=true",
				"--run-router=false", "--run-service-proxy=false", "--hostname-override=" + nodeName,
				"--service-cluster-ip-range=" + serviceNet, "--metrics-port=20241",
			},
			ready: httpReady("http://" + nodeIP + ":20244/healthz"),
		},
		{
			name: "provisioner", inNode: true, needs: []string{"apiserver"},
			command: k("provisioner", "--kubeconfig="+s.kubeconfig(), "--root="+s.in("volumes"), "--node="+nodeName),
		},
	}
}

func (s *supervisor) apiserverFlags() []string {
	return []string{
		"--etcd-servers=http://127.0.0.1:2379", "--secure-port=6443", "--advertise-address=" + nodeIP,
		"--client-ca-file=" + s.pki("ca.crt"),
		"--tls-cert-file=" + s.pki("apiserver.crt"), "--tls-private-key-file=" + s.pki("apiserver.key"),
		"--service-account-key-file=" + s.pki("sa.pub"), "--service-account-signing-key-file=" + s.pki("sa.key"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=" + serviceNet,
		"--authorization-mode=Node,RBAC", "--allow-privileged=true",
		"--kubelet-client-certificate=" + s.pki("admin.crt"), "--kubelet-client-key=" + s.pki("admin.key"),
		// By address: nothing resolves the node's name, and backups run by exec.
		"--kubelet-preferred-address-types=InternalIP",
		"--audit-policy-file=" + s.config("audit.yaml"), "--audit-log-path=" + s.in("audit", "requests.log"),
		"--audit-log-maxsize=100", "--audit-log-maxbackup=2", // MB
	}
}

func (s *supervisor) componentFlags(name string) []string {
	path := s.component(name)
	return []string{
		"--kubeconfig=" + path, "--authentication-kubeconfig=" + path, "--authorization-kubeconfig=" + path,
		"--leader-elect=false",
	}
}

// freshNetworkState forgets the addresses of pods that ended with the node
// that they ran on.
func (s *supervisor) freshNetworkState(context.Context) error {
	return os.RemoveAll(s.in("var-lib", "networks"))
}

// importImages gives the node the images of an archive, once.
func (s *supervisor) importImages(archive string) func(context.Context) error {
	return func(ctx context.Context) error {
		stamp := s.in("containerd", archive+".imported")
		if exists(stamp) {
			return nil
		}
		out, err := exec.CommandContext(ctx, "ctr", "--address", s.containerdSocket(), "-n", "k8s.io",
			"images", "import", s.archive(archive)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("import images: %w: %s", err, out)
		}
		return os.WriteFile(stamp, nil, 0o600)
	}
}

func (s *supervisor) nodeReady(ctx context.Context) error {
	out, err := s.kubectl(ctx, "", "get", "node", nodeName, "-o",
		`jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	if err != nil {
		return err
	}
	if out != "True" {
		return fmt.Errorf("the node is not ready yet")
	}
	return nil
}

// kubectl runs kubectl against the stack and returns what it prints.
func (s *supervisor) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.bin("kubectl"), args...)
	cmd.Env = partEnv("KUBECONFIG="+s.kubeconfig(), "HOME="+s.state)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

func (s *supervisor) kubectlReady(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := s.kubectl(ctx, "", args...)
		return err
	}
}

// httpReady asks a health endpoint.
func httpReady(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		client := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12},
		}}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", filepath.Base(url), response.Status)
		}
		return nil
	}
}

func dial(ctx context.Context, network, address string) error {
	connection, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	return connection.Close()
}
