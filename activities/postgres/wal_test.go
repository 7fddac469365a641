package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence/persistencetest"
)

// as connects to the database of url, as the role where one is named.
func as(t *testing.T, url, role string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	if role != "" {
		config.User = role
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// TestMarkEndsItsSegmentOrNamesTheOneThatWillEnd is about roles with and without the right to end a segment.
func TestMarkEndsItsSegmentOrNamesTheOneThatWillEnd(t *testing.T) {
	t.Parallel()
	url := persistencetest.EmptyURL(t)
	super := as(t, url, "")
	exec := func(sql string) {
		t.Helper()
		if _, err := super.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	current := func() (segment string) {
		t.Helper()
		if err := super.QueryRow(t.Context(), `SELECT pg_walfile_name(pg_current_wal_insert_lsn())`).Scan(&segment); err != nil {
			t.Fatal(err)
		}
		return segment
	}
	for role, mayEnd := range map[string]bool{"marker_may": true, "marker_may_not": false} {
		exec("CREATE ROLE " + role + " LOGIN")
		t.Cleanup(func() {
			_, _ = super.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		})
		if mayEnd {
			exec("GRANT EXECUTE ON FUNCTION pg_switch_wal() TO " + role)
		}
		before := current()
		segment, err := mark(t.Context(), as(t, url, role))
		if err != nil || SegmentPlace(segment) < SegmentPlace(before) {
			t.Fatalf("%s: mark() = %s, %v; want %s or later", role, segment, err, before)
		}
		if mayEnd { // somebody else ends it between the marker and its end: what begins then may not end for long
			exec("SELECT pg_switch_wal()")
			if segment, err = endSegment(t.Context(), super); err != nil {
				t.Fatal(err)
			}
		}
		// It is in a segment that has ended, or will; others write there too, who may end it as well.
		exec("SELECT pg_current_xact_id()")
		if after := current(); mayEnd && SegmentPlace(after) <= SegmentPlace(segment) {
			t.Errorf("%s: mark() = %s, and %s is written to; want the marker's segment to have ended", role, segment, after)
		}
	}
}

// TestAnyRoleMayReadWhatTheWorkerReads asks a PostgreSQL, as a role without any rights, all that the worker reads.
func TestAnyRoleMayReadWhatTheWorkerReads(t *testing.T) {
	t.Parallel()
	url := persistencetest.EmptyURL(t)
	super := as(t, url, "")
	if _, err := super.Exec(t.Context(), "CREATE ROLE reads_all LOGIN"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = super.Exec(context.WithoutCancel(t.Context()), "DROP ROLE reads_all") })
	conn := as(t, url, "reads_all")
	if name, at, err := lastArchived(t.Context(), conn); err != nil || name != "" || at != nil {
		t.Errorf("lastArchived() = %q, %v, %v; want nothing, as nothing is archived", name, at, err)
	}
	if n, err := written(t.Context(), conn); err != nil || n < SegmentBytes {
		t.Errorf("written() = %d, %v; want a segment at least", n, err)
	}
	want := small
	var buffers int64
	err := super.QueryRow(t.Context(), `
		SELECT current_setting('server_version_num')::int / 10000 || '', current_setting('max_connections')::int,
		       pg_size_bytes(current_setting('shared_buffers'))`).Scan(&want.PGVersion, &want.MaxConnections, &buffers)
	if err != nil {
		t.Fatal(err)
	}
	want.Memory = *resource.NewQuantity(4*buffers, resource.BinarySI)
	if _, err := conn.Exec(t.Context(), `SET pgaudit.log = 'ddl, role'`); err != nil { // no pgAudit is installed here
		t.Fatal(err)
	}
	missing, err := missingSettings(t.Context(), conn, want)
	if err != nil || missing != "" {
		t.Errorf("missingSettings() = %q, %v; want nothing", missing, err)
	}
	want.MaxConnections++
	if missing, err := missingSettings(t.Context(), conn, want); err != nil || !strings.HasPrefix(missing, "max_connections changes from ") {
		t.Errorf("missingSettings() = %q, %v; want max_connections", missing, err)
	}
}

func TestUnarchivedIsWhatIsWrittenAfterTheSegment(t *testing.T) {
	t.Parallel()
	const end = 4 * SegmentBytes // of segment 3
	for written, want := range map[int64]int64{
		end: 0, end - 1: 0, end + idleBytes: 0, end + idleBytes + 1: idleBytes + 1, end + 3*SegmentBytes: 3 * SegmentBytes,
		-1: 0, 1<<32 + end: 1 << 32,
	} {
		if got := unarchived("000000010000000000000003", written); got != want {
			t.Errorf("unarchived where %d bytes are written: %d, want %d", written, got, want)
		}
	}
	if got := unarchived("0000000100000001000000FF", 2<<32+1<<20); got != 1<<20 {
		t.Errorf("unarchived after the last segment of a log: %d, want %d", got, 1<<20)
	}
}

// small is a tier of which little is asked.
var small = daap.Profile{
	Instances: 1, CPU: resource.MustParse("100m"), Memory: resource.MustParse("512Mi"), StorageSize: resource.MustParse("1Gi"),
	PGVersion: "17", PoolMode: daap.PoolTransaction, MaxConnections: 100, DestructionStrategy: daap.StrategyHardDelete,
}
