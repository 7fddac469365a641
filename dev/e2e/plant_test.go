//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/client"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// planted is how the name of a canary begins that the search must find.
const planted = "planted "

// plant is a canary that must be found where it was put, or the search would find no secret there either.
type plant struct {
	name string
	// where are the sources that must have it, by how their names begin; one of several that "|" separates.
	where []string
}

// plant returns a canary that the search must find in the sources.
func (w *watch) plant(name string, where ...string) string {
	canary := "canary-" + rand.Text()
	name = planted + name
	w.secrets.Add(name, canary)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plants = append(w.plants, plant{name, where})
	return canary
}

// missed are the canaries that were not found where they were put.
func (w *watch) missed(found map[string][]string) []error {
	var errs []error
	for _, p := range w.plants {
		for _, where := range p.where {
			seen := false
			for source, names := range found {
				for place := range strings.SplitSeq(where, "|") {
					seen = seen || strings.HasPrefix(source, place) && slices.ContainsFunc(names, func(name string) bool {
						return strings.HasPrefix(name, p.name)
					})
				}
			}
			if !seen {
				errs = append(errs, fmt.Errorf("%s is not found in %s, so that a secret would not be, either", p.name, where))
			}
		}
	}
	return errs
}

// plantAll puts a canary into each kind of thing that is searched.
func (w *watch) plantAll(ctx context.Context, temporal client.Client) error {
	return errors.Join(w.plantRequest(ctx), w.plantEvent(ctx), w.plantProcess(ctx), w.plantWorkflow(ctx, temporal))
}

// plantRequest sends one whose ID is logged, answered, and kept in the audit log.
func (w *watch) plantRequest(ctx context.Context) error {
	canary := w.plant("request", "log/api.log", "the API's answers", dumpOfRows)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, stack.URL+"/tiers", nil)
	if err != nil {
		return err
	}
	key, err := os.ReadFile(os.Getenv("DAAP_API_KEY_FILE"))
	if err != nil {
		return err
	}
	request.Header.Set("X-API-Key", strings.TrimSpace(string(key)))
	request.Header.Set("X-Request-Id", canary)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = answer.Body.Close() // it is kept
	rows, err := pgx.Connect(ctx, os.Getenv("DAAP_DATABASE_URL"))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close(ctx) }()
	return soon(ctx, "the request is in the audit log", func() bool {
		var n int
		err := rows.QueryRow(ctx, `SELECT count(*) FROM audit_log WHERE request_id = $1`, canary).Scan(&n)
		return err == nil && n > 0
	})
}

func (w *watch) plantEvent(ctx context.Context) error {
	canary := w.plant("event", "Kubernetes's events")
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: "e2e-", Namespace: "default"},
		InvolvedObject: corev1.ObjectReference{Kind: "Namespace", Name: "default", Namespace: "default"},
		Message:        canary, Type: corev1.EventTypeNormal, Reason: "Searched",
	}
	if err := stack.Kubernetes.Create(ctx, event); err != nil {
		return fmt.Errorf("create an event: %w", err)
	}
	return w.keptSoon(ctx, "Kubernetes's events", canary)
}

func (w *watch) plantProcess(ctx context.Context) error {
	canary := w.plant("process", "processes' arguments")
	process := exec.CommandContext(ctx, "sh", "-c", "read until_it_is_seen", canary)
	input, err := process.StdinPipe()
	if err != nil {
		return err
	}
	if err := process.Start(); err != nil {
		return err
	}
	err = w.keptSoon(ctx, "processes' arguments", canary)
	_ = input.Close()
	_ = process.Wait() // sh finds nothing to read
	return err
}

// plantWorkflow starts a workflow that no worker takes, and terminates it.
func (w *watch) plantWorkflow(ctx context.Context, temporal client.Client) error {
	const onDisk = "temporal.db|temporal.db-wal"
	input := w.plant("input of a workflow", temporalHistories, onDisk)
	memo := w.plant("memo of a workflow", temporalVisibility, onDisk)
	reason := w.plant("end of a workflow", temporalHistories, onDisk)
	run, err := temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: "e2e-planted-" + rand.Text(), TaskQueue: "e2e-nobody", Memo: map[string]any{"canary": memo},
		WorkflowExecutionTimeout: time.Minute,
	}, "nobody_runs_this", map[string]string{"password": input})
	if err != nil {
		return fmt.Errorf("start a workflow: %w", err)
	}
	if err := temporal.TerminateWorkflow(ctx, run.GetID(), run.GetRunID(), reason); err != nil {
		return fmt.Errorf("terminate a workflow: %w", err)
	}
	return soon(ctx, "the workflow is visible as terminated", func() bool {
		n, err := temporal.CountWorkflow(ctx, countOf(run.GetID()))
		return err == nil && n.GetCount() > 0
	})
}

// keptSoon waits until the canary is in what is kept under that name.
func (w *watch) keptSoon(ctx context.Context, what, canary string) error {
	return soon(ctx, "a canary is among "+what, func() bool {
		text, err := os.ReadFile(filepath.Join(w.dir, what))
		return err == nil && strings.Contains(string(text), canary)
	})
}

// plantPatience bounds how long a canary takes to be where it was put.
const plantPatience = 20 * time.Second

// soon looks every 100 ms until it is so, for a while.
func soon(ctx context.Context, what string, so func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, plantPatience)
	defer cancel()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for !so() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		}
	}
	return nil
}
