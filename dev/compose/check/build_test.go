package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var from = regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)(?: AS (\S+))?$`)

func TestDockerfilesArePinned(t *testing.T) {
	for name, service := range load(t, nil).Services {
		if service.Build == nil {
			continue
		}
		dockerfile := filepath.Join(service.Build.Context, service.Build.Dockerfile)
		text, err := os.ReadFile(dockerfile)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		stages := map[string]bool{"scratch": true, "": true}
		for _, match := range from.FindAllStringSubmatch(string(text), -1) {
			if image, stage := match[1], match[2]; stages[image] || pinned(image) {
				stages[stage] = true
			} else {
				t.Errorf("%s: FROM %s has no exact tag", dockerfile, image)
			}
		}
		if !stages[service.Build.Target] {
			t.Errorf("%s: %s has no stage %q", name, dockerfile, service.Build.Target)
		}
		if !strings.Contains(string(text), "\nUSER 65532:65532\n") {
			t.Errorf("%s: runs as root", dockerfile)
		}
	}
}

func TestK3dInstallsReleasedImages(t *testing.T) {
	const manifest = `apiVersion: v1
data:
  SIDECAR_IMAGE: |
    Z2hjci5pby9jbG91ZG5hdGl2ZS1wZy9wbHVnaW4tYmFybWFuLWNsb3VkLXNpZGVjYXItdG
    VzdGluZzptYWlu
kind: Secret
---
kind: Deployment
        image: ghcr.io/cloudnative-pg/plugin-barman-cloud-testing:main
---
apiVersion: cert-manager.io/v1
kind: Issuer
`
	const want = `apiVersion: v1
stringData:
  SIDECAR_IMAGE: ghcr.io/cloudnative-pg/plugin-barman-cloud-sidecar:v1.2.3
kind: Secret
---
kind: Deployment
        image: ghcr.io/cloudnative-pg/plugin-barman-cloud:v1.2.3
---
`
	command := exec.CommandContext(t.Context(), "awk", "-v", "version=v1.2.3",
		"-f", filepath.Join(root, "dev/k3d/plugin.awk"))
	command.Stdin = strings.NewReader(manifest)
	got, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("plugin.awk makes\n%s\nwant\n%s", got, want)
	}
}
