package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Every process of the stack lives in a control group below cgroupName, in
// every hierarchy of the machine. The kernel keeps the membership, so finding
// (and ending) what is ours needs no pid files and never hits a stranger.
const (
	cgroupName  = "daap"
	cgroupParts = cgroupName + "/parts"
)

// hierarchy is one mounted cgroup file system.
type hierarchy struct {
	path string
	v2   bool
}

// hierarchies lists the cgroup mounts of this machine: a single one with
// cgroup v2, one per controller with v1 or the hybrid layout.
func hierarchies() ([]hierarchy, error) {
	file, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseHierarchies(file)
}

func parseHierarchies(mounts io.Reader) ([]hierarchy, error) {
	var found []hierarchy
	scanner := bufio.NewScanner(mounts)
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) >= 3 && (fields[2] == "cgroup" || fields[2] == "cgroup2") {
			found = append(found, hierarchy{path: fields[1], v2: fields[2] == "cgroup2"})
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no cgroup file system is mounted")
	}
	return found, scanner.Err()
}

// joinCgroup makes the groups and moves this process into them; everything it
// starts inherits them.
func joinCgroup() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	pure := len(all) == 1 && all[0].v2
	for _, h := range all {
		if pure {
			// Controllers must be handed down before kubelet can use them.
			delegate(h.path)
		}
		if err := makeGroup(h, cgroupName); err != nil {
			return err
		}
		if pure {
			delegate(filepath.Join(h.path, cgroupName))
		}
		if err := prefer(filepath.Join(h.path, cgroupName)); err != nil {
			return err
		}
		if err := makeGroup(h, cgroupParts); err != nil {
			return err
		}
		procs := filepath.Join(h.path, cgroupParts, "cgroup.procs")
		if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

func makeGroup(h hierarchy, name string) error {
	dir := filepath.Join(h.path, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make cgroup: %w", err)
	}
	// A new v1 cpuset is empty and takes no process until it is filled.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		parent, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err != nil || h.v2 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, file), parent, 0); err != nil {
			return fmt.Errorf("fill %s: %w", file, err)
		}
	}
	return nil
}

// prefer gives the stack twice the processor share of a single process beside it. With the default share, a
// compiler that runs four processes would leave a fifth of the machine to all of Kubernetes, and leases would expire.
// The default is 1024 shares with cgroup v1 and a weight of 100 with v2; only one of the files exists.
func prefer(dir string) error {
	for file, share := range map[string]string{"cpu.shares": "2048", "cpu.weight": "200"} {
		err := os.WriteFile(filepath.Join(dir, file), []byte(share), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("set the processor share of the stack: %w", err)
		}
	}
	return nil
}

// delegate hands the controllers that kubelet wants to the children of dir. A
// controller that cannot be handed down is kubelet's to complain about.
func delegate(dir string) {
	for _, controller := range []string{"cpu", "cpuset", "memory", "io", "pids", "hugetlb"} {
		_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0)
	}
}

// groupDirs lists our groups in one hierarchy, children first.
func groupDirs(h hierarchy) []string {
	var dirs []string
	_ = filepath.WalkDir(filepath.Join(h.path, cgroupName), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	slices.Reverse(dirs)
	return dirs
}

// members are the processes of the stack, whatever started them.
func members() ([]int, error) {
	all, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, h := range all {
		for _, dir := range groupDirs(h) {
			content, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			if err != nil {
				continue
			}
			for _, field := range strings.Fields(string(content)) {
				// 0 is a process outside of this pid namespace: never a target.
				if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() {
					pids = append(pids, pid)
				}
			}
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// killMembers ends every process of the stack and waits until they are gone.
func killMembers(limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		pids, err := members()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes that do not end: %v", pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// removeCgroups removes our groups; they must be empty. The kernel lets go of
// a group a moment after its last process, hence the tries.
func removeCgroups(limit time.Duration) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		var left []string
		for _, h := range all {
			for _, dir := range groupDirs(h) {
				if syscall.Rmdir(dir) != nil {
					left = append(left, dir)
				}
			}
		}
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("control groups that do not go away: %s", strings.Join(left, ", "))
		}
	}
}
