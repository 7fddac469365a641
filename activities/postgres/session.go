package postgres

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/daap-dev/daap/activities/diagnosis"
)

// sessionTimeout bounds a session with a team's PostgreSQL, from the connection to the last statement.
const sessionTimeout = 5 * time.Second

// What a session with a team's PostgreSQL may cost. Who owns a database owns what it answers, so the bounds are kept on
// this side, whatever the other one does. sessionTimeout is the bound in time.
const (
	// sessionBytes bounds what is read of a connection in all, that of TLS too.
	sessionBytes = 1 << 20
	// messageBytes bounds one message of PostgreSQL.
	messageBytes = 64 << 10
	// scramRounds bounds how often a server may have the password hashed. PostgreSQL's default is 4,096.
	scramRounds = 1_000_000
)

var (
	errTooLong = fmt.Errorf("the server sent more than %d bytes", sessionBytes)
	errOneLine = errors.New("a session may use only one connection")
)

// login is who connects, to which database, and whose certificates are believed.
type login struct {
	user, password, database string
	ca                       []byte
	// changes lets the session change something.
	changes bool
}

// route leads to a PostgreSQL, or to the pool in front of it.
type route struct {
	// host is the name that the certificate must show, address the IP address and port.
	host, address string
	// pooled is the route through PgBouncer, which takes TLS 1.2 and refuses start-up parameters that it does not know.
	pooled bool
}

// session runs something on a connection of its own, which is the only way to connect to a team's PostgreSQL. All of it
// is over within sessionTimeout, costs no more than the bounds above, and tells of the other side only what is
// diagnosis.Safe.
func (l login) session(ctx context.Context, w route, run func(context.Context, *pgx.Conn) error) error {
	bounded, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	config, err := l.config(w)
	if err != nil {
		return err
	}
	line := &boundedConn{}
	config.DialFunc = line.dial
	// The driver says goodbye when its time is up, to which another side that does not listen would hold it.
	defer context.AfterFunc(bounded, line.cut)()
	defer line.cut()
	conn, err := pgx.ConnectConfig(bounded, config)
	if err == nil {
		err = run(bounded, conn)
		_ = conn.Close(bounded)
	}
	if err != nil && line.read.Load() >= sessionBytes { // which the driver may not say
		err = errTooLong
	}
	return told(ctx, bounded, err)
}

// config is that of a client with sslmode=verify-full. It takes nothing from the environment.
func (l login) config(w route) (*pgx.ConnConfig, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(l.ca) {
		return nil, errors.New("read the CA certificate: it is not PEM")
	}
	config, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("parse an empty configuration: %w", err)
	}
	config.Host, config.User, config.Password, config.Database = w.host, l.user, l.password, l.database
	// So that it also works where the cluster's DNS is not at hand.
	config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{w.address}, nil }
	config.TLSConfig = &tls.Config{RootCAs: roots, ServerName: w.host, MinVersion: tls.VersionTLS13}
	if w.pooled {
		config.TLSConfig.MinVersion = tls.VersionTLS12
	}
	config.SSLNegotiation, config.Fallbacks, config.ConnectTimeout = "", nil, sessionTimeout
	config.ValidateConnect, config.AfterConnect = nil, nil
	config.RequireAuth = "scram-sha-256" // with which the server never sees the password
	config.ChannelBinding, config.SSLCertMode = "prefer", ""
	config.MinProtocolVersion, config.MaxProtocolVersion = "3.0", "3.0"
	config.RuntimeParams = l.parameters(w)
	config.MaxProtocolMessageBodyLen = messageBytes
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(&handshakeGuard{from: r}, w)
	}
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {} // else they are kept
	// The pool is per transaction: no prepared statements.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return config, nil
}

// parameters are what the session is begun with. They come before what the owner has set for a database or a role.
func (l login) parameters(w route) map[string]string {
	all := map[string]string{
		"application_name": "daap-worker", "client_encoding": "UTF8", "standard_conforming_strings": "on",
	}
	if w.pooled {
		return all
	}
	all["search_path"] = "pg_catalog, pg_temp" // what is left out comes first
	all["datestyle"], all["row_security"] = "ISO", "off"
	all["statement_timeout"], all["lock_timeout"] = "4s", "2s"
	all["idle_in_transaction_session_timeout"], all["idle_session_timeout"] = "10s", "10s" // of a worker that is gone
	all["default_transaction_read_only"] = "on"
	if l.changes {
		all["default_transaction_read_only"] = "off"
	}
	return all
}

// boundedConn is the network connection of a session.
type boundedConn struct {
	net.Conn

	mu   sync.Mutex
	read atomic.Int64 // bytes; the driver may still read where its statement is over
}

// dial connects, once: the driver would connect again to have a statement ended whose time is up.
func (l *boundedConn) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Conn != nil {
		return nil, errOneLine
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.Conn = conn
	return l, nil
}

// cut ends the connection without a word, and all that waits for it.
func (l *boundedConn) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Conn != nil {
		_ = l.Close()
	}
}

// Read is that of the connection until sessionBytes are read.
func (l *boundedConn) Read(p []byte) (int, error) {
	left := sessionBytes - l.read.Load()
	if left <= 0 {
		return 0, errTooLong
	}
	n, err := l.Conn.Read(p[:min(int64(len(p)), left)])
	l.read.Add(int64(n))
	return n, err
}

// handshakeGuard reads what a server says until it is ready. It is refused where it asks for more than scramRounds,
// which no deadline would end; the driver's own bound is seconds of a CPU.
type handshakeGuard struct {
	from  io.Reader
	seen  []byte // of a message that was looked at
	ready bool
}

// Read is what is read from the server.
func (g *handshakeGuard) Read(p []byte) (int, error) {
	if g.ready && len(g.seen) == 0 {
		return g.from.Read(p)
	}
	if len(g.seen) == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, g.seen)
	g.seen = g.seen[n:]
	return n, nil
}

// next reads one message: a byte of its kind, four of its length, which counts itself, and its body.
func (g *handshakeGuard) next() error {
	const authentication, readyForQuery, saslContinue = 'R', 'Z', 11
	message := make([]byte, 5)
	if _, err := io.ReadFull(g.from, message); err != nil {
		return err
	}
	length := int64(binary.BigEndian.Uint32(message[1:])) - 4
	if length < 0 || length > messageBytes {
		return fmt.Errorf("the server announced a message of %d bytes", length)
	}
	kind, body := message[0], make([]byte, length)
	if _, err := io.ReadFull(g.from, body); err != nil {
		return err
	}
	if kind == authentication && len(body) >= 4 && binary.BigEndian.Uint32(body) == saslContinue {
		_, rounds, _ := bytes.Cut(body, []byte(",i="))
		if n, err := strconv.Atoi(string(rounds)); err != nil || n > scramRounds {
			return fmt.Errorf("the server requires more than %d SCRAM iterations", scramRounds)
		}
	}
	g.seen, g.ready = append(message, body...), kind == readyForQuery
	return nil
}

// sessionError is why a session failed, in words that may be shown. It wraps nothing of the other side's: Temporal
// writes down whatever an error wraps.
type sessionError struct {
	said, state string
	// ended is why the activity itself is over; nil where it is not.
	ended error
}

// Error is diagnosis.Safe.
func (e *sessionError) Error() string { return e.said }

// Unwrap is why the activity is over.
func (e *sessionError) Unwrap() error { return e.ended }

func told(ctx, bounded context.Context, err error) error {
	if err == nil {
		return nil
	}
	said := err.Error()
	if bounded.Err() != nil {
		said = fmt.Sprintf("timed out after %s: %s", sessionTimeout, said)
	}
	return &sessionError{said: diagnosis.Safe(said), state: sqlState(err), ended: ctx.Err()}
}

var aState = regexp.MustCompile(`^[0-9A-Z]{5}$`)

// sqlState is PostgreSQL's code of the error; empty where it has none.
func sqlState(err error) string {
	var told *sessionError
	if errors.As(err, &told) {
		return told.state
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) && aState.MatchString(answer.Code) {
		return answer.Code
	}
	return ""
}

// Unanswered reports whether a team's PostgreSQL was asked and said nothing that has a code of its own.
func Unanswered(err error) bool {
	var told *sessionError
	return errors.As(err, &told) && told.state == ""
}
