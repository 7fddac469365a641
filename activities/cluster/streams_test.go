package cluster

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// reply is a response of Kubernetes: no response if it has no body.
type reply struct {
	status int
	body   io.ReadCloser
}

// replies is a Kubernetes that sends the next reply to each request.
type replies struct{ next []reply }

func (r *replies) RoundTrip(*http.Request) (*http.Response, error) {
	now := r.next[0]
	r.next = r.next[1:]
	if now.body == nil {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: now.status, Body: now.body}, nil
}

func TestWatchReportsItsAge(t *testing.T) {
	t.Parallel()
	body := func() *io.PipeReader { r, _ := io.Pipe(); return r }
	first, second := body(), body()
	kube := &replies{next: []reply{
		{http.StatusOK, first}, {http.StatusForbidden, body()}, {}, {http.StatusOK, second}, {http.StatusOK, body()},
	}}
	var all streams
	all.follow(kube)
	begin := time.Now()
	later := begin.Add(time.Hour)
	ask := func(query string) io.ReadCloser {
		t.Helper()
		request, err := http.NewRequest(http.MethodGet, "http://kube/apis/clusters?"+query, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := all.RoundTrip(request)
		if err != nil {
			return io.NopCloser(strings.NewReader(""))
		}
		return response.Body
	}
	cut := func(want bool, when string) {
		t.Helper()
		if got := all.until(later); got.Equal(later) == want {
			t.Errorf("%s: it knows everything until %s after the start; disconnected is %v", when, got.Sub(begin), want)
		}
	}
	cut(false, "before any watch")
	open := ask("watch=true")
	cut(false, "while the watch is open")
	_ = open.Close()
	cut(true, "after the watch has ended")
	_ = ask("watch=true").Close()
	cut(true, "after Kubernetes refused it")
	_ = ask("watch=true").Close()
	cut(true, "while Kubernetes does not respond")
	since := all.until(later)
	again := ask("watch=true")
	cut(false, "after it is open again")
	_ = ask("limit=1").Close()
	cut(false, "after a request that is not a watch")
	_ = second.CloseWithError(io.ErrUnexpectedEOF)
	if _, err := again.Read(make([]byte, 1)); err == nil {
		t.Error("a broken stream could be read")
	}
	cut(true, "after it broke")
	_ = again.Close()
	if !all.until(later).After(since) {
		t.Error("it counts as disconnected since the first time")
	}
}
