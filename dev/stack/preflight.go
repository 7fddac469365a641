package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// What the stack needs of the disk, in bytes, measured and rounded up.
const (
	spaceCache = 14 << 30 // with the compiler's own cache
	spaceState = 5 << 30
)

// checkMachine says in one sentence what the machine lacks.
func checkMachine(l layout) error {
	if runtime.GOOS != "linux" {
		return errors.New("the local stack needs Linux: it runs a Kubernetes node in namespaces of this machine")
	}
	if os.Geteuid() != 0 {
		return errors.New("the local stack needs root: it makes network interfaces, mounts and control groups")
	}
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("the local stack needs Go: it builds its parts from source")
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("the local stack needs a Debian machine: it installs its system packages with apt-get")
	}
	if _, err := hierarchies(); err != nil {
		return fmt.Errorf("the local stack needs control groups: %w", err)
	}
	need := uint64(spaceState)
	if !exists(l.archive(archiveOperand)) {
		need += spaceCache
	}
	return checkDisk(l.cache, need)
}

// checkDisk looks at the file system that path is, or will be, on.
func checkDisk(path string, need uint64) error {
	for !exists(path) {
		path = filepath.Dir(path)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return err
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < need {
		return fmt.Errorf("the local stack needs %d GiB of free disk at %s, but there are %.1f", need>>30, path,
			float64(free)/(1<<30))
	}
	return nil
}

// checkPorts refuses when somebody else has a port or a network of the stack.
func checkPorts() error {
	for _, address := range hostPorts {
		listener, err := net.Listen("tcp", address)
		if err == nil {
			listener.Close()
			continue
		}
		holder := "another process"
		if name := portHolder(address); name != "" {
			holder = name
		}
		return fmt.Errorf("the local stack needs %s, but %s has it", address, holder)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil || i.Name == hostLink {
			continue
		}
		for _, address := range addresses {
			if taken := overlap(address.String()); taken != "" {
				return fmt.Errorf("the local stack needs the network %s, but interface %s has %s", taken, i.Name, address)
			}
		}
	}
	return nil
}

// overlap names the network of the stack that an address in prefix form shares.
func overlap(address string) string {
	prefix, err := netip.ParsePrefix(address)
	if err != nil {
		return ""
	}
	for _, ours := range []string{linkNet, clusterNet, serviceNet} {
		if netip.MustParsePrefix(ours).Overlaps(prefix.Masked()) {
			return ours
		}
	}
	return ""
}

// portHolder finds the process that listens on the port of an address.
func portHolder(address string) string {
	number, err := strconv.Atoi(port(address))
	if err != nil {
		return ""
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		file, err := os.Open(table)
		if err != nil {
			continue
		}
		inode := listenerInode(file, number)
		file.Close()
		if inode == "" {
			continue
		}
		if pid := socketOwner(inode); pid != "" {
			comm, _ := os.ReadFile(filepath.Join("/proc", pid, "comm"))
			return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(comm)), pid)
		}
	}
	return ""
}

// listenerInode reads the kernel's table of sockets for one that listens.
func listenerInode(table io.Reader, number int) string {
	const listening = "0A"
	suffix := fmt.Sprintf(":%04X", number)
	scanner := bufio.NewScanner(table)
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) > 9 && strings.HasSuffix(fields[1], suffix) && fields[3] == listening {
			return fields[9]
		}
	}
	return ""
}

func socketOwner(inode string) string {
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == "socket:["+inode+"]" {
			return strings.Split(link, "/")[2]
		}
	}
	return ""
}
