package api_test

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

func TestExportHasALineForEachEntry(t *testing.T) {
	t.Parallel()
	s := start(t)
	const many = 1234
	for range many {
		s.store.Add(daap.AuditEntry{Action: "getDatabase", Outcome: daap.OutcomeSucceeded, After: map[string]any{"a": 1.5, "b": nil}})
	}
	got := s.do(http.MethodGet, "/audit-logs/export?action=getDatabase", "")
	lines := 0
	for scanner := bufio.NewScanner(strings.NewReader(string(got.body))); scanner.Scan(); lines++ {
		var e oas.AuditEntry
		if err := e.UnmarshalJSON(scanner.Bytes()); err != nil || e.Action != "getDatabase" || string(e.After.Value["a"]) != "1.5" {
			t.Fatalf("line %d is %s (%v)", lines, scanner.Bytes(), err)
		}
	}
	if lines != many || !strings.HasPrefix(got.header.Get("Content-Type"), "application/x-ndjson") {
		t.Errorf("got %d lines of %s, want %d", lines, got.header.Get("Content-Type"), many)
	}
}

func TestFailingExportIsCutOff(t *testing.T) {
	t.Parallel()
	store, handler := bare(t)
	for range 3000 {
		store.Add(daap.AuditEntry{Action: "getDatabase", Outcome: daap.OutcomeSucceeded})
	}
	pages := 0
	store.Before(func(context.Context) error {
		if pages++; pages == 2 {
			return errors.New("lost on its way")
		}
		return nil
	})
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/audit-logs/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", platformKey)
	res, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
	}
	if lines.Err() == nil {
		t.Error("the client takes it for whole")
	}
}

func TestExportThatFailsAtTheStartIsAnError(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.store.fail(daap.Unavailable("PostgreSQL is down; try again."))
	got := s.do(http.MethodGet, "/audit-logs/export", "")
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s", got.status, got.body)
	}
	s.store.fail(nil)
	wantEntry(t, s.store.logged(), "exportAuditLogs", daap.OutcomeFailed, http.StatusServiceUnavailable, "platform")
}

func TestExportThatPanicsDoesNotEndTheProcess(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.store.panics("password=hunter2")
	if got := s.do(http.MethodGet, "/audit-logs/export", ""); got.status != http.StatusInternalServerError {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestEmptyExportIsAnswered(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		got := s.do(method, "/audit-logs/export?action=none", "")
		if got.status != http.StatusOK || len(got.body) != 0 || got.header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%s: got %d %v %s", method, got.status, got.header, got.body)
		}
	}
}

// slowClient takes pace to take what it is sent, and has a connection whose writes fail at their deadline.
type slowClient struct {
	httptest.ResponseRecorder
	pace     time.Duration
	deadline time.Time
	// gone receives the signal of the first bytes.
	gone context.CancelFunc
}

func (c *slowClient) SetWriteDeadline(deadline time.Time) error {
	c.deadline = deadline
	return nil
}

func (c *slowClient) Write(some []byte) (int, error) {
	c.gone()
	over := time.NewTimer(c.pace)
	defer over.Stop()
	cutOff := time.NewTimer(time.Until(c.deadline))
	defer cutOff.Stop()
	select {
	case <-over.C:
		return c.ResponseRecorder.Write(some)
	case <-cutOff.C:
		return 0, os.ErrDeadlineExceeded
	}
}

// export has the client take all of a long audit log and returns how many lines it got, how long that took, and
// whether it was cut off. It fails where a goroutine is left over.
func export(t *testing.T, client *slowClient, ctx context.Context) (lines int, took time.Duration, cut bool) {
	t.Helper()
	store, handler := bare(t)
	for range exported {
		store.Add(daap.AuditEntry{Action: "getDatabase", Outcome: daap.OutcomeSucceeded})
	}
	client.ResponseRecorder = *httptest.NewRecorder()
	begin := time.Now()
	func() {
		defer func() { cut = recover() == http.ErrAbortHandler }() //nolint:errorlint // net/http compares it so, too
		handler.ServeHTTP(client, asPlatform("/audit-logs/export").WithContext(ctx))
	}()
	took = time.Since(begin)
	synctest.Wait()
	wantEnd := daap.OutcomeSucceeded
	if cut {
		wantEnd = daap.OutcomeFailed
	}
	if log := store.logged()[exported:]; len(log) != 1 || log[0].Outcome != wantEnd { //nolint:contextcheck // the log is read once the request is over
		t.Errorf("logged %+v, want one that is %s", log, wantEnd)
	}
	return strings.Count(client.Body.String(), "\n"), took, cut
}

// exported is how many entries an export gives: some dozens of chunks.
const exported = 4000

func TestExportServesASlowSteadyClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lines, took, cut := export(t, &slowClient{pace: 20 * time.Second, gone: func() {}}, t.Context())
		if lines != exported || cut || took < 5*time.Minute {
			t.Errorf("got %d lines of %d in %s, cut off %t", lines, exported, took, cut)
		}
	})
}

func TestExportCutsOffAStalledClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, took, cut := export(t, &slowClient{pace: time.Hour, gone: func() {}}, t.Context())
		if !cut || took > 31*time.Second {
			t.Errorf("cut off %t after %s", cut, took)
		}
	})
}

func TestExportEndsWhenItsClientDisconnects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, gone := context.WithCancel(t.Context())
		lines, _, cut := export(t, &slowClient{pace: time.Second, gone: gone}, ctx)
		if !cut || lines >= exported {
			t.Errorf("got %d lines, cut off %t", lines, cut)
		}
	})
}

func TestExportIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lines, took, cut := export(t, &slowClient{pace: 29 * time.Second, gone: func() {}}, t.Context())
		if lines >= exported || !cut || took > 16*time.Minute {
			t.Errorf("got %d lines in %s, cut off %t", lines, took, cut)
		}
	})
}
