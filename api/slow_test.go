package api_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/daap-dev/daap/api"
)

// drippers hold connections open: half of them send their headers a byte at a time, half their bodies. ended is how
// many the server has cut off.
type drippers struct {
	stop  context.CancelFunc
	over  sync.WaitGroup
	mu    sync.Mutex
	ended int
}

func drip(t *testing.T, address string, many int) *drippers {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	d := &drippers{stop: stop}
	t.Cleanup(func() { stop(); d.over.Wait() })
	begins := []string{
		"POST /databases HTTP/1.1\r\nHost: a\r\nX-API-Key: " + platformKey + "\r\nX-Drip: ",
		"POST /databases HTTP/1.1\r\nHost: a\r\nX-API-Key: " + platformKey +
			"\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
	}
	for i := range many {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			t.Fatalf("dripper %d: %v", i, err)
		}
		if _, err := io.WriteString(conn, begins[i%2]); err != nil {
			t.Fatalf("dripper %d: %v", i, err)
		}
		d.over.Go(func() {
			defer func() { _ = conn.Close() }()
			if d.dripOn(ctx, conn) {
				d.mu.Lock()
				d.ended++
				d.mu.Unlock()
			}
		})
	}
	return d
}

// dripOn sends a byte every while, and says whether the server ended that.
func (d *drippers) dripOn(ctx context.Context, conn net.Conn) bool {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
			if _, err := conn.Write([]byte(" ")); err != nil {
				return true
			}
		}
	}
}

func (d *drippers) cutOff() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ended
}

// serveSlow serves the API as a process does, with shorter bounds of time where a test cannot wait for them.
func serveSlow(t *testing.T, change func(*http.Server)) string {
	t.Helper()
	_, handler := bare(t)
	server := api.NewServer(handler, zap.NewNop())
	change(server)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(api.LimitConnections(listener, api.MaxConnections)) }()
	t.Cleanup(func() { _ = server.Close() })
	return listener.Addr().String()
}

// honest sends requests one after the other and returns the 99th percentile of how long they took.
func honest(t *testing.T, address string, many int) time.Duration {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second}
	took := make([]time.Duration, many)
	for i := range took {
		req := asPlatform("/databases")
		req.RequestURI = ""
		req.URL.Scheme, req.URL.Host = "http", address
		begin := time.Now()
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		took[i] = time.Since(begin)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("got %d", res.StatusCode)
		}
	}
	slices.Sort(took)
	return took[many*99/100]
}

// TestSlowClientsDoNotSlowOthers takes turns with and without slow clients, and compares the best turn of each: the
// machine has other work to do.
func TestSlowClientsDoNotSlowOthers(t *testing.T) {
	address := serveSlow(t, func(s *http.Server) { // none may be cut off while the others are timed
		s.ReadHeaderTimeout, s.ReadTimeout = time.Minute, time.Minute
	})
	honest(t, address, 200) // warm
	var alone, beside []time.Duration
	for range 3 {
		alone = append(alone, honest(t, address, 500))
		slow := drip(t, address, 500)
		beside = append(beside, honest(t, address, 500))
		if n := slow.cutOff(); n > 0 {
			t.Fatalf("%d of the slow clients are gone already", n)
		}
		slow.stop()
		slow.over.Wait()
	}
	a, b := slices.Min(alone), slices.Min(beside)
	t.Logf("p99 of honest clients: %s alone, %s beside 500 slow ones", a, b)
	if b > 3*a+20*time.Millisecond {
		t.Errorf("p99 beside 500 slow clients is %s, alone %s", b, a)
	}
}

func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	address := serveSlow(t, func(s *http.Server) {
		s.ReadHeaderTimeout, s.ReadTimeout = time.Second, 2*time.Second
	})
	const many = 100
	slow := drip(t, address, many)
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for slow.cutOff() < many {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("%d of %d slow clients were cut off", slow.cutOff(), many)
		}
	}
}

func TestLargeHeadersAreRefused(t *testing.T) {
	t.Parallel()
	address := serveSlow(t, func(*http.Server) {})
	req := asPlatform("/databases")
	req.RequestURI = ""
	req.URL.Scheme, req.URL.Host = "http", address
	for i := range 30 {
		req.Header.Set(fmt.Sprintf("X-Much-%d", i), fmt.Sprintf("%01024d", i))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d", res.StatusCode)
	}
}
