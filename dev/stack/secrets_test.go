package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestServiceNeverHasTheOwnersPassword(t *testing.T) {
	l := layout{state: t.TempDir(), cache: t.TempDir()}
	writeFile(t, filepath.Join(l.rootfs(), "var/lib/dpkg/status"), 0o600,
		"Package: postgresql-17\nVersion: 17.12\n\nPackage: pgbouncer\nVersion: 1.24.1\n")
	if err := writeSecrets(l); err != nil {
		t.Fatal(err)
	}
	env, err := os.ReadFile(l.in("daap.env"))
	if err != nil {
		t.Fatal(err)
	}
	for name, has := range map[string]bool{"service": true, "owner": false, "postgres": false} {
		password, err := l.secret(name)
		if err != nil || len(password) < 20 {
			t.Fatalf("the password of %s has %d characters (%v)", name, len(password), err)
		}
		if strings.Contains(string(env), password) != has {
			t.Errorf("that the service's environment has the password of %s is not %t", name, has)
		}
	}
	onlyRootReads(t, l.state)
}

func TestPlatformKeyIsMadeOnceAndKeptFromOthers(t *testing.T) {
	s := &supervisor{layout: layout{state: t.TempDir()}}
	writeFile(t, s.in("bin", "daap"), 0o700, "#!/bin/sh\necho to whom and for what >&2\necho $KEY\n")
	for _, key := range []string{"first", "second"} {
		if err := s.makePlatformKey(t.Context(), []string{"KEY=" + key}); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{s.keyFile(): "first\n", s.keyHeader(): "X-API-Key: first\n"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", path, got, err, want)
		}
	}
	onlyRootReads(t, s.state)
}

func TestPlatformKeyThatIsNotMadeLeavesNoFileAndSaysWhy(t *testing.T) {
	s := &supervisor{layout: layout{state: t.TempDir()}}
	writeFile(t, s.in("bin", "daap"), 0o700, "#!/bin/sh\necho half a key\necho PostgreSQL is away >&2\nexit 1\n")
	err := s.makePlatformKey(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "PostgreSQL is away") || strings.Contains(err.Error(), "half a key") {
		t.Errorf("makePlatformKey = %v, want what the program says, and nothing of a key", err)
	}
	if exists(s.keyFile()) {
		t.Error("there is a key")
	}
}

func writeFile(t *testing.T, path string, mode os.FileMode, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// onlyRootReads fails the test if others may read a file of the directory.
func onlyRootReads(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if info, err := file.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may read %s", file.Name())
		}
	}
}

func TestPartsOfDAAPGoToKubernetesAsTheirOwnAccounts(t *testing.T) {
	s := &supervisor{layout: layout{state: t.TempDir()}}
	writeFile(t, s.in("daap.env"), 0o600, "KUBECONFIG="+s.kubeconfig()+"\n")
	for part := range accounts {
		env, err := s.withAccount(part)()
		if err != nil {
			t.Fatal(err)
		}
		var last string
		for _, entry := range env { // the last one counts
			if path, is := strings.CutPrefix(entry, "KUBECONFIG="); is {
				last = path
			}
		}
		if last != s.in(part+".kubeconfig") {
			t.Errorf("%s goes to Kubernetes with %s", part, last)
		}
	}
}
