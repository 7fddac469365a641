package main

import (
	"fmt"
	"os"
)

// writeConfigs writes the configuration files of the node's components.
func writeConfigs(l layout) error {
	files := map[string]string{
		"kubelet.yaml":    kubeletConfig(l),
		"audit.yaml":      auditPolicy(),
		"containerd.toml": containerdConfig(l),
		"Corefile":        corefile(l),
		"resolv.conf":     "nameserver " + nodeIP + "\n",
		"cni/10-pods.conflist": fmt.Sprintf(`{"cniVersion":"0.4.0","name":"pods","plugins":[
 {"type":"ptp","ipMasq":true,"mtu":1460,"ipam":{"type":"host-local",
  "ranges":[[{"subnet":"%s"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
`, podNet),
	}
	if err := os.MkdirAll(l.config("cni"), 0o700); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(l.config(name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}

// kubeletConfig: evictions are all but off and image collection is off, for a
// developer's disk is often nearly full and the images cannot be pulled again.
func kubeletConfig(l layout) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[1]s}
authorization: {mode: Webhook}
address: %[2]s
tlsCertFile: %[3]s
tlsPrivateKeyFile: %[4]s
cgroupDriver: cgroupfs
cgroupRoot: /%[5]s
failCgroupV1: false
failSwapOn: false
clusterDNS: [%[6]s]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://%[7]s
resolvConf: %[8]s
podLogsDir: %[9]s
volumePluginDir: %[10]s
evictionHard: {memory.available: 100Mi, nodefs.available: 1%%, imagefs.available: 1%%}
imageGCHighThresholdPercent: 100
enforceNodeAllocatable: []
serializeImagePulls: false
maxPods: 240
`, l.pki("ca.crt"), nodeIP, l.pki("kubelet.crt"), l.pki("kubelet.key"), cgroupName, dnsIP,
		l.containerdSocket(), l.config("resolv.conf"), l.in("var-log", "pods"), l.in("kubelet", "volume-plugins"))
}

// containerdConfig: restrict_oom_score_adj, because a machine may lack the
// capability to lower the score.
func containerdConfig(l layout) string {
	return fmt.Sprintf(`version = 2
root = %[1]q
state = %[2]q
oom_score = 0
[grpc]
address = %[3]q
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = %[4]q
restrict_oom_score_adj = true
stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = %[5]q
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "/usr/sbin/runc"
[plugins."io.containerd.internal.v1.opt"]
path = %[6]q
`, l.in("containerd", "root"), l.in("containerd", "run"), l.containerdSocket(), imagePause,
		l.config("cni"), l.in("containerd", "opt"))
}

func corefile(l layout) string {
	return fmt.Sprintf(`.:53 {
    bind %s
    ready %s:8181
    errors
    cache 5
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %s
    }
}
`, nodeIP, nodeIP, l.kubeconfig())
}
