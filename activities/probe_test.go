package activities

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"go.temporal.io/sdk/temporal"

	"github.com/daap-dev/daap/activities/objectstore"
)

// probe returns the message of a refused destination.
func probe(t *testing.T, store *objectstore.Store) string {
	t.Helper()
	err := (&Destinations{Store: store}).ProbeDestination(t.Context(), "s3://backups/team")
	var refused *temporal.ApplicationError
	if !errors.As(err, &refused) || refused.Type() != ErrorRefused {
		t.Fatalf("Probe() = %v, want it refused", err)
	}
	return refused.Message()
}

// guardedStore is a client of the store at the address, on this machine.
func guardedStore(t *testing.T, guard objectstore.DialGuard, address string) *objectstore.Store {
	t.Helper()
	transport, err := guard.Transport(false)
	if err != nil {
		t.Fatal(err)
	}
	client, err := minio.New(address, &minio.Options{
		Creds: credentials.NewStaticV4("access", "secret", ""), Transport: transport, MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &objectstore.Store{Client: client}
}

func TestSlowStoreIsNotRefused(t *testing.T) {
	t.Parallel()
	asked, over := make(chan struct{}, 10), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-over
	}))
	t.Cleanup(slow.Close)
	defer close(over)
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		<-asked
		giveUp()
	}()
	store := guardedStore(t, objectstore.DialGuard{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, strings.TrimPrefix(slow.URL, "http://"))
	err := (&Destinations{Store: store}).ProbeDestination(ctx, "s3://backups/team")
	var refused *temporal.ApplicationError
	if err == nil || errors.As(err, &refused) {
		t.Errorf("Probe() = %v, want the context's error", err)
	}
}

func TestStoreErrorIsShownInOneShortLine(t *testing.T) {
	t.Parallel()
	hostile := "\u009b31mred\u202e\r\n{{.}} postgres://root:hunter2@db/x " + strings.Repeat("a", 64<<10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "<Error><Code>Odd</Code><Message>"+hostile+"</Message></Error>")
	}))
	t.Cleanup(server.Close)
	guard := objectstore.DialGuard{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	message := probe(t, guardedStore(t, guard, strings.TrimPrefix(server.URL, "http://")))
	if len([]rune(message)) > 350 || strings.ContainsAny(message, "\u009b\r\n\u202e") || strings.Contains(message, "hunter2") {
		t.Errorf("Probe() is refused with %q", message)
	}
}
