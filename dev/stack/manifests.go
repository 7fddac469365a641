package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// baseManifest is what the cluster has before anything is installed in it.
func baseManifest() string {
	return fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: %[2]s
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: stack.daap.io/local
reclaimPolicy: Delete
volumeBindingMode: Immediate
allowVolumeExpansion: true
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  clusterIP: %[3]s
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kube-dns-1
  namespace: kube-system
  labels: {kubernetes.io/service-name: kube-dns}
addressType: IPv4
endpoints:
- addresses: [%[4]s]
  conditions: {ready: true}
ports:
- {name: dns, port: 53, protocol: UDP}
- {name: dns-tcp, port: 53, protocol: TCP}
`, operatorNS, storageName, dnsIP, nodeIP)
}

// imageLine matches an image of the project from whatever registry.
var imageLine = regexp.MustCompile(`(image|value): \S+/cloudnative-pg/\S+`)

// operatorManifest adapts the operator's own manifest: the image is a local
// one, there is nobody to elect a leader against, and neither the limit of a
// tenth of a processor nor slow probes hold up a start. Certificates last for
// ten years in place of 90 days, and are renewed 90 days before their end.
func operatorManifest(original string) string {
	text := imageLine.ReplaceAllString(original, "$1: "+imageOperator)
	return strings.NewReplacer(
		"imagePullPolicy: Always", "imagePullPolicy: IfNotPresent",
		"        - --leader-elect\n", "",
		"          limits:\n            cpu: 100m\n            memory: 200Mi\n",
		"          limits:\n            memory: 1Gi\n",
		"          failureThreshold: 6\n", "          failureThreshold: 120\n",
		"          periodSeconds: 5\n", "          periodSeconds: 1\n",
		"        - name: OPERATOR_NAMESPACE\n", `        - name: CERTIFICATE_DURATION
          value: "3650"
        - name: EXPIRING_CHECK_THRESHOLD
          value: "90"
        - name: OPERATOR_NAMESPACE
`,
	).Replace(text)
}

var (
	documentBreak = regexp.MustCompile(`(?m)^---\s*$`)
	certManager   = regexp.MustCompile(`(?m)^apiVersion: cert-manager\.io/`)
	sidecarSecret = regexp.MustCompile(`(?m)^  SIDECAR_IMAGE: \|\n(?:    .*\n)+`)
)

// pluginManifest adapts the manifest of the backup plugin: local images, and
// TLS secrets of our own in place of cert-manager's.
func pluginManifest(l layout, original string) (string, error) {
	text := sidecarSecret.ReplaceAllString(original,
		"  SIDECAR_IMAGE: "+base64.StdEncoding.EncodeToString([]byte(imageSidecar))+"\n")
	text = imageLine.ReplaceAllString(text, "$1: "+imagePlugin)
	text = strings.NewReplacer(
		"        - --leader-elect\n", "",
		"          initialDelaySeconds: 10\n          periodSeconds: 10\n", "          periodSeconds: 1\n",
	).Replace(text)
	var kept []string
	for _, document := range documentBreak.Split(text, -1) {
		if !certManager.MatchString(document) {
			kept = append(kept, strings.TrimSpace(document))
		}
	}
	for _, name := range []string{"barman-cloud-server-tls", "barman-cloud-client-tls"} {
		secret, err := tlsSecret(l, name)
		if err != nil {
			return "", err
		}
		kept = append(kept, secret)
	}
	return strings.Join(kept, "\n---\n") + "\n", nil
}

func tlsSecret(l layout, name string) (string, error) {
	cert, err := os.ReadFile(l.pki(name + ".crt"))
	if err != nil {
		return "", err
	}
	key, err := os.ReadFile(l.pki(name + ".key"))
	if err != nil {
		return "", err
	}
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf(`apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {name: %s, namespace: %s}
data:
  tls.crt: %s
  tls.key: %s`, name, operatorNS, text(cert), text(key)), nil
}

// Names of the throw-away namespace and the manifests of the network check.
const checkNS = "stack-check"

func checkPods() string {
	const pod = `apiVersion: v1
kind: Pod
metadata: {name: %[2]s, namespace: %[1]s, labels: {role: %[2]s}}
spec:
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  containers:
  - name: main
    image: %[3]s
    imagePullPolicy: IfNotPresent
    args: [%[4]s]
`
	return fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", checkNS) + "---\n" +
		fmt.Sprintf(pod, checkNS, "server", imagePause, `serve, ":8080"`) + "---\n" +
		fmt.Sprintf(pod, checkNS, "client", imagePause, "wait")
}

func checkPolicy() string {
	return fmt.Sprintf(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: %s}
spec:
  podSelector: {matchLabels: {role: server}}
  policyTypes: [Ingress]
`, checkNS)
}

// badCluster is a Cluster that only a working webhook refuses: the API's own
// schema has nothing against it.
const badCluster = `apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: refused, namespace: default}
spec:
  instances: 1
  imageName: localhost/postgresql:latest
  storage: {size: not-a-size}
`
