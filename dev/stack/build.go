package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// runBuild fills the cache. What is there is not built again; what was
// interrupted left only temporary names behind.
func runBuild() error {
	l, err := newLayout()
	if err != nil {
		return err
	}
	if err := checkMachine(l); err != nil {
		return err
	}
	return build(l)
}

// runCache prints the cache directory.
func runCache() error {
	l, err := newLayout()
	if err == nil {
		fmt.Println(l.cache)
	}
	return err
}

// builder fills one cache directory.
type builder struct {
	layout
	progress *progress
}

func build(l layout) error {
	for _, dir := range []string{"bin", "manifests"} {
		if err := os.MkdirAll(filepath.Join(l.cache, dir), 0o755); err != nil {
			return err
		}
	}
	lock, err := lockFile(filepath.Join(l.cache, "lock"))
	if err != nil {
		return errors.New("another build is filling the cache: wait for it, then try again")
	}
	defer lock.Close()
	b := &builder{layout: l, progress: newProgress()}
	b.announce()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	// Downloads wait for the network and compilers for the processor: both at once.
	var debian sync.WaitGroup
	var debianErr error
	debian.Go(func() {
		if debianErr = b.debian(ctx); debianErr != nil {
			cancel()
		}
	})
	goErr := b.binaries(ctx)
	if goErr != nil {
		cancel()
	}
	debian.Wait()
	if err := firstCause(debianErr, goErr); err != nil {
		return err
	}
	if err := b.manifests(ctx); err != nil {
		return err
	}
	return b.images(ctx)
}

// firstCause prefers the error that cancelled the other half over the
// cancellation that it caused.
func firstCause(all ...error) error {
	var cancelled error
	for _, err := range all {
		switch {
		case errors.Is(err, context.Canceled):
			cancelled = err
		case err != nil:
			return err
		}
	}
	return cancelled
}

// announce says what a cold cache will cost.
func (b *builder) announce() {
	left := 0
	for _, parts := range b.missing() {
		left += seconds(parts)
	}
	if left < 60 {
		return
	}
	minutes := (left/runtime.NumCPU() + 59) / 60
	fmt.Printf("Building the parts into %s: about %d minutes on this machine's %d cores, once.\n",
		b.cache, minutes, runtime.NumCPU())
}

// step makes one artefact of the cache: under a temporary name, then renamed,
// so that what has its final name is whole.
func (b *builder) step(ctx context.Context, name, target string, make func(context.Context, string) error) error {
	if exists(target) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	temporary := target + ".tmp"
	if err := os.RemoveAll(temporary); err != nil {
		return err
	}
	done := b.progress.start(name)
	err := make(ctx, temporary)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil {
		err = os.Rename(temporary, target)
	}
	done(err)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// groupCommand is a command that is ended together with all that it started:
// compilers and package tools would otherwise work on after an interruption.
func groupCommand(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// note keeps what a build cost beside what it made.
func (b *builder) note(format string, args ...any) error {
	file, err := os.OpenFile(filepath.Join(b.cache, "times"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = fmt.Fprintf(file, format+"\n", args...)
	return err
}

// manifests takes the manifests from the very modules that the binaries are
// built from.
func (b *builder) manifests(ctx context.Context) error {
	for name, source := range map[string][2]string{
		"operator.yaml": {"github.com/cloudnative-pg/cloudnative-pg", "releases/cnpg-1.30.0.yaml"},
		"plugin.yaml":   {"github.com/cloudnative-pg/plugin-barman-cloud", "manifest.yaml"},
	} {
		err := b.step(ctx, name, b.manifest(name), func(ctx context.Context, target string) error {
			out, err := b.goCommand(ctx, "cnpg", "list", "-m", "-f", "{{.Dir}}", source[0]).Output()
			if err != nil {
				return err
			}
			content, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), source[1]))
			if err != nil {
				return err
			}
			return os.WriteFile(target, content, 0o644)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
