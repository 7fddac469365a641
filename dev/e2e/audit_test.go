//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/objectstore"
)

// sealLag is how long an entry may wait for its seal, and headLag how long the chain's head may be nowhere else.
const (
	sealLag = 5 * time.Second
	headLag = 30 * time.Second
)

// rows connects to DAAP's PostgreSQL as the service does.
func rows(ctx context.Context, t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(ctx, os.Getenv("DAAP_DATABASE_URL"))
	if err != nil {
		t.Fatalf("connect as the service: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(ctx)) })
	return conn
}

// sealedSoon fails the test unless all entries of the database are in the chain soon, and a head that covers them in
// the bucket.
func sealedSoon(ctx context.Context, t *testing.T, database uuid.UUID) {
	t.Helper()
	conn := rows(ctx, t)
	sealing, cancel := context.WithTimeout(ctx, sealLag)
	defer cancel()
	var last int64
	until(sealing, t, "all entries of the database are sealed", func() bool {
		var open int
		err := conn.QueryRow(ctx, `
			SELECT count(*) FILTER (WHERE c.position IS NULL), COALESCE(max(c.position), 0)
			FROM   audit_log l LEFT JOIN audit_chain c ON c.entry_id = l.id
			WHERE  l.resource_id = $1`, database).Scan(&open, &last)
		if err != nil {
			t.Fatal(err)
		}
		return open == 0 && last > 0
	})
	keeping, cancel := context.WithTimeout(ctx, headLag)
	defer cancel()
	kept := heads(t)
	until(keeping, t, fmt.Sprintf("a head at %d or after it is in the bucket", last), func() bool {
		all, err := kept.Heads(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(all) > 0 && all[len(all)-1].Position >= last && isOfChain(ctx, t, conn, all[len(all)-1])
	})
}

func heads(t *testing.T) objectstore.AuditHeads {
	t.Helper()
	endpoint, err := url.Parse(os.Getenv("DAAP_S3_ENDPOINT"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewStaticV4(os.Getenv("DAAP_S3_ACCESS_KEY"), os.Getenv("DAAP_S3_SECRET_KEY"), ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(os.Getenv("DAAP_AUDIT_HEADS"), "s3://"), "/")
	return objectstore.AuditHeads{Client: client, Bucket: bucket, Prefix: prefix}
}

func isOfChain(ctx context.Context, t *testing.T, conn *pgx.Conn, head daap.Seal) bool {
	t.Helper()
	var hash []byte
	if err := conn.QueryRow(ctx, `SELECT hash FROM audit_chain WHERE position = $1`, head.Position).Scan(&hash); err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(hash, head.Hash[:])
}

// stateDir is where the stack keeps what is its own.
func stateDir() string { return filepath.Dir(os.Getenv("DAAP_API_KEY_FILE")) }

// auditHolds fails the test unless the program says that the whole audit log holds, and that it looked at heads.
func auditHolds(ctx context.Context, t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(ctx, filepath.Join(stateDir(), "bin", "daap"), "audit", "verify").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "The audit log is intact") || strings.Contains(string(out), " 0 heads") {
		t.Errorf("daap audit verify: %v\n%s", err, out)
	}
}

// serviceMayOnlyAdd fails the test if the service may change what is in the audit log. The statements would find
// nothing to change.
func serviceMayOnlyAdd(ctx context.Context, t *testing.T) {
	t.Helper()
	conn := rows(ctx, t)
	for _, statement := range []string{
		`UPDATE audit_log SET actor = actor WHERE false`, `DELETE FROM audit_log WHERE false`,
		`UPDATE audit_chain SET hash = hash WHERE false`, `DELETE FROM audit_chain WHERE false`,
		`UPDATE audit_retention SET keep = keep WHERE false`,
	} {
		const insufficientPrivilege = "42501"
		_, err := conn.Exec(ctx, statement)
		var refusal *pgconn.PgError
		if !errors.As(err, &refusal) || refusal.Code != insufficientPrivilege {
			t.Errorf("%s, as the service: %v, want it to be refused", statement, err)
		}
	}
}

// platformKey is the key that the tests use.
func platformKey(t *testing.T) string {
	t.Helper()
	key, err := os.ReadFile(os.Getenv("DAAP_API_KEY_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(key))
}
