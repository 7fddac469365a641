package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// recipe changes when the way things are built changes without a change in the
// parts' own files.
const recipe = "2"

// Names and tags of the images on the node. The tag of the operand begins with
// the version of PostgreSQL that Debian installed, so it is read, not written.
const (
	imagePause    = "localhost/pause:1"
	imageOperator = "localhost/cloudnative-pg:1.30.0"
	imagePlugin   = "localhost/plugin-barman-cloud:0.14.0"
	imageSidecar  = "localhost/plugin-barman-cloud-sidecar:0.14.0"
	imagePooler   = "localhost/pgbouncer"
	imageOperand  = "localhost/postgresql"
)

const kubernetesVersion = "v1.35.4"

// buildPart is one binary of the cache.
type buildPart struct {
	name   string // of the binary
	module string // directory under parts/
	pkg    string
	flags  string // extra linker flags
	cpu    int    // CPU seconds of a cold build, for the estimate
}

func buildParts() []buildPart {
	version := "-X k8s.io/component-base/version."
	return []buildPart{
		{name: "kubernetes", module: "kubernetes", pkg: ".", cpu: 1030, flags: version + "gitVersion=" + kubernetesVersion +
			" " + version + "gitMajor=1 " + version + "gitMinor=35"},
		{name: "cnpg-manager", module: "cnpg", pkg: "github.com/cloudnative-pg/cloudnative-pg/cmd/manager", cpu: 325},
		{name: "barman-plugin", module: "cnpg", pkg: "github.com/cloudnative-pg/plugin-barman-cloud/cmd/manager", cpu: 70},
		{name: "coredns", module: "coredns", pkg: ".", cpu: 175},
		{name: "kube-router", module: "kube-router", pkg: "github.com/cloudnativelabs/kube-router/cmd/kube-router", cpu: 240},
		{name: "minio", module: "minio", pkg: "github.com/minio/minio", cpu: 405},
		{name: "temporal", module: "temporal", pkg: "github.com/temporalio/cli/cmd/temporal", cpu: 390},
		{name: "tctl", module: "tctl", pkg: "github.com/temporalio/tctl/cmd/tctl", cpu: 210},
		{name: "pause", module: "pause", pkg: ".", cpu: 5},
	}
}

// rootfsPackages go into the root filesystem that the operand, pooler and
// sidecar images and the platform's own PostgreSQL share.
var rootfsPackages = []string{
	"postgresql-17", "postgresql-17-pgaudit", "postgresql-client-17",
	"pgbouncer", "barman-cli-cloud", "python3-boto3", "ca-certificates",
}

// hostPackages are what the machine itself needs; the last line is for the people who use the stack.
var hostPackages = []string{
	"containerd", "runc", "containernetworking-plugins", "iptables", "conntrack",
	"ipset", "iproute2", "kmod", "mmdebstrap", "util-linux",
	"postgresql-client", "jq", "curl",
}

// pinsHash names the cache after everything that decides what is in it.
func pinsHash(parts string) (string, error) {
	var files []string
	err := filepath.WalkDir(parts, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read the pins: %w", err)
	}
	sort.Strings(files)
	sum := sha256.New()
	fmt.Fprintln(sum, recipe, strings.Join(rootfsPackages, ","))
	for _, file := range files {
		name, err := filepath.Rel(parts, file)
		if err != nil {
			return "", err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, name, len(content))
		sum.Write(content)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}
