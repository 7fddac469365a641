// Package check holds docker-compose.yml to its own rules with the loader that
// Docker Compose itself uses, on machines that have no Docker.
package check

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../../.."

// load reads the file as a person with an empty environment and no .env would.
func load(t *testing.T, env map[string]string) *types.Project {
	t.Helper()
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  abs(t, root),
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(abs(t, root), "docker-compose.yml")}},
		Environment: env,
	}, func(o *loader.Options) { o.ResolvePaths = true })
	if err != nil {
		t.Fatalf("docker-compose.yml does not load: %v", err)
	}
	return project
}

func abs(t *testing.T, path string) string {
	t.Helper()
	p, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestImagesArePinned(t *testing.T) {
	for name, service := range load(t, nil).Services {
		switch {
		case service.Build != nil && service.Image == "":
			t.Errorf("%s: is built but has no image name", name)
		case service.Build == nil && !pinned(service.Image):
			t.Errorf("%s: image %q has no exact tag", name, service.Image)
		case strings.Contains(service.Image, "temporalio/auto-setup"):
			t.Errorf("%s: auto-setup gets no updates; use server and admin-tools", name)
		}
		for key, value := range service.Environment {
			if strings.HasSuffix(key, "_IMAGE") && (value == nil || !pinned(*value)) {
				t.Errorf("%s: %s has no exact tag", name, key)
			}
		}
	}
}

// pinned tells whether an image names at least major.minor or a release date.
func pinned(image string) bool {
	_, tag, found := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return found && regexp.MustCompile(`\d+[.-]\d+`).MatchString(tag)
}

func TestPortsAreOnLoopback(t *testing.T) {
	seen := map[string]string{}
	for name, service := range load(t, nil).Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is bound to %q, not to 127.0.0.1", name, port.Published, port.HostIP)
			}
			if other, taken := seen[port.Published]; taken {
				t.Errorf("%s: port %s is also published by %s", name, port.Published, other)
			}
			seen[port.Published] = name
		}
	}
}

// A dependency has to be able to reach the state that is waited for, or
// `docker compose up --wait` waits for ever.
func TestDependenciesCanBeMet(t *testing.T) {
	services := load(t, nil).Services
	for name, service := range services {
		for target, dependency := range service.DependsOn {
			other, exists := services[target]
			switch {
			case !exists:
				t.Errorf("%s: depends on %s, which does not exist", name, target)
			case dependency.Condition == types.ServiceConditionHealthy && other.HealthCheck == nil:
				t.Errorf("%s: waits for %s to be healthy, but that has no health check", name, target)
			case dependency.Condition == types.ServiceConditionCompletedSuccessfully && restarts(other):
				t.Errorf("%s: waits for %s to complete, but that restarts for ever", name, target)
			case dependency.Condition == types.ServiceConditionStarted:
				t.Errorf("%s: %s being started says nothing; wait for a health check or for its end", name, target)
			}
		}
	}
}

func restarts(s types.ServiceConfig) bool {
	return s.Restart != "" && s.Restart != types.RestartPolicyNo
}

func TestMountedFilesExist(t *testing.T) {
	for name, service := range load(t, nil).Services {
		for _, volume := range service.Volumes {
			// Written by dev/k3d/up.sh.
			if volume.Type != types.VolumeTypeBind || strings.Contains(volume.Source, "/.k3d/") {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				t.Errorf("%s: mounts %v", name, err)
			}
		}
	}
}

func TestFixedAddressesAreOutsideTheDynamicRange(t *testing.T) {
	for _, env := range []map[string]string{nil, {"DAAP_NET": "192.168.77"}} {
		project := load(t, env)
		pool := project.Networks["default"].Ipam.Config[0]
		subnet, dynamic := netip.MustParsePrefix(pool.Subnet), netip.MustParsePrefix(pool.IPRange)
		seen := map[string]string{pool.Gateway: "the gateway"}
		for name, service := range project.Services {
			network := service.Networks["default"]
			if network == nil || network.Ipv4Address == "" {
				continue
			}
			address := netip.MustParseAddr(network.Ipv4Address)
			if !subnet.Contains(address) || dynamic.Contains(address) {
				t.Errorf("%s: %s has to be in %s and outside %s", name, address, subnet, dynamic)
			}
			if other, taken := seen[address.String()]; taken {
				t.Errorf("%s: %s is the address of %s", name, address, other)
			}
			seen[address.String()] = name
		}
	}
}

// The worker reaches the platform by address alone; a changed address here is a
// worker that waits for nobody.
func TestSettingsNameTheServicesAddresses(t *testing.T) {
	services := load(t, nil).Services
	all := []string{"migrate", "api", "worker"}
	for key, setting := range map[string]struct {
		service string
		of      []string
	}{
		"DAAP_DATABASE_URL":  {"postgres", all},
		"DAAP_MIGRATION_URL": {"postgres", []string{"migrate"}},
		"TEMPORAL_ADDRESS":   {"temporal", all},
		"DAAP_S3_ENDPOINT":   {"minio", []string{"worker"}},
	} {
		address := services[setting.service].Networks["default"].Ipv4Address
		for _, name := range setting.of {
			if value := services[name].Environment[key]; value == nil || !strings.Contains(*value, address) {
				t.Errorf("%s: %s does not hold %s, the address of %s", name, key, address, setting.service)
			}
		}
	}
}

// Whoever has the owner's password can change the audit log; whoever has the object store's can change its heads.
func TestSecretsAreWhereTheyAreNeededAlone(t *testing.T) {
	holders := map[string][]string{
		"DAAP_MIGRATION_URL":     {"migrate"},
		"DAAP_OWNER_DB_PASSWORD": {"postgres"},
		"DAAP_S3_SECRET_KEY":     {"worker"},
	}
	for name, service := range load(t, nil).Services {
		for key := range service.Environment {
			if needed, secret := holders[key]; secret && !slices.Contains(needed, name) {
				t.Errorf("%s: has %s, which only %v needs", name, key, needed)
			}
		}
	}
}

func TestExampleHoldsTheDefaults(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join(root, "dev/compose/env.example"))
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`\$\{(\w+):-([^}]*)\}`).FindAllStringSubmatch(string(file), -1) {
		line := match[1] + "=" + match[2] + "\n"
		if match[1] != "DAAP_VERSION" && !strings.Contains(string(example), line) {
			t.Errorf("dev/compose/env.example lacks %q", strings.TrimSpace(line))
		}
	}
}
