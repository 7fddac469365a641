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

// sessionTimeout limits a session with a team's PostgreSQL, from the connection to the last statement.
const sessionTimeout = 5 * time.Second

// The limits of a session with a team's PostgreSQL. The owner of a database controls its responses, so the worker
// enforces the limits, whatever the server does. sessionTimeout is the time limit.
const (
	// sessionBytes limits all bytes read from a connection, including TLS.
	sessionBytes = 1 << 20
	// messageBytes limits one message of PostgreSQL.
	messageBytes = 64 << 10
	// scramRounds limits how often a server may make the worker hash the password. PostgreSQL's default is 4,096.
	scramRounds = 1_000_000
)

var (
	errTooLong = fmt.Errorf("the server sent more than %d bytes", sessionBytes)
	errOneConn = errors.New("a session may use only one connection")
)

// login contains the user, the database and the CA certificate of a connection.
type login struct {
	user, password, database string
	ca                       []byte
	// changes allows the session to make changes.
	changes bool
}

// route leads to a PostgreSQL, or to the pool in front of it.
type route struct {
	// host is the name that the certificate must contain, address the IP address and port.
	host, address string
	// pooled is the route through PgBouncer, which uses TLS 1.2 and rejects unknown start-up parameters.
	pooled bool
}

// session runs a function on a connection of its own, which is the only way to connect to a team's PostgreSQL. It ends
// within sessionTimeout, stays within the limits above, and its error contains only text of the server that may be
// shown.
func (l login) session(ctx context.Context, to route, run func(context.Context, *pgx.Conn) error) error {
	bounded, cancel := context.WithTimeout(ctx, sessionTimeout)
	defer cancel()
	config, err := l.config(to)
	if err != nil {
		return err
	}
	network := &boundedConn{}
	config.DialFunc = network.dial
	// The driver sends a goodbye when its time is up, and a server that does not read could block it.
	defer context.AfterFunc(bounded, network.cut)()
	defer network.cut()
	conn, err := pgx.ConnectConfig(bounded, config)
	if err == nil {
		err = run(bounded, conn)
		_ = conn.Close(bounded)
	}
	if err != nil && network.read.Load() >= sessionBytes { // the driver may report another error
		err = errTooLong
	}
	return failure(ctx, bounded, err)
}

// config returns the configuration of a client with sslmode=verify-full. It uses nothing from the environment.
func (l login) config(to route) (*pgx.ConnConfig, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(l.ca) {
		return nil, errors.New("read the CA certificate: it is not PEM")
	}
	config, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("parse an empty configuration: %w", err)
	}
	config.Host, config.User, config.Password, config.Database = to.host, l.user, l.password, l.database
	// Connect by IP address, which also works without the cluster's DNS.
	config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{to.address}, nil }
	config.TLSConfig = &tls.Config{RootCAs: roots, ServerName: to.host, MinVersion: tls.VersionTLS13}
	if to.pooled {
		config.TLSConfig.MinVersion = tls.VersionTLS12
	}
	config.SSLNegotiation, config.Fallbacks, config.ConnectTimeout = "", nil, sessionTimeout
	config.ValidateConnect, config.AfterConnect = nil, nil
	config.RequireAuth = "scram-sha-256" // the server never receives the password
	config.ChannelBinding, config.SSLCertMode = "prefer", ""
	config.MinProtocolVersion, config.MaxProtocolVersion = "3.0", "3.0"
	config.RuntimeParams = l.parameters(to)
	config.MaxProtocolMessageBodyLen = messageBytes
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		return pgproto3.NewFrontend(&handshakeGuard{from: r}, w)
	}
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {} // otherwise, the driver keeps them in memory
	// The pool is per transaction: no prepared statements.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return config, nil
}

// parameters are the start-up parameters of the session. They override the owner's settings of a database or a role.
func (l login) parameters(to route) map[string]string {
	all := map[string]string{
		"application_name": "daap-worker", "client_encoding": "UTF8", "standard_conforming_strings": "on",
	}
	if to.pooled {
		return all
	}
	all["search_path"] = "pg_catalog, pg_temp" // schemas that are not listed would come first
	all["datestyle"], all["row_security"] = "ISO", "off"
	all["statement_timeout"], all["lock_timeout"] = "4s", "2s"
	all["idle_in_transaction_session_timeout"], all["idle_session_timeout"] = "10s", "10s" // for a lost worker
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
	read atomic.Int64 // bytes; atomic, because the driver may still read after its statement has ended
}

// dial connects only once: the driver would open a second connection to cancel a statement that timed out.
func (l *boundedConn) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Conn != nil {
		return nil, errOneConn
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.Conn = conn
	return l, nil
}

// cut closes the connection without a goodbye, and so ends all pending reads and writes.
func (l *boundedConn) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Conn != nil {
		_ = l.Close()
	}
}

// Read reads from the connection until the limit of sessionBytes.
func (l *boundedConn) Read(p []byte) (int, error) {
	left := sessionBytes - l.read.Load()
	if left <= 0 {
		return 0, errTooLong
	}
	n, err := l.Conn.Read(p[:min(int64(len(p)), left)])
	l.read.Add(int64(n))
	return n, err
}

// handshakeGuard reads the server's messages until the server is ready. It rejects a server that requires more than
// scramRounds, because no deadline interrupts the hashing; the driver's own limit allows seconds of CPU time.
type handshakeGuard struct {
	from  io.Reader
	seen  []byte // the rest of a checked message
	ready bool
}

// Read returns checked messages of the server, and after the handshake, its bytes.
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

// next reads one message: one byte for its kind, four for its length, which counts itself, and its body.
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

// sessionError is why a session failed, in a text that may be shown. It wraps no error of the server, because Temporal
// records all wrapped errors.
type sessionError struct {
	text, state string
	// ended is why the activity itself has ended; nil if it has not.
	ended error
}

// Error returns a text that may be shown.
func (e *sessionError) Error() string { return e.text }

// Unwrap returns why the activity has ended.
func (e *sessionError) Unwrap() error { return e.ended }

func failure(ctx, bounded context.Context, err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if bounded.Err() != nil {
		text = fmt.Sprintf("timed out after %s: %s", sessionTimeout, text)
	}
	return &sessionError{text: diagnosis.Safe(text), state: sqlState(err), ended: ctx.Err()}
}

var aState = regexp.MustCompile(`^[0-9A-Z]{5}$`)

// sqlState returns PostgreSQL's code of the error; empty if it has none.
func sqlState(err error) string {
	var failed *sessionError
	if errors.As(err, &failed) {
		return failed.state
	}
	var answer *pgconn.PgError
	if errors.As(err, &answer) && aState.MatchString(answer.Code) {
		return answer.Code
	}
	return ""
}

// Unanswered reports whether a session with a team's PostgreSQL failed without an error code from the server.
func Unanswered(err error) bool {
	var failed *sessionError
	return errors.As(err, &failed) && failed.state == ""
}
