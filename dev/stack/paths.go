package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// module is the path of the repository's root module; finding it upwards from
// the working directory is how the stack finds its sources.
const module = "github.com/daap-dev/daap"

// layout is where everything lives. The cache outlives the stack, the state
// does not.
type layout struct {
	repo  string
	cache string
	state string
}

// newLayout finds the repository and names the two directories.
func newLayout() (layout, error) {
	state, err := stateDir()
	if err != nil {
		return layout{}, err
	}
	repo, err := findRepo()
	if err != nil {
		return layout{}, err
	}
	hash, err := pinsHash(filepath.Join(repo, "dev", "stack", "parts"))
	if err != nil {
		return layout{}, err
	}
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return layout{}, err
		}
		base = filepath.Join(home, ".cache")
	}
	return layout{repo: repo, cache: filepath.Join(base, "daap", hash), state: state}, nil
}

// stateDir does not need the repository: down must work from anywhere.
func stateDir() (string, error) {
	if dir := os.Getenv("DAAP_STACK_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	if base := os.Getenv("XDG_STATE_HOME"); base != "" {
		return filepath.Join(base, "daap", "stack"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state", "daap", "stack"), nil
}

func findRepo() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if moduleOf(filepath.Join(dir, "go.mod")) == module {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run this inside a checkout of " + module)
		}
	}
}

func moduleOf(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		if name, ok := strings.CutPrefix(scanner.Text(), "module "); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

func (l layout) bin(name string) string      { return filepath.Join(l.cache, "bin", name) }
func (l layout) rootfs() string              { return filepath.Join(l.cache, "rootfs") }
func (l layout) manifest(name string) string { return filepath.Join(l.cache, "manifests", name) }
func (l layout) archive(name string) string  { return filepath.Join(l.cache, name+".tar") }
func (l layout) parts(name string) string {
	return filepath.Join(l.repo, "dev", "stack", "parts", name)
}

func (l layout) in(elem ...string) string {
	return filepath.Join(append([]string{l.state}, elem...)...)
}
func (l layout) log(part string) string       { return l.in("log", part+".log") }
func (l layout) pki(name string) string       { return l.in("pki", name) }
func (l layout) socket() string               { return l.in("control.sock") }
func (l layout) kubeconfig() string           { return l.in("kubeconfig") }
func (l layout) config(name string) string    { return l.in("config", name) }
func (l layout) component(name string) string { return l.in("pki", name+".kubeconfig") }
func (l layout) containerdSocket() string     { return l.in("containerd", "containerd.sock") }

// makeState makes the state directory and what the parts expect in it.
func (l layout) makeState() error {
	for _, dir := range []string{
		"log", "pki", "config", "bin", "containerd", "kubelet", "volumes", "minio", "etcd", "var-log", "var-lib", "audit",
	} {
		if err := os.MkdirAll(l.in(dir), 0o700); err != nil {
			return fmt.Errorf("make the state directory: %w", err)
		}
	}
	return nil
}

// keyFile holds the platform team's API key, and keyHeader the same as the header that curl takes from a file.
func (l layout) keyFile() string   { return l.in("platform.key") }
func (l layout) keyHeader() string { return l.in("platform.header") }
