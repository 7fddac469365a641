package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// postgresUID is the user and group that CloudNativePG runs PostgreSQL as.
const postgresUID = 26

// debian installs what the machine lacks and makes the root filesystem.
func (b *builder) debian(ctx context.Context) error {
	if err := b.installPackages(ctx); err != nil {
		return err
	}
	return b.step(ctx, "rootfs", b.rootfs(), b.buildRootfs)
}

// installPackages installs the Debian packages that are not there yet.
func (b *builder) installPackages(ctx context.Context) error {
	var missing []string
	for _, name := range hostPackages {
		out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status}", name).Output()
		if err != nil || string(out) != "installed" {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	done := b.progress.start("install " + strings.Join(missing, " "))
	err := aptGet(ctx, "update", "-qq")
	if err == nil {
		err = aptGet(ctx, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)...)
	}
	done(err)
	return err
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, lastLines(string(out), 10))
	}
	return nil
}

// customize turns the fresh root filesystem into what the images need: the
// users that CloudNativePG runs its pods as, pgbouncer where it looks for it,
// and nothing that is only read by people or never used: PostgreSQL does
// without the compiler (its JIT is off when the library is not there), and
// the backup tools speak to S3 alone of all that botocore knows. That halves
// the image, and with it the time that its import takes at every start.
const customize = `set -e
cd "$1"
sed -i '/^tape:/d' etc/group
chroot . groupmod -g 26 postgres
chroot . usermod -u 26 -g 26 postgres
chroot . groupadd -o -g 996 pgbouncer
chroot . useradd -o -u 998 -g 996 -M -d /var/lib/pgbouncer -s /usr/sbin/nologin pgbouncer
ln -sf ../sbin/pgbouncer usr/bin/pgbouncer
rm -rf var/lib/postgresql/* etc/postgresql/*
chown -R 26:26 var/lib/postgresql var/log/postgresql etc/postgresql run/postgresql 2>/dev/null || true
rm -rf usr/share/doc usr/share/man usr/share/locale usr/share/info var/cache/apt var/lib/apt/lists
rm -rf usr/share/i18n usr/lib/*-linux-gnu/libLLVM* usr/lib/*-linux-gnu/libz3.*
rm -rf usr/lib/postgresql/17/lib/llvmjit* usr/lib/postgresql/17/lib/bitcode
find usr/lib/python3/dist-packages/botocore/data -mindepth 1 -maxdepth 1 -type d \
  ! -name s3 ! -name sts ! -name sso ! -name sso-oidc -exec rm -rf {} +
mkdir -p var/cache/apt/archives/partial var/lib/apt/lists/partial
`

// buildRootfs makes the root filesystem with mmdebstrap. It runs in mounts of
// its own, and as the first process of its own: whatever ends it, neither a
// mount nor a process of it stays behind.
func (b *builder) buildRootfs(ctx context.Context, target string) error {
	mirror, err := debianMirror(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	cmd := groupCommand(ctx, "unshare", "--mount", "--propagation", "private",
		"--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap", "--quiet",
		"--variant=minbase", "--include="+strings.Join(rootfsPackages, ","),
		"--aptopt=Acquire::Languages \"none\"",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		"--dpkgopt=path-exclude=/usr/share/man/*",
		"--customize-hook="+customize, "trixie", target, mirror)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("mmdebstrap: %w\n%s", err, lastLines(string(out), 15))
	}
	return b.note("rootfs: %.0f s", time.Since(began).Seconds())
}

// debianMirror is the mirror that this machine's apt already uses.
func debianMirror(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format",
		"$(ORIGIN)|$(COMPONENT)|$(REPO_URI)|$(RELEASE)", "Created-By: Packages").Output()
	if err != nil {
		return "", fmt.Errorf("ask apt for its mirror: %w", err)
	}
	return parseMirror(out)
}

// parseMirror takes the first repository of Debian itself: not that of
// security fixes, which holds no whole release.
func parseMirror(targets []byte) (string, error) {
	scanner := bufio.NewScanner(bytes.NewReader(targets))
	for scanner.Scan() {
		fields := strings.Split(scanner.Text(), "|")
		if len(fields) == 4 && fields[0] == "Debian" && fields[1] == "main" && !strings.Contains(fields[3], "-") {
			return strings.TrimSuffix(fields[2], "/"), nil
		}
	}
	return "", errors.New("apt on this machine knows no Debian mirror")
}

// packageVersion reads the upstream version of an installed package from a
// dpkg status file: 17.12 of 17.12-0+deb13u1.
func packageVersion(status []byte, name string) (string, error) {
	inside := false
	scanner := bufio.NewScanner(bytes.NewReader(status))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		if value, ok := strings.CutPrefix(line, "Package: "); ok {
			inside = value == name
		}
		if value, ok := strings.CutPrefix(line, "Version: "); ok && inside {
			value = value[strings.IndexByte(value, ':')+1:]
			version, _, _ := strings.Cut(value, "-")
			return version, nil
		}
	}
	return "", fmt.Errorf("package %s is not in the root filesystem", name)
}
