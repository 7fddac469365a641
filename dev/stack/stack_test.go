package main

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPinsHashFollowsTheFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hash := func() string {
		t.Helper()
		sum, err := pinsHash(dir)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	write("a/go.mod", "module a")
	first := hash()
	if first != hash() {
		t.Error("the hash of the same files differs")
	}
	write("a/go.mod", "module b")
	second := hash()
	write("b/go.mod", "")
	if third := hash(); first == second || second == third || len(third) != 12 {
		t.Errorf("hashes %s, %s, %s: want three of twelve digits", first, second, third)
	}
}

func TestLongestBuildBeginsFirst(t *testing.T) {
	t.Parallel()
	parts := []buildPart{
		{name: "small", module: "one", cpu: 5},
		{name: "first", module: "two", cpu: 30},
		{name: "middle", module: "three", cpu: 40},
		{name: "second", module: "two", cpu: 20},
	}
	var got []string
	for _, module := range byModule(parts) {
		var names []string
		for _, part := range module {
			names = append(names, part.name)
		}
		got = append(got, strings.Join(names, "+"))
	}
	if want := []string{"first+second", "middle", "small"}; !slices.Equal(got, want) {
		t.Errorf("the builds begin in the order %v, want %v", got, want)
	}
}

func TestParseHierarchies(t *testing.T) {
	hybrid := `sysfs /sys sysfs rw 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
`
	got, err := parseHierarchies(strings.NewReader(hybrid))
	want := []hierarchy{{"/sys/fs/cgroup/memory", false}, {"/sys/fs/cgroup/unified", true}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("parseHierarchies = %v, %v; want %v", got, err, want)
	}
	if _, err := parseHierarchies(strings.NewReader("proc /proc proc rw 0 0\n")); err == nil {
		t.Error("a machine without cgroups was taken")
	}
}

func TestAPIServerCertificateCoversItsAddresses(t *testing.T) {
	ca, err := newCA("test")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, id := range identities() {
		pair, err := ca.sign(id)
		if err != nil {
			t.Fatal(err)
		}
		options := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
		if _, err := pair.cert.Verify(options); err != nil {
			t.Errorf("%s: %v", id.file, err)
		}
		if id.file != "apiserver" {
			continue
		}
		for _, host := range []string{nodeIP, serviceIP, "127.0.0.1", "kubernetes.default.svc"} {
			if err := pair.cert.VerifyHostname(host); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestCheckPortsFindsAListener(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	holder := portHolder(listener.Addr().String())
	if !strings.Contains(holder, "process") {
		t.Skipf("this machine does not show who listens: %q", holder)
	}
}

func TestListenerInode(t *testing.T) {
	table := `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 0100007F:0016 01 00000000:00000000 00:00000000 00000000     0        0 11 1
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1
`
	if got := listenerInode(strings.NewReader(table), 8080); got != "42" {
		t.Errorf("listenerInode(8080) = %q, want the socket that listens", got)
	}
	if got := listenerInode(strings.NewReader(table), 22); got != "" {
		t.Errorf("listenerInode(22) = %q, want none", got)
	}
}

func TestOverlap(t *testing.T) {
	for address, want := range map[string]string{
		"10.200.0.77/24": linkNet, "10.0.0.5/8": linkNet, "10.244.3.1/32": clusterNet,
		"192.168.1.2/24": "", "fe80::1/64": "", "nonsense": "",
	} {
		if got := overlap(address); got != want {
			t.Errorf("overlap(%s) = %q, want %q", address, got, want)
		}
	}
}

func TestParseMirrorSkipsSecurity(t *testing.T) {
	targets := `Debian|main|http://mirror.test/debian-security/|bookworm-security
Other|main|http://other.test/|bookworm
Debian|main|http://mirror.test/debian/|bookworm
`
	got, err := parseMirror([]byte(targets))
	if err != nil || got != "http://mirror.test/debian" {
		t.Errorf("parseMirror = %q, %v", got, err)
	}
}

func TestPackageVersion(t *testing.T) {
	status := "Package: a\nVersion: 1\n\nPackage: postgresql-17\nVersion: 1:17.12-0+deb13u1\n"
	if got, err := packageVersion([]byte(status), "postgresql-17"); err != nil || got != "17.12" {
		t.Errorf("packageVersion = %q, %v; want 17.12", got, err)
	}
	if _, err := packageVersion([]byte(status), "absent"); err == nil {
		t.Error("a package that is not there has a version")
	}
}

func TestFilterMounts(t *testing.T) {
	info := `36 35 98:0 / /s/stack rw - ext4 a rw
37 35 98:0 / /s/stack/kubelet/x rw - ext4 a rw
38 35 98:0 / /s/stacked rw - ext4 a rw
`
	if got := filterMounts(info, "/s/stack"); !slices.Equal(got, []string{"/s/stack", "/s/stack/kubelet/x"}) {
		t.Errorf("filterMounts = %v", got)
	}
}

func TestOperatorManifest(t *testing.T) {
	got := operatorManifest(`        - --leader-elect
          value: registry.test/cloudnative-pg/y:1
        image: registry.test/cloudnative-pg/y:1
        imagePullPolicy: Always
        - name: OPERATOR_NAMESPACE
`)
	foreign := strings.Contains(got, "registry.test") || strings.Contains(got, "leader-elect")
	if foreign || strings.Count(got, imageOperator) != 2 || !strings.Contains(got, "CERTIFICATE_DURATION\n          value: \"3650\"") {
		t.Errorf("operatorManifest:\n%s", got)
	}
}

func TestPluginManifest(t *testing.T) {
	l := layout{state: t.TempDir()}
	if err := os.MkdirAll(l.in("pki"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writePluginTLS(l); err != nil {
		t.Fatal(err)
	}
	got, err := pluginManifest(l, `apiVersion: v1
data:
  SIDECAR_IMAGE: |
    cmVnaXN0cnkudGVzdA==
kind: Secret
---
        image: registry.test/cloudnative-pg/y:1
---
apiVersion: cert-manager.io/v1
kind: Issuer
`)
	if err != nil {
		t.Fatal(err)
	}
	sidecar := "SIDECAR_IMAGE: " + base64.StdEncoding.EncodeToString([]byte(imageSidecar))
	for _, want := range []string{sidecar, imagePlugin, "barman-cloud-client-tls"} {
		if !strings.Contains(got, want) {
			t.Errorf("the manifest lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "cert-manager") || strings.Contains(got, "registry.test") {
		t.Errorf("the manifest still needs the outside world:\n%s", got)
	}
}

func TestStatusTable(t *testing.T) {
	now := time.Unix(1000, 0)
	got := statusTable([]partStatus{
		{Name: "etcd", State: stateUp, PID: 42, Since: now.Add(-90 * time.Second)},
		{Name: "api", State: stateFailed, Since: now, Restarts: 3, Detail: "no\nmore", Address: addressAPI},
	}, now, func(mark string) string { return mark })
	want := `  PART          STATE         PID     FOR  RESTARTS  ADDRESS
● etcd          up             42      1m         0
✗ api           failed          -      0s         3  127.0.0.1:8080
    no
`
	if got != want {
		t.Errorf("statusTable:\n%s\nwant:\n%s", got, want)
	}
}

func TestSignIsStable(t *testing.T) {
	request, err := http.NewRequest(http.MethodPut, "http://10.200.0.1:9000/daap-backups", nil)
	if err != nil {
		t.Fatal(err)
	}
	sign(request, "user", "password", time.Unix(0, 0).UTC())
	got := request.Header.Get("Authorization")
	const want = "AWS4-HMAC-SHA256 Credential=user/19700101/us-east-1/s3/aws4_request, " +
		"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature="
	if signature, ok := strings.CutPrefix(got, want); !ok || len(signature) != 64 {
		t.Errorf("Authorization: %s", got)
	}
	request.Header.Set(lockHeader, "true")
	sign(request, "user", "password", time.Unix(0, 0).UTC())
	locked := request.Header.Get("Authorization")
	if !strings.Contains(locked, "SignedHeaders=host;x-amz-bucket-object-lock-enabled;x-amz-content-sha256;x-amz-date,") {
		t.Errorf("Authorization with locks: %s", locked)
	}
}

func TestStateDirOrder(t *testing.T) {
	t.Setenv("HOME", "/h")
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("DAAP_STACK_DIR", "")
	for _, step := range []struct{ name, value, want string }{
		{"HOME", "/h", "/h/.local/state/daap/stack"},
		{"XDG_STATE_HOME", "/x", "/x/daap/stack"},
		{"DAAP_STACK_DIR", "/d", "/d"},
	} {
		t.Setenv(step.name, step.value)
		if got, err := stateDir(); err != nil || got != step.want {
			t.Errorf("with %s: stateDir = %q, %v; want %q", step.name, got, err, step.want)
		}
	}
}

func TestFirstCausePrefersTheCause(t *testing.T) {
	if err := firstCause(context.Canceled, http.ErrServerClosed); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("firstCause = %v", err)
	}
}
