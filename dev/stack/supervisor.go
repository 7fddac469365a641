package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// supervisor is the one long-lived process of the stack. It is told what to do
// over a unix socket in the state directory.
type supervisor struct {
	layout
	node  *exec.Cmd
	parts []*part
	// stopped is closed when everything was stopped on request, nodeEnded when
	// the node's init is gone.
	stopped   chan struct{}
	nodeEnded chan struct{}
}

// runSupervise is the supervisor. It holds a lock for as long as it lives.
func runSupervise() error {
	l, err := newLayout()
	if err != nil {
		return err
	}
	lock, err := lockFile(l.in("lock"))
	if err != nil {
		return fmt.Errorf("another supervisor has this stack: %w", err)
	}
	defer lock.Close()
	if err := joinCgroup(); err != nil {
		return err
	}
	s := &supervisor{layout: l, stopped: make(chan struct{}), nodeEnded: make(chan struct{})}
	if err := s.startNode(); err != nil {
		return err
	}
	s.parts = s.allParts()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, p := range s.parts {
		p.again = make(chan struct{}, 1)
		p.exited = make(chan struct{})
		close(p.exited)
		go s.keep(ctx, p)
	}
	server, err := s.serve(cancel)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	select {
	case <-s.stopped:
	case <-s.nodeEnded:
		// Everything in the node must start anew, and its process id is no
		// longer ours to enter: the next up begins again with the same data.
		s.stopAll(cancel)
	case <-signals:
		s.stopAll(cancel)
	}
	// A stop ends the node, which is seen here before its own answer is sent.
	drain, drained := context.WithTimeout(context.Background(), 5*time.Second)
	defer drained()
	return server.Shutdown(drain)
}

func (s *supervisor) startNode() error {
	node, err := startNode(s.layout)
	if err != nil {
		return err
	}
	s.node = node
	go func() {
		s.logf("the node ended: %v", node.Wait())
		close(s.nodeEnded)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return linkNode(ctx, node.Process.Pid)
}

// waitFor waits until all of the named parts are up.
func (s *supervisor) waitFor(ctx context.Context, names []string) bool {
	for {
		up := true
		for _, name := range names {
			up = up && s.part(name).snapshot().State == stateUp
		}
		if up {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *supervisor) part(name string) *part {
	for _, p := range s.parts {
		if p.name == name {
			return p
		}
	}
	panic("no part is named " + name)
}

// serve answers on the control socket.
func (s *supervisor) serve(cancel context.CancelFunc) (*http.Server, error) {
	_ = os.Remove(s.socket())
	listener, err := net.Listen("unix", s.socket())
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(s.statuses())
	})
	mux.HandleFunc("POST /restart", func(w http.ResponseWriter, r *http.Request) {
		for _, name := range strings.Split(r.URL.Query().Get("parts"), ",") {
			p := s.part(name)
			p.set(stateWaiting, "")
			select {
			case p.again <- struct{}{}:
			default:
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		s.stopAll(cancel)
		w.WriteHeader(http.StatusNoContent)
		go close(s.stopped)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.logf("control socket: %v", err)
		}
	}()
	return server, nil
}

func (s *supervisor) statuses() []partStatus {
	statuses := make([]partStatus, 0, len(s.parts))
	for _, p := range s.parts {
		status := p.snapshot()
		if status.PID != 0 {
			status.PID = childOf(status.PID)
		}
		statuses = append(statuses, status)
	}
	return statuses
}

// stopAll stops the parts on the machine in reverse order, so that each can
// still reach what it needs while it ends, then the node with all in it.
func (s *supervisor) stopAll(cancel context.CancelFunc) {
	cancel()
	for i := len(s.parts) - 1; i >= 0; i-- {
		if p := s.parts[i]; !p.inNode {
			p.end(5 * time.Second)
		}
	}
	_ = s.node.Process.Kill()
}

func (s *supervisor) logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.RFC3339)+" "+format+"\n", args...)
}

// lockFile takes a lock that the kernel gives back when the process ends.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
