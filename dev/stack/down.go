package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// runDown stops the stack and removes everything but the cache, in whatever
// state it is. At its end it looks whether anything of it is left.
func runDown() error {
	state, err := stateDir()
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("stopping the local stack needs root, as starting it did")
	}
	p := newProgress()
	switch err := (client{socket: filepath.Join(state, "control.sock")}).stop(); {
	case err == nil:
		p.line("✓", "stopped the parts", "")
	case !errors.Is(err, errDown):
		p.line("✗", "the supervisor did not stop the parts", err.Error())
	}
	if err := sweep(); err != nil {
		return err
	}
	if err := removeState(state); err != nil {
		return err
	}
	if left := leftovers(state); len(left) > 0 {
		return fmt.Errorf("left behind: %s", strings.Join(left, "; "))
	}
	p.line("✓", "nothing is left but the cache", "")
	return nil
}

// sweep ends every process of the stack and removes what outlives processes.
// The node's namespaces, with their mounts, rules and routes, end with them.
func sweep() error {
	if err := killMembers(20 * time.Second); err != nil {
		return err
	}
	if _, err := net.InterfaceByName(hostLink); err == nil {
		// It goes with the node's namespace, but in the kernel's own time.
		_ = exec.Command("ip", "link", "del", hostLink).Run()
	}
	return removeCgroups(10 * time.Second)
}

// removeState removes the state directory, but never through a mount.
func removeState(state string) error {
	if !exists(state) {
		return nil
	}
	if mounts := mountsBelow(state); len(mounts) > 0 {
		return fmt.Errorf("not removing %s, something is mounted in it: %s", state, strings.Join(mounts, ", "))
	}
	if !exists(filepath.Join(state, "pki")) && !exists(filepath.Join(state, "log")) {
		return fmt.Errorf("not removing %s, it does not look like the stack's", state)
	}
	return os.RemoveAll(state)
}

// mountsBelow lists the mount points at or below a directory.
func mountsBelow(dir string) []string {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return filterMounts(string(content), dir)
}

func filterMounts(mountinfo, dir string) []string {
	var found []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) > 4 && (fields[4] == dir || strings.HasPrefix(fields[4], dir+"/")) {
			found = append(found, fields[4])
		}
	}
	return found
}

// leftovers names everything of the stack that is still there.
func leftovers(state string) []string {
	var left []string
	if pids, err := members(); err != nil || len(pids) > 0 {
		left = append(left, fmt.Sprintf("processes %v", pids))
	}
	if _, err := net.InterfaceByName(hostLink); err == nil {
		left = append(left, "interface "+hostLink)
	}
	if all, err := hierarchies(); err == nil {
		for _, h := range all {
			for _, dir := range groupDirs(h) {
				left = append(left, "control group "+dir)
			}
		}
	}
	for _, mount := range mountsBelow(state) {
		left = append(left, "mount "+mount)
	}
	if exists(state) {
		left = append(left, "directory "+state)
	}
	return left
}
