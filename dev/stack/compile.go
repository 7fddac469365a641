package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// compilesAtOnce is how many modules are compiled at the same time. One alone leaves a processor idle while it links
// or while one large package holds up the rest.
const compilesAtOnce = 2

// binaries compiles the parts that are missing in the cache.
func (b *builder) binaries(ctx context.Context) error {
	if modules := b.missing(); len(modules) > 0 {
		if err := b.compileAll(ctx, modules); err != nil {
			return err
		}
	}
	if exists(b.bin("kubectl")) {
		return nil
	}
	return os.Symlink("kubernetes", b.bin("kubectl"))
}

// missing are the parts that are not built yet, by their modules.
func (b *builder) missing() [][]buildPart {
	return byModule(slices.DeleteFunc(buildParts(), func(part buildPart) bool { return exists(b.bin(part.name)) }))
}

// byModule groups the parts by their modules, the longest build first. Parts of one module share most packages, so
// they are compiled one after the other.
func byModule(parts []buildPart) [][]buildPart {
	var modules [][]buildPart
	for _, part := range parts {
		i := slices.IndexFunc(modules, func(m []buildPart) bool { return m[0].module == part.module })
		if i < 0 {
			modules = append(modules, []buildPart{part})
		} else {
			modules[i] = append(modules[i], part)
		}
	}
	slices.SortStableFunc(modules, func(one, other []buildPart) int { return cmp.Compare(seconds(other), seconds(one)) })
	return modules
}

// seconds is the processor time of a cold build of the parts.
func seconds(parts []buildPart) int {
	total := 0
	for _, part := range parts {
		total += part.cpu
	}
	return total
}

// compileAll compiles the modules, while their sources are downloaded ahead. The standard library's common packages
// come first: two modules that compile at the same time would each compile them.
func (b *builder) compileAll(ctx context.Context, modules [][]buildPart) error {
	ctx, cancel := context.WithCancel(ctx)
	var downloads sync.WaitGroup
	downloads.Go(func() { b.download(ctx, modules) })
	defer downloads.Wait()
	defer cancel()
	if err := b.run(ctx, modules[0][0].module, "build", "-trimpath", "net/http", "html/template"); err != nil {
		return fmt.Errorf("compile the standard library: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(compilesAtOnce)
	for _, parts := range modules {
		group.Go(func() error {
			for _, part := range parts {
				err := b.step(ctx, part.name, b.bin(part.name), func(ctx context.Context, target string) error {
					return b.compile(ctx, part, target)
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// download fetches the sources that the parts need. It reports no error: the compilation meets the same one.
func (b *builder) download(ctx context.Context, modules [][]buildPart) {
	for _, parts := range modules {
		for _, part := range parts {
			_ = b.run(ctx, part.module, "list", "-deps", part.pkg)
		}
	}
}

func (b *builder) compile(ctx context.Context, part buildPart, target string) error {
	began := time.Now()
	cmd := b.goCommand(ctx, part.module, "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w "+part.flags, "-o", target, part.pkg)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, lastLines(string(out), 15))
	}
	usage := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return b.note("%s: %.0f s, %.0f s of processor", part.name, time.Since(began).Seconds(), usage.Seconds())
}

// run runs go in the module and returns the end of its output with its error.
func (b *builder) run(ctx context.Context, module string, args ...string) error {
	out, err := b.goCommand(ctx, module, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go %s: %w\n%s", args[0], err, lastLines(string(out), 15))
	}
	return nil
}

// goCommand is go in the module of a part.
func (b *builder) goCommand(ctx context.Context, module string, args ...string) *exec.Cmd {
	cmd := groupCommand(ctx, "go", args...)
	cmd.Dir = b.parts(module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	return cmd
}
