package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The states of a part.
const (
	stateWaiting  = "waiting"  // for what it needs
	stateStarting = "starting" // or being prepared
	stateUp       = "up"       // it answers, or the step is done
	stateFailed   = "failed"   // it will be tried again
	stateAbsent   = "absent"   // there is nothing to run
	stateStopped  = "stopped"
)

// errAbsent is returned by prepare when there is nothing to run.
var errAbsent = errors.New("absent")

// part is a process that is kept running, or, without a command, a step that
// is done once.
type part struct {
	name    string
	address string
	needs   []string
	inNode  bool
	prepare func(context.Context) error // before every start
	command []string
	env     func() ([]string, error)
	ready   func(context.Context) error
	stop    syscall.Signal

	mu     sync.Mutex
	status partStatus
	again  chan struct{} // asks for a restart
	exited chan struct{} // closed when the present process is gone
	proc   *os.Process
}

// partStatus is what status shows of a part.
type partStatus struct {
	Name     string    `json:"name"`
	State    string    `json:"state"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
	Address  string    `json:"address,omitempty"`
	Detail   string    `json:"detail,omitempty"`
	Step     bool      `json:"step,omitempty"`
}

func (p *part) set(state, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status.State != state {
		p.status.Since = time.Now()
	}
	p.status.State, p.status.Detail = state, detail
}

func (p *part) snapshot() partStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	status := p.status
	status.Name, status.Address, status.Step = p.name, p.address, p.command == nil
	return status
}

// keep runs the part until the context ends, starting it again whenever it
// ends, with a growing pause.
func (s *supervisor) keep(ctx context.Context, p *part) {
	pause := 200 * time.Millisecond
	for ctx.Err() == nil {
		p.set(stateWaiting, "")
		if !s.waitFor(ctx, p.needs) {
			break
		}
		began := time.Now()
		err := s.once(ctx, p)
		if ctx.Err() != nil {
			break
		}
		if err == nil { // asked to restart
			pause = 200 * time.Millisecond
			continue
		}
		p.mu.Lock()
		p.status.Restarts++
		p.mu.Unlock()
		p.set(stateFailed, err.Error())
		s.logf("%s: %v", p.name, err)
		if time.Since(began) > time.Minute {
			pause = 200 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-p.again:
		case <-time.After(pause):
		}
		pause = min(2*pause, 10*time.Second)
	}
	p.set(stateStopped, "")
}

// once runs the part once. It returns nil when it was asked to restart.
func (s *supervisor) once(ctx context.Context, p *part) error {
	p.set(stateStarting, "")
	if p.prepare != nil {
		if err := p.prepare(ctx); errors.Is(err, errAbsent) {
			p.set(stateAbsent, err.Error())
			return s.idle(ctx, p)
		} else if err != nil {
			return err
		}
	}
	if p.command == nil {
		p.set(stateUp, "")
		return s.idle(ctx, p)
	}
	ended, err := s.start(p)
	if err != nil {
		return err
	}
	readyCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go p.watchReady(readyCtx)
	select {
	case <-ctx.Done():
		// The supervisor stops the parts itself, in order.
		<-p.exited
		return ctx.Err()
	case <-p.again:
		p.end(20 * time.Second)
		s.logf("%s: restarted on request: %v", p.name, <-ended)
		return nil
	case err := <-ended:
		return err
	}
}

func (s *supervisor) idle(ctx context.Context, p *part) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.again:
		return nil
	}
}

// start starts the process; the channel says how it ended.
func (s *supervisor) start(p *part) (<-chan error, error) {
	log, err := os.OpenFile(s.log(p.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	argv := p.command
	if p.inNode {
		argv = enterNode(s.node.Process.Pid, argv)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = partEnv()
	if p.env != nil {
		extra, err := p.env()
		if err != nil {
			return nil, err
		}
		cmd.Env = partEnv(extra...)
	}
	cmd.Dir = s.state
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own, so that a signal ends what it started as well.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	exited := make(chan struct{})
	p.mu.Lock()
	p.proc, p.exited = cmd.Process, exited
	p.status.PID = cmd.Process.Pid
	p.mu.Unlock()
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.proc, p.status.PID = nil, 0
		p.mu.Unlock()
		if err == nil {
			err = errors.New("ended")
		}
		ended <- err
		close(exited)
	}()
	return ended, nil
}

// watchReady asks until the part answers.
func (p *part) watchReady(ctx context.Context) {
	for ctx.Err() == nil {
		err := error(nil)
		if p.ready != nil {
			try, cancel := context.WithTimeout(ctx, 3*time.Second)
			err = p.ready(try)
			cancel()
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			p.set(stateUp, "")
			return
		}
		p.set(stateStarting, err.Error())
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// end stops the process: kindly, then not.
func (p *part) end(limit time.Duration) {
	p.mu.Lock()
	proc, exited := p.proc, p.exited
	p.mu.Unlock()
	if proc == nil {
		return
	}
	signal := p.stop
	if signal == 0 {
		signal = syscall.SIGTERM
	}
	_ = syscall.Kill(proc.Pid, signal)
	select {
	case <-exited:
	case <-time.After(limit):
		_ = syscall.Kill(-proc.Pid, syscall.SIGKILL)
		<-exited
	}
}

// childOf finds the real process behind nsenter; for others it is the pid.
func childOf(pid int) int {
	path := fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(comm)) != "nsenter" {
		return pid
	}
	children, err := os.ReadFile(path)
	if err != nil {
		return pid
	}
	fields := strings.Fields(string(children))
	if len(fields) == 0 {
		return pid
	}
	child, err := strconv.Atoi(fields[0])
	if err != nil {
		return pid
	}
	return child
}
