//go:build bench

package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/daap-dev/daap/api/auth"
)

// poolSize is how many connections requests have: all of them before the listener gets its own.
const poolSize = 4

// line leads a process to PostgreSQL. What is done to it befalls the listener alone.
type line struct {
	databaseURL string
	// warm says that the pool has all of its connections: the next is the listener's.
	warm, lost, refused atomic.Bool
	over                chan struct{}
}

// openByLine returns a pool on a line, with all of its connections.
func openByLine(t *testing.T, databaseURL string) (*pgxpool.Pool, *line) {
	t.Helper()
	l := &line{databaseURL: databaseURL, over: make(chan struct{})}
	cfg, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxConns, cfg.ConnConfig.DialFunc = poolSize, l.dial
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(l.over)
		pool.Close()
	})
	for range poolSize {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
	}
	l.warm.Store(true)
	return pool, l
}

// refuse lets no connection be made any more.
func (l *line) refuse() { l.refused.Store(true) }

// lose loses all packets of the listener, of which neither end is told.
func (l *line) lose() { l.lost.Store(true) }

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if l.refused.Load() {
		return nil, errors.New("the line takes no connection")
	}
	server, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil || !l.warm.Load() {
		return server, err
	}
	client, end := net.Pipe()
	go l.carry(server, end)
	go l.carry(end, server)
	return client, nil
}

// carry carries what comes from one end to the other.
func (l *line) carry(to io.WriteCloser, from io.Reader) {
	defer func() { _ = to.Close() }()
	packet := make([]byte, 4096)
	for {
		n, err := from.Read(packet)
		if l.lost.Load() {
			<-l.over
			return
		}
		if _, failed := to.Write(packet[:n]); failed != nil || err != nil {
			return
		}
	}
}

// witness says when changes are told of for the first time.
type witness struct {
	*auth.Authenticator
	trusts chan struct{}
}

func newWitness(a *auth.Authenticator) witness { return witness{a, make(chan struct{}, 1)} }

func (w witness) Trust() {
	w.Authenticator.Trust()
	select {
	case w.trusts <- struct{}{}:
	default:
	}
}
