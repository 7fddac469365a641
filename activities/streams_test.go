package activities

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// replies is a Kubernetes that answers each watch with what is next.
type replies struct {
	next []func() (*http.Response, error)
}

func (a *replies) RoundTrip(*http.Request) (*http.Response, error) {
	answer := a.next[0]
	a.next = a.next[1:]
	return answer()
}

func TestWatchKnowsUntilWhenItKnows(t *testing.T) {
	t.Parallel()
	body := func() *io.PipeReader { r, _ := io.Pipe(); return r }
	answer := func(status int, body io.ReadCloser) func() (*http.Response, error) {
		return func() (*http.Response, error) { return &http.Response{StatusCode: status, Body: body}, nil }
	}
	first, second := body(), body()
	kube := &replies{next: []func() (*http.Response, error){
		answer(http.StatusOK, first),
		answer(http.StatusForbidden, io.NopCloser(strings.NewReader("no"))),
		func() (*http.Response, error) { return nil, errors.New("connection refused") },
		answer(http.StatusOK, second),
		answer(http.StatusOK, io.NopCloser(strings.NewReader("{}"))),
	}}
	var all streams
	all.follow(kube)
	begin := time.Now()
	later := begin.Add(time.Hour)
	ask := func(query string) *http.Response {
		t.Helper()
		request, err := http.NewRequest(http.MethodGet, "http://kube/apis/clusters?"+query, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := all.RoundTrip(request) //nolint:bodyclose // the test does
		if err != nil {
			return nil
		}
		return response
	}
	cut := func(want bool, when string) {
		t.Helper()
		if got := all.until(later); got.Equal(later) == want {
			t.Errorf("%s: it knows all until %s after the begin; cut off is %v", when, got.Sub(begin), want)
		}
	}
	cut(false, "before any watch")
	open := ask("watch=true")
	cut(false, "while the watch is open")
	_ = open.Body.Close()
	cut(true, "after the watch has ended")
	ask("watch=true")
	cut(true, "after Kubernetes refused it")
	ask("watch=true")
	cut(true, "while nobody replies")
	since := all.until(later)
	again := ask("watch=true")
	cut(false, "after it is open again")
	ask("limit=1")
	cut(false, "after a request that is no watch")
	_ = second.CloseWithError(io.ErrUnexpectedEOF)
	if _, err := again.Body.Read(make([]byte, 1)); err == nil {
		t.Error("a stream that broke could be read")
	}
	cut(true, "after it broke")
	_ = again.Body.Close()
	if !all.until(later).After(since) {
		t.Error("it is cut off since the first time")
	}
}
