package cluster

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// streams records which watches of Kubernetes are open. A cache whose stream is cut does not report that, and continues
// to return old objects. If the other end disappears silently, client-go notices it with its pings and closes the
// stream within 45 s.
type streams struct {
	http.RoundTripper

	mu sync.Mutex
	// open counts the streams of each path; cut is the time since which a path has had none.
	open map[string]int
	cut  map[string]time.Time
}

// follow wraps the transport.
func (s *streams) follow(next http.RoundTripper) http.RoundTripper {
	s.RoundTripper, s.open, s.cut = next, map[string]int{}, map[string]time.Time{}
	return s
}

// RoundTrip makes the request, and records the stream if it is a watch.
func (s *streams) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Query().Get("watch") != "true" {
		return s.RoundTripper.RoundTrip(request)
	}
	path := request.URL.Path
	s.note(path, 0) // the stream counts as cut until it is open
	response, err := s.RoundTripper.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusOK {
		return response, err
	}
	s.note(path, 1)
	response.Body = &stream{ReadCloser: response.Body, end: sync.OnceFunc(func() { s.note(path, -1) })}
	return response, nil
}

func (s *streams) note(path string, more int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[path] += more
	if s.open[path] > 0 {
		delete(s.cut, path)
	} else if _, known := s.cut[path]; !known {
		s.cut[path] = time.Now()
	}
}

// until returns the time up to which all changes are known: now, unless a stream is cut.
func (s *streams) until(now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	since := []time.Time{now}
	for _, at := range s.cut {
		since = append(since, at)
	}
	return slices.MinFunc(since, time.Time.Compare)
}

// stream is the body of a watch.
type stream struct {
	io.ReadCloser
	end func()
}

// Read notes the end of the stream.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil {
		s.end()
	}
	return n, err
}

// Close ends the stream.
func (s *stream) Close() error {
	s.end()
	return s.ReadCloser.Close()
}
