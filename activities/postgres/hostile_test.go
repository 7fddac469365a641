package postgres

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// authority is a tenant's CA.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pg-1"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{certificate, key}
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// server is the configuration of a server with a certificate of the host.
func (a authority) server(t *testing.T, host string) *tls.Config {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: a.key}}, MinVersion: tls.VersionTLS12,
	}
}

// postgres is a PostgreSQL whose behaviour a test defines.
type postgres struct {
	address string
	// connections counts the connections, sent the bytes sent to clients; ended gets a value when a connection ends.
	connections atomic.Int32
	sent        atomic.Int64
	ended       chan struct{}
}

// metered is a connection whose sent bytes are counted.
type metered struct {
	net.Conn

	sent *atomic.Int64
}

func (c metered) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// listen serves each connection with serve.
func listen(t *testing.T, serve func(net.Conn) error) *postgres {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	server := &postgres{address: listener.Addr().String(), ended: make(chan struct{}, 10_000)}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			server.connections.Add(1)
			go func() {
				defer func() { _ = conn.Close() }()
				_ = serve(metered{conn, &server.sent}) // it ends when the client does
				server.ended <- struct{}{}
			}()
		}
	}()
	return server
}

// peer is the server's side of a session.
type peer struct {
	net.Conn
	*pgproto3.Backend
}

// say sends the messages.
func (p peer) say(messages ...pgproto3.BackendMessage) error {
	for _, message := range messages {
		p.Send(message)
	}
	return p.Flush()
}

// forever sends the message until the client disconnects.
func (p peer) forever(message pgproto3.BackendMessage) error {
	once, err := message.Encode(nil)
	if err != nil {
		return err
	}
	many := once
	for len(many) < 16<<10 {
		many = append(many, once...)
	}
	for {
		if _, err := p.Write(many); err != nil {
			return err
		}
	}
}

// hang sends nothing until the client disconnects.
func hang(conn net.Conn) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}

// drip sends one byte per second until the client disconnects.
func drip(conn net.Conn, text []byte) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for _, b := range text {
		if _, err := conn.Write([]byte{b}); err != nil {
			return err
		}
		<-second.C
	}
	return errors.New("the client waited for everything")
}

// encrypted accepts TLS, and continues where the client begins a session.
func encrypted(config *tls.Config, then func(peer) error) func(net.Conn) error {
	return func(conn net.Conn) error {
		if _, err := pgproto3.NewBackend(conn, conn).ReceiveStartupMessage(); err != nil {
			return err
		}
		if _, err := conn.Write([]byte("S")); err != nil {
			return err
		}
		secure := tls.Server(conn, config)
		p := peer{secure, pgproto3.NewBackend(secure, secure)}
		if _, err := p.ReceiveStartupMessage(); err != nil {
			return err
		}
		return then(p)
	}
}

const testPassword = "the-password-of-all-tests"

// authenticated accepts the password, like a server that has its verifier.
func authenticated(then func(peer) error) func(peer) error {
	return func(p peer) error {
		if err := p.scram(4096, testPassword); err != nil {
			return err
		}
		if err := p.say(&pgproto3.AuthenticationOk{}); err != nil {
			return err
		}
		return then(p)
	}
}

// scram is the server's side of RFC 5802.
func (p peer) scram(rounds int, password string) error {
	if err := p.say(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}}); err != nil {
		return err
	}
	if err := p.SetAuthType(pgproto3.AuthTypeSASL); err != nil {
		return err
	}
	message, err := p.Receive()
	if err != nil {
		return err
	}
	initial, is := message.(*pgproto3.SASLInitialResponse)
	if !is {
		return fmt.Errorf("the client sent %T", message)
	}
	_, bare, _ := strings.Cut(string(initial.Data), ",,")
	_, nonce, _ := strings.Cut(bare, ",r=")
	first := fmt.Sprintf("r=%sserver,s=%s,i=%d", nonce, base64.StdEncoding.EncodeToString([]byte("salt")), rounds)
	if err := p.say(&pgproto3.AuthenticationSASLContinue{Data: []byte(first)}); err != nil {
		return err
	}
	if err := p.SetAuthType(pgproto3.AuthTypeSASLContinue); err != nil {
		return err
	}
	if message, err = p.Receive(); err != nil {
		return err
	}
	final, is := message.(*pgproto3.SASLResponse)
	if !is {
		return fmt.Errorf("the client sent %T", message)
	}
	withoutProof, _, _ := strings.Cut(string(final.Data), ",p=")
	salted, err := pbkdf2.Key(sha256.New, password, []byte("salt"), rounds, sha256.Size)
	if err != nil {
		return err
	}
	sign := func(key []byte, text string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	signature := sign(sign(salted, "Server Key"), bare+","+first+","+withoutProof)
	return p.say(&pgproto3.AuthenticationSASLFinal{Data: []byte("v=" + base64.StdEncoding.EncodeToString(signature))})
}

// greeted sends everything that PostgreSQL sends before it accepts statements.
func greeted(then func(peer) error) func(peer) error {
	return authenticated(func(p peer) error {
		err := p.say(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"},
			&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"},
			&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
		if err != nil {
			return err
		}
		return then(p)
	})
}

// asked answers every statement with answer until the client disconnects.
func asked(answer func(p peer, sql string) error) func(peer) error {
	return greeted(func(p peer) error {
		for {
			message, err := p.Receive()
			if err != nil {
				return err
			}
			switch message := message.(type) {
			case *pgproto3.Query:
				if err := answer(p, message.String); err != nil {
					return err
				}
			case *pgproto3.Terminate:
				return nil
			}
		}
	})
}

// column is one column of a result, of the given type.
type column struct {
	oid  uint32
	text string
}

// row answers with one row.
func row(columns ...column) func(peer, string) error {
	return func(p peer, _ string) error {
		described, data := &pgproto3.RowDescription{}, &pgproto3.DataRow{}
		for _, c := range columns {
			described.Fields = append(described.Fields, pgproto3.FieldDescription{
				Name: []byte("\x1b[2J\u202e"), DataTypeOID: c.oid, DataTypeSize: -1, TypeModifier: -1,
			})
			data.Values = append(data.Values, []byte(c.text))
		}
		return p.say(described, data, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
	}
}

// fails answers with an error.
func fails(answer *pgproto3.ErrorResponse) func(peer, string) error {
	return func(p peer, _ string) error { return p.say(answer, &pgproto3.ReadyForQuery{TxStatus: 'I'}) }
}

// leaves fails the test unless every client of the server disconnects soon, only one connected, and it took no more
// than the limit and the buffers of two sockets.
func (s *postgres) leaves(ctx context.Context, t *testing.T) {
	t.Helper()
	for range s.connections.Load() {
		select {
		case <-s.ended:
		case <-time.After(10 * time.Second): // long enough for a busy machine; a leak lasts forever
			t.Error("the session has ended, but its connection has not")
		case <-ctx.Done():
		}
	}
	if n := s.sent.Load(); n > sessionBytes+(16<<20) {
		t.Errorf("the session took %d MiB", n>>20)
	}
	if n := s.connections.Load(); n > 1 {
		t.Errorf("the session made %d connections, want one", n)
	}
}
