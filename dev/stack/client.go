package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// errDown says that no supervisor answers.
var errDown = errors.New("the stack is not running")

// client talks to the supervisor over its socket.
type client struct {
	socket string
}

func (c client) do(method, path string, limit time.Duration, answer any) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", c.socket)
		},
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://stack"+path, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return errDown
		}
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the supervisor answers %s", response.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

func (c client) status() ([]partStatus, error) {
	var statuses []partStatus
	err := c.do(http.MethodGet, "/status", 5*time.Second, &statuses)
	return statuses, err
}

func (c client) restart(parts ...string) error {
	return c.do(http.MethodPost, "/restart?parts="+url.QueryEscape(strings.Join(parts, ",")), 5*time.Second, nil)
}

func (c client) stop() error {
	return c.do(http.MethodPost, "/stop", time.Minute, nil)
}
