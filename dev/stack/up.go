package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// runUp starts the stack. On a running one it only brings DAAP up to date.
func runUp() error {
	l, err := newLayout()
	if err != nil {
		return err
	}
	if err := checkMachine(l); err != nil {
		return err
	}
	began := time.Now()
	_, noKey := os.Stat(l.keyFile())
	c := client{socket: l.socket()}
	if _, err := c.status(); err != nil {
		if err := start(l); err != nil {
			return err
		}
	}
	// DAAP compiles while the rest comes up.
	p := newProgress()
	refreshed := make(chan error, 1)
	go func() { refreshed <- refresh(l, c, p) }()
	if err := follow(l, c, p, refreshed); err != nil {
		return err
	}
	printWhere(l, time.Since(began))
	return printKey(l, noKey != nil)
}

// start builds what is missing and starts a supervisor.
func start(l layout) error {
	// What a supervisor that was killed left behind goes first; its data stay.
	if err := sweep(); err != nil {
		return err
	}
	if err := checkPorts(); err != nil {
		return err
	}
	if err := build(l); err != nil {
		return err
	}
	if err := l.makeState(); err != nil {
		return err
	}
	for _, write := range []func(layout) error{writePKI, writeConfigs, writeSecrets} {
		if err := write(l); err != nil {
			return err
		}
	}
	return spawn(l)
}

// spawn starts the supervisor from a copy of this program: the one that "go
// run" made is removed when it ends.
func spawn(l layout) error {
	program := l.in("bin", "stack")
	if err := copySelf(program); err != nil {
		return err
	}
	log, err := os.OpenFile(l.log("supervisor"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, "supervise")
	cmd.Dir = l.repo
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "DAAP_STACK_DIR="+l.state)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	c := client{socket: l.socket()}
	for {
		if _, err := c.status(); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the supervisor ended (%w):\n%s", err, tail(l.log("supervisor"), 10))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func copySelf(target string) error {
	source, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer source.Close()
	file, err := os.OpenFile(target+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, source); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(target+".tmp", target)
}

// refresh builds DAAP again, brings its settings up to date, and restarts it if something changed.
func refresh(l layout, c client, p *progress) error {
	done := p.start("build DAAP")
	built, err := buildDAAP(l)
	done(err)
	if err != nil {
		return err
	}
	set, err := refreshEnv(l)
	if err != nil {
		return err
	}
	again := []string{"accounts"} // their rights may be others by now
	if built || set {
		again = append(again, "api", "worker")
	}
	return c.restart(again...)
}

// buildDAAP builds DAAP from the work tree, if it is there; it says whether
// the program is another than before.
func buildDAAP(l layout) (bool, error) {
	sources, err := filepath.Glob(filepath.Join(l.repo, "cmd", "daap", "*.go"))
	if err != nil || len(sources) == 0 {
		return false, err
	}
	target := l.in("bin", "daap")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", target+".tmp", "./cmd/daap")
	cmd.Dir = l.repo
	if out, err := cmd.CombinedOutput(); err != nil {
		return false, fmt.Errorf("build DAAP: %w\n%s", err, lastLines(string(out), 20))
	}
	before, _ := fileSum(target)
	after, err := fileSum(target + ".tmp")
	if err != nil {
		return false, err
	}
	return !bytes.Equal(before, after), os.Rename(target+".tmp", target)
}

func fileSum(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	return sum.Sum(nil), err
}

// follow shows the parts coming up and returns when all are, and DAAP is the
// one that the work tree makes.
func follow(l layout, c client, p *progress, refreshed <-chan error) error {
	shown := map[string]string{}
	for quiet := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		select {
		case err := <-refreshed:
			if err != nil {
				return err
			}
			refreshed, quiet = nil, time.Now() // a first build may take longer than parts may be quiet
		default:
		}
		statuses, err := c.status()
		if err != nil {
			return fmt.Errorf("%w: see %s", err, l.log("supervisor"))
		}
		pending := 0
		for _, status := range statuses {
			if status.State != stateUp && status.State != stateAbsent {
				pending++
			} else if shown[status.Name] != status.State {
				shown[status.Name], quiet = status.State, time.Now()
				p.line(map[string]string{stateUp: "✓", stateAbsent: "○"}[status.State], status.Name, status.Detail)
			}
			if status.State == stateFailed && status.Restarts >= 5 {
				return fmt.Errorf("%s does not start: %s\n%s", status.Name, status.Detail, tail(l.log(status.Name), 8))
			}
		}
		if pending == 0 && refreshed == nil {
			return nil
		}
		if time.Since(quiet) > 3*time.Minute && refreshed == nil {
			return errors.New("the stack does not come up:\n" + describe(statuses))
		}
	}
}

// describe lists what is not up, for an error message.
func describe(statuses []partStatus) string {
	var lines []string
	for _, status := range statuses {
		if status.State != stateUp && status.State != stateWaiting {
			lines = append(lines, fmt.Sprintf("  %s: %s %s", status.Name, status.State, status.Detail))
		}
	}
	return strings.Join(lines, "\n")
}

// printWhere ends up: where things are and what to type next.
func printWhere(l layout, took time.Duration) {
	fmt.Printf(`
The stack is up (%s).

  API            http://%s
  Temporal UI    http://%s
  MinIO console  http://%s  (user and password: %s)
  kubeconfig     %s
  environment    go run ./dev/stack env
  logs           go run ./dev/stack logs [part]    %s

  export KUBECONFIG=%s PATH=%s:$PATH
  kubectl get pods -A
  temporal workflow list --namespace %s
  tctl --namespace %s workflow list
`, round(took), addressAPI, addressUI, addressConsole, l.in("minio.env"), l.kubeconfig(), l.in("log"),
		l.kubeconfig(), filepath.Join(l.cache, "bin"), temporalNS, temporalNS)
}

// printKey shows the platform team's key when it is new, and where it is kept.
func printKey(l layout, isNew bool) error {
	if isNew {
		key, err := os.ReadFile(l.keyFile())
		if errors.Is(err, os.ErrNotExist) {
			return errors.New("the stack was started by a version without API keys: make down, then make up")
		}
		if err != nil {
			return err
		}
		fmt.Printf("\n  The platform team's API key, shown this once: %s", key)
	}
	fmt.Printf(`
  API key        %s, as a header for curl: %s

  curl -H @%s http://%s/databases

Next: make demo
`, l.keyFile(), l.keyHeader(), l.keyHeader(), addressAPI)
	return nil
}
