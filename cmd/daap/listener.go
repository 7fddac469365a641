package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/daap-dev/daap/api"
	"github.com/daap-dev/daap/cmd/internal/config"
)

// listener is where a server of this process listens.
type listener struct {
	// what is the server, to people; variable is the one that has its address.
	what, variable, address string
	// drain bounds the requests in progress at a stop.
	drain time.Duration
	log   *zap.Logger
}

// serve serves until ctx is done and then lets requests end.
func (l listener) serve(ctx context.Context, handler http.Handler) error {
	server := api.NewServer(handler, l.log)
	var listening net.ListenConfig
	open, err := listening.Listen(ctx, "tcp", l.address)
	if err != nil {
		return &config.Error{Variable: l.variable, Problem: fmt.Sprintf("cannot be used as listen address: %v", err)}
	}
	l.log.Info(l.what+" is listening.", zap.Stringer("address", open.Addr()))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(api.LimitConnections(open, api.MaxConnections)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	l.log.Info(l.what+" is draining.", zap.Duration("timeout", l.drain))
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.drain)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("drain HTTP: %w", err), server.Close())
	}
	return nil
}
