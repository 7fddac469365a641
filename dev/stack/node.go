package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The node is a set of namespaces (net, mount, pid, uts) with a process of ours
// as its init. All that Kubernetes does to a machine (iptables rules, routes,
// mounts, sysctls, interfaces, stray processes) happens in there, so ending
// the init undoes it.

// shielded are settings that kubelet insists on changing and that no namespace
// covers. The node sees files of its own in their place, so the machine's
// values stay as they are.
var shielded = map[string]string{
	"/proc/sys/vm/overcommit_memory":     "1",
	"/proc/sys/vm/panic_on_oom":          "0",
	"/proc/sys/kernel/panic":             "10",
	"/proc/sys/kernel/panic_on_oops":     "1",
	"/proc/sys/kernel/keys/root_maxkeys": "1000000",
	// The name is the kernel's.
	"/proc/sys/kernel/keys/root_maxbytes": "25000000",
}

// startNode starts the node's init and returns when the node is set up.
func startNode(l layout) (*exec.Cmd, error) {
	ready, signal, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	log, err := os.OpenFile(l.log("node"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe", "node-init", l.state)
	cmd.Env = partEnv()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{signal}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		Setpgid:    true,
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the node: %w", err)
	}
	signal.Close()
	// The init writes one byte when it is set up; end of file means it died.
	if n, _ := ready.Read(make([]byte, 1)); n != 1 {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return nil, errors.New("the node's init failed: see " + l.log("node"))
	}
	return cmd, nil
}

// runNodeInit is process 1 of the node: it sets the namespaces up, then does
// nothing but collect the processes that are orphaned to it.
func runNodeInit(args []string) error {
	if len(args) != 1 || os.Getpid() != 1 {
		return errors.New("node-init is started by the stack itself")
	}
	if err := setUpNode(args[0]); err != nil {
		return err
	}
	signal := os.NewFile(3, "ready")
	if _, err := signal.Write([]byte{1}); err != nil {
		return err
	}
	signal.Close()
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); errors.Is(err, syscall.ECHILD) {
			time.Sleep(time.Second)
		}
	}
}

func setUpNode(state string) error {
	if err := syscall.Sethostname([]byte(nodeName)); err != nil {
		return err
	}
	// Private first, so that nothing reaches the machine's mounts, then shared,
	// because kubelet's volume mounts must propagate within the node.
	for _, flag := range []uintptr{syscall.MS_PRIVATE, syscall.MS_SHARED} {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|flag, ""); err != nil {
			return fmt.Errorf("mount propagation: %w", err)
		}
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := shieldSysctls(filepath.Join(state, "sysctl")); err != nil {
		return err
	}
	// /run holds the sockets of containerd's shims and the network namespaces
	// of the pods; both must end with the node.
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for from, to := range map[string]string{"var-log": "/var/log", "var-lib": "/var/lib/cni"} {
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(filepath.Join(state, from), to, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", to, err)
		}
	}
	for setting, value := range map[string]string{
		"ip_forward": "1",
		// Until kube-proxy's rules stand, a packet for a service goes back where
		// it came from, and a redirect would have this machine remember that.
		"conf/all/send_redirects":     "0",
		"conf/default/send_redirects": "0",
	} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+setting, []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

func shieldSysctls(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for path, value := range shielded {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		file := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
			return err
		}
		if err := syscall.Mount(file, path, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("shield %s: %w", path, err)
		}
	}
	return nil
}

// linkNode joins the node's network to the machine's with a veth pair. The
// pair and the routes over it vanish with the node.
func linkNode(ctx context.Context, pid int) error {
	node := strconv.Itoa(pid)
	_ = exec.CommandContext(ctx, "ip", "link", "del", hostLink).Run()
	inside := func(command ...string) []string {
		return append([]string{"nsenter", "-t", node, "-n", "--"}, command...)
	}
	steps := [][]string{
		{"ip", "link", "add", hostLink, "type", "veth", "peer", "name", "eth0", "netns", node},
		{"ip", "addr", "add", hostIP + linkMask, "dev", hostLink},
		{"ip", "link", "set", hostLink, "up"},
		inside("ip", "link", "set", "lo", "up"),
		inside("ip", "addr", "add", nodeIP+linkMask, "dev", "eth0"),
		inside("ip", "link", "set", "eth0", "up"),
		// A route is looked up before a service's address is rewritten, so one
		// must exist. There is no default route: pods reach the stack alone.
		inside("ip", "route", "add", serviceNet, "dev", "eth0", "src", nodeIP),
		{"ip", "route", "add", clusterNet, "via", nodeIP},
		{"ip", "route", "add", serviceNet, "via", nodeIP},
	}
	for _, step := range steps {
		if out, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(step, " "), err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// enterNode wraps a command so that it runs inside the node.
func enterNode(pid int, command []string) []string {
	return append([]string{"nsenter", "-t", strconv.Itoa(pid), "-m", "-n", "-p", "-u", "--"}, command...)
}

// partEnv is the environment of every part: nothing of the caller's session
// but where programs are.
func partEnv(extra ...string) []string {
	return append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
	}, extra...)
}
