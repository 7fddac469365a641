package local

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Part is what the stack's supervisor says of one of its processes.
type Part struct {
	Name     string `json:"name"`
	State    string `json:"state"`
	PID      int    `json:"pid"`
	Restarts int    `json:"restarts"`
}

// StateDir is where the stack keeps what it runs on.
func StateDir() string { return filepath.Dir(os.Getenv("KUBECONFIG")) }

// PartUp is the state of a part that does its work.
const PartUp = "up"

// partsTimeout bounds one question to the supervisor.
const partsTimeout = 5 * time.Second

// Parts asks the stack's supervisor, over its socket, for all of its processes.
func Parts(ctx context.Context) ([]Part, error) {
	ctx, cancel := context.WithTimeout(ctx, partsTimeout)
	defer cancel()
	socket := filepath.Join(StateDir(), "control.sock")
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://stack/status", nil)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the stack's supervisor: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	var all []Part
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		return nil, fmt.Errorf("read what the stack's supervisor says: %w", err)
	}
	return all, nil
}

// PartThatIsUp returns the named part; an error where it is not up.
func PartThatIsUp(ctx context.Context, name string) (Part, error) {
	all, err := Parts(ctx)
	if err != nil {
		return Part{}, err
	}
	for _, p := range all {
		if p.Name == name && p.State == PartUp && p.PID != 0 {
			return p, nil
		}
	}
	return Part{}, fmt.Errorf("the stack's part %s is not up", name)
}
