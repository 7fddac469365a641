package postgres

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/daap-dev/daap/activities/diagnosis"
)

// evil is a text that must never be shown unchanged.
const evil = "\x1b[2J\x1b]0;owned\x07 a\r\nb\x00c \u202e\u2066\ufeff\xff\u2028 password=hunter2 postgres://u:hunter2@h/"

const testHost = "primary.daap-test.svc"

// asks reads a text, like every session at least does.
func asks(ctx context.Context, conn *pgx.Conn) error {
	var said string
	return conn.QueryRow(ctx, `SELECT 'text'`).Scan(&said)
}

// lowest is the configuration with at most that version of TLS.
func lowest(config *tls.Config, version uint16) *tls.Config {
	config = config.Clone()
	config.MaxVersion = version
	return config
}

// length is the beginning of a message that announces that length.
func length(kind byte, bytes uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{kind}, bytes)
}

// hostile is a server, and the expected end of a session with it.
type hostile struct {
	serve func(net.Conn) error
	run   func(context.Context, *pgx.Conn) error
	want  string
}

func hostileServers(t *testing.T, ca authority) map[string]hostile {
	t.Helper()
	own := ca.server(t, testHost)
	after := func(then func(peer) error) func(net.Conn) error { return encrypted(own, then) }
	raw := func(text []byte) func(peer) error {
		return func(p peer) error {
			if _, err := p.Write(text); err != nil {
				return err
			}
			return hang(p)
		}
	}
	big := strings.Repeat(evil, 500)
	long := &pgproto3.DataRow{Values: [][]byte{[]byte(big)}}
	return map[string]hostile{
		"accepts and says nothing":      {hang, asks, "timed out after 5s"},
		"refuses TLS":                   {func(c net.Conn) error { _, err := c.Write([]byte("N")); return err }, asks, "refused TLS"},
		"a byte a second for TLS":       {func(c net.Conn) error { return drip(c, []byte("S\x16\x03\x03\x02\x00\x01\x00")) }, asks, "timed out after 5s"},
		"another tenant's certificate":  {encrypted(newAuthority(t).server(t, testHost), hangs), asks, "certificate signed by unknown authority"},
		"a certificate of another host": {encrypted(ca.server(t, "primary.daap-other.svc"), hangs), asks, "certificate is valid for primary.daap-other.svc"},
		"TLS 1.2":                       {encrypted(lowest(own, tls.VersionTLS12), hangs), asks, "protocol version"},
		"nothing after TLS":             {after(hangs), asks, "timed out after 5s"},
		"no password":                   {after(func(p peer) error { return p.forever(&pgproto3.AuthenticationOk{}) }), asks, "require_auth"},
		"the password itself":           {after(func(p peer) error { return p.forever(&pgproto3.AuthenticationCleartextPassword{}) }), asks, "require_auth"},
		"an MD5 password":               {after(func(p peer) error { return p.forever(&pgproto3.AuthenticationMD5Password{}) }), asks, "require_auth"},
		"authentication without end":    {after(authenticated(func(p peer) error { return p.forever(&pgproto3.AuthenticationOk{}) })), asks, "the server sent more than"},
		"ten million rounds of SCRAM":   {after(func(p peer) error { return p.scram(10_000_000, testPassword) }), asks, "SCRAM iterations"},
		"a server without the password": {after(func(p peer) error { return p.scram(4096, "another") }), asks, "invalid SCRAM ServerSignature"},
		"settings without end":          {after(authenticated(func(p peer) error { return p.forever(&pgproto3.ParameterStatus{Name: evil, Value: evil}) })), asks, "the server sent more than"},
		"2 GB before it is ready":       {after(raw(length('R', 0x7fffffff))), asks, "the server announced a message of"},
		"an invalid length":             {after(raw(length('R', 0))), asks, "the server announced a message of"},
		"2 GB":                          {after(greeted(raw(length('D', 0x7fffffff)))), asks, "conn closed"},
		"a byte a second":               {after(greeted(func(p peer) error { return drip(p, []byte("T\x00\x00\x00\x20aaaaaaaaaaa")) })), asks, "timed out after 5s"},
		"nothing to a statement":        {after(greeted(hangs)), asks, "timed out after 5s"},
		"rows without end":              {after(asked(func(p peer, sql string) error { _ = row(text("a"))(p, sql); return p.forever(long) })), asks, ""},
		"no rows and no end":            {after(asked(func(p peer, _ string) error { return p.forever(&pgproto3.EmptyQueryResponse{}) })), asks, "the server sent more than"},
		"notices without end":           {after(asked(func(p peer, _ string) error { return p.forever(&pgproto3.NoticeResponse{Message: big}) })), asks, "the server sent more than"},
		"notices before it is ready":    {after(func(p peer) error { return p.forever(&pgproto3.NoticeResponse{Message: big}) }), asks, "the server sent more than"},
		"notifications without end":     {after(asked(func(p peer, _ string) error { return p.forever(&pgproto3.NotificationResponse{Payload: big}) })), asks, "the server sent more than"},
		"an error of evil words":        {after(asked(fails(&pgproto3.ErrorResponse{Severity: "ERROR" + evil, Code: "28P01\x1b", Message: big}))), asks, "ERROR"},
		"no entry, in evil words": {after(func(p peer) error {
			return p.say(&pgproto3.ErrorResponse{Severity: "FATAL", Code: evil, Message: evil})
		}), asks, "FATAL"},
		"evil words for a number":       {after(asked(row(text(evil)))), func(ctx context.Context, c *pgx.Conn) error { var n int64; return c.QueryRow(ctx, `SELECT 1`).Scan(&n) }, "cannot scan"},
		"more columns than asked for":   {after(asked(row(text("a"), text("b")))), asks, "number of field descriptions"},
		"no columns":                    {after(asked(row())), asks, "number of field descriptions"},
		"a number of three bytes":       {after(asked(threeBytes)), func(ctx context.Context, c *pgx.Conn) error { var n int64; return c.QueryRow(ctx, `SELECT 1`).Scan(&n) }, "invalid length"},
		"evil settings":                 {after(asked(row(text(evil), text(evil), text(evil)))), saysMissing, "the version changes from"},
		"an evil segment":               {after(asked(row(text(evil)))), func(ctx context.Context, c *pgx.Conn) error { _, err := mark(ctx, c); return err }, "is not a WAL segment"},
		"an evil name in the archive":   {after(asked(row(text(evil), at("2026-01-02 03:04:05+00")))), readsArchived, "invalid archived segment"},
		"an archive of ten thousand AD": {after(asked(row(text("000000010000000000000003"), at("10000-01-02 03:04:05+00")))), readsArchived, "invalid time"},
		"an archive of 44 BC":           {after(asked(row(text("000000010000000000000003"), at("0044-03-15 03:04:05+00 BC")))), readsArchived, "invalid time"},
		"neither open nor closed":       {after(asked(row(text(evil)))), func(ctx context.Context, c *pgx.Conn) error { _, err := isOpen(ctx, c); return err }, "cannot scan"},
		"clients that never leave":      {after(asked(func(p peer, sql string) error { return row(column{pgtype.Int8OID, "1000"})(p, sql) })), closeDatabase, "client connections are still open"},
	}
}

func text(s string) column { return column{pgtype.TextOID, s} }

func at(s string) column { return column{pgtype.TimestamptzOID, s} }

func hangs(p peer) error { return hang(p) }

func threeBytes(p peer, _ string) error {
	return p.say(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("a"), DataTypeOID: pgtype.Int8OID, Format: pgx.BinaryFormatCode}}},
		&pgproto3.DataRow{Values: [][]byte{{1, 2, 3}}}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
}

func readsArchived(ctx context.Context, conn *pgx.Conn) error {
	_, _, err := lastArchived(ctx, conn)
	return err
}

// missingError is a missing setting, as an error.
type missingError string

func (e missingError) Error() string { return string(e) }

func saysMissing(ctx context.Context, conn *pgx.Conn) error {
	missing, err := missingSettings(ctx, conn, small)
	if err == nil {
		err = missingError(missing)
	}
	return err
}

// TestHostileServersCostLittleAndShowNothing runs all of them at once, beside a healthy server.
func TestHostileServersCostLittleAndShowNothing(t *testing.T) { //nolint:paralleltest // it counts the memory of the process
	ca := newAuthority(t)
	as := login{user: "daap", password: testPassword, database: "postgres", ca: ca.pem()}
	well := listen(t, encrypted(ca.server(t, testHost), asked(row(text("text")))))
	servers := hostileServers(t, ca)
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // most of the counted memory is in use
	peak := watchMemory(t)
	var over atomic.Bool
	var neighbour, all sync.WaitGroup
	neighbour.Go(func() {
		for !over.Load() {
			began := time.Now()
			if err := as.session(t.Context(), route{host: testHost, address: well.address}, asks); err != nil || time.Since(began) > sessionTimeout-time.Second {
				t.Errorf("the session with the healthy server took %s: %v", time.Since(began), err)
			}
		}
	})
	for name, tt := range servers {
		all.Go(func() {
			server := listen(t, tt.serve)
			began := time.Now()
			err := as.session(t.Context(), route{host: testHost, address: server.address}, tt.run)
			// A session without a timeout never ends; a busy machine ends one a few seconds late.
			if took := time.Since(began); took > 2*sessionTimeout {
				t.Errorf("%s: it took %s, want no more than %s", name, took, 2*sessionTimeout)
			}
			switch {
			case tt.want == "":
			case err == nil || !strings.Contains(err.Error(), tt.want):
				t.Errorf("%s: the error is %v, want one of %q", name, err, tt.want)
			}
			showsNothing(t, name, err)
			server.leaves(t.Context(), t)
		})
	}
	all.Wait()
	over.Store(true)
	neighbour.Wait()
	got := peak()
	t.Logf("%d servers at once took %d KiB", len(servers), got>>10)
	if got > 32<<20 {
		t.Errorf("%d servers at once took %d MiB, want no more than 32", len(servers), got>>20)
	}
	if n := well.connections.Load(); n < 10 {
		t.Errorf("the healthy server had %d connections meanwhile, want more", n)
	}
}

// showsNothing fails the test if the error, or an error that it wraps, has more than one short line of plain text.
func showsNothing(t *testing.T, name string, err error) {
	t.Helper()
	for ; err != nil; err = unwrap(err) {
		text := err.Error()
		if n := len([]rune(text)); n > diagnosis.MaxSafe {
			t.Errorf("%s: the error has %d characters, want no more than %d", name, n, diagnosis.MaxSafe)
		}
		if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || strings.Contains(text, "hunter2") {
			t.Errorf("%s: the error shows what it should not: %q", name, text)
		}
	}
}

func unwrap(err error) error {
	if wraps, is := err.(interface{ Unwrap() error }); is {
		return wraps.Unwrap()
	}
	return nil
}

// watchMemory returns a function that returns the maximum growth of the heap since the call.
func watchMemory(t *testing.T) (peak func() uint64) {
	t.Helper()
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	runtime.GC()
	began, stop := heap(), make(chan struct{})
	var most atomic.Uint64
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				most.Store(max(most.Load(), heap()))
			case <-stop:
				return
			}
		}
	})
	return func() uint64 {
		close(stop)
		watching.Wait()
		return most.Load() - min(began, most.Load())
	}
}

func TestPoolMayUseTLS12(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	as := login{user: "app", password: testPassword, database: "app", ca: ca.pem()}
	server := listen(t, encrypted(lowest(ca.server(t, testHost), tls.VersionTLS12), asked(row(text("text")))))
	if err := as.session(t.Context(), route{host: testHost, address: server.address, pooled: true}, asks); err != nil {
		t.Errorf("TLS 1.2 to a pool: %v", err)
	}
}

// TestNoiseCausesOnlyAnError has a server that sends messages of every kind with random content.
func TestNoiseCausesOnlyAnError(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	as := login{user: "daap", password: testPassword, database: "postgres", ca: ca.pem()}
	for seed := range uint64(300) {
		noise := func(p peer, _ string) error {
			random := rand.New(rand.NewPCG(seed, 0))
			kinds := []byte("TDDTCEINSAZGHWKRtnc123sVvd")
			for range 200 {
				message := length(kinds[random.IntN(len(kinds))], uint32(4+random.IntN(60)))
				for range binary.BigEndian.Uint32(message[1:]) - 4 {
					message = append(message, byte(random.IntN(256)>>random.IntN(9)))
				}
				if _, err := p.Write(message); err != nil {
					return err
				}
			}
			return p.Close()
		}
		server := listen(t, encrypted(ca.server(t, testHost), asked(noise)))
		err := as.session(t.Context(), route{host: testHost, address: server.address}, asks)
		showsNothing(t, "noise", err)
	}
}
