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

// as connects to the database of url, with the role if one is named.
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

// TestMarkSwitchesItsSegmentOrNamesTheOpenOne tests roles with and without the right to switch segments.
func TestMarkSwitchesItsSegmentOrNamesTheOpenOne(t *testing.T) {
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
		if mayEnd { // another session switches it first: the next segment may stay open for long
			exec("SELECT pg_switch_wal()")
			if segment, err = endSegment(t.Context(), super); err != nil {
				t.Fatal(err)
			}
		}
		// The marker is in a segment that has ended or will end; other sessions write and may switch segments, too.
		exec("SELECT pg_current_xact_id()")
		if after := current(); mayEnd && SegmentPlace(after) <= SegmentPlace(segment) {
			t.Errorf("%s: mark() = %s, and %s is written to; want the marker's segment to have ended", role, segment, after)
		}
	}
}

// TestAnyRoleMayReadWhatTheWorkerReads runs all queries of the worker as a role without any rights.
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
		t.Errorf("lastArchived() = %q, %v, %v; want nothing, because nothing is archived", name, at, err)
	}
	if n, err := written(t.Context(), conn); err != nil || n < SegmentBytes {
		t.Errorf("written() = %d, %v; want at least one segment", n, err)
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
	if _, err := conn.Exec(t.Context(), `SET pgaudit.log = 'ddl, role'`); err != nil { // pgAudit is not installed here
		t.Fatal(err)
	}
	missing, err := missingSettings(t.Context(), conn, want)
	if err != nil || missing != "" {
		t.Errorf("missingSettings() = %q, %v; want no difference", missing, err)
	}
	want.MaxConnections++
	if missing, err := missingSettings(t.Context(), conn, want); err != nil || !strings.HasPrefix(missing, "max_connections changes from ") {
		t.Errorf("missingSettings() = %q, %v; want max_connections", missing, err)
	}
}

func TestUnarchivedCountsBytesAfterTheSegment(t *testing.T) {
	t.Parallel()
	const end = 4 * SegmentBytes // the end of segment 3
	for written, want := range map[int64]int64{
		end: 0, end - 1: 0, end + idleBytes: 0, end + idleBytes + 1: idleBytes + 1, end + 3*SegmentBytes: 3 * SegmentBytes,
		-1: 0, 1<<32 + end: 1 << 32,
	} {
		if got := unarchived("000000010000000000000003", written); got != want {
			t.Errorf("unarchived after %d written bytes: %d, want %d", written, got, want)
		}
	}
	if got := unarchived("0000000100000001000000FF", 2<<32+1<<20); got != 1<<20 {
		t.Errorf("unarchived after the last segment of a log: %d, want %d", got, 1<<20)
	}
}

// small is a tier with few resources.
var small = daap.Profile{
	Instances: 1, CPU: resource.MustParse("100m"), Memory: resource.MustParse("512Mi"), StorageSize: resource.MustParse("1Gi"),
	PGVersion: "17", PoolMode: daap.PoolTransaction, MaxConnections: 100, DestructionStrategy: daap.StrategyHardDelete,
}
