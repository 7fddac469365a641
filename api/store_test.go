package api_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/persistence/memory"
)

// store is the store that the API runs on, and all that works on it beside the API.
type store struct {
	*memory.Store
	t  testing.TB
	mu sync.Mutex
	// taken are the IDs of decisions that were made, and lost the operations whose workflow is gone.
	taken map[string]bool
	lost  map[uuid.UUID]bool
	// probed are the destinations of backups that were probed.
	probed []string
	// read is how many entries of the audit log the test has read.
	read int
}

// newStore returns a store that has the tier small and nothing else.
func newStore(t testing.TB) *store {
	s := &store{Store: memory.New(), t: t, taken: map[string]bool{}, lost: map[uuid.UUID]bool{}}
	s.PutTier(small)
	return s
}

// fail makes every call of the store fail; nil ends that.
func (s *store) fail(err error) { s.Before(func(context.Context) error { return err }) }

// panics makes every call of the store panic; nil ends that.
func (s *store) panics(with any) {
	s.Before(func(context.Context) error {
		if with != nil {
			panic(with)
		}
		return nil
	})
}

func (s *store) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// everything is a page that holds everything.
var everything = daap.Page{Limit: 1 << 20}

// databases are all, those that are deleted too.
func (s *store) databases() []daap.Database {
	s.t.Helper()
	all, err := s.Databases(context.Background(), daap.EveryTeam, daap.DatabaseFilter{Page: everything})
	s.must(err)
	gone, err := s.Databases(context.Background(), daap.EveryTeam,
		daap.DatabaseFilter{Status: daap.DatabaseDeleted, Page: everything})
	s.must(err)
	return append(all, gone...)
}

func (s *store) database(id uuid.UUID) daap.Database {
	s.t.Helper()
	db, err := s.Database(context.Background(), daap.EveryTeam, id)
	s.must(err)
	return db
}

// operations are all, newest first.
func (s *store) operations() []daap.Operation {
	s.t.Helper()
	all, err := s.Operations(context.Background(), daap.EveryTeam, daap.OperationFilter{Page: everything})
	s.must(err)
	return all
}

func (s *store) operation(id uuid.UUID) daap.Operation {
	s.t.Helper()
	op, err := s.Operation(context.Background(), daap.EveryTeam, id)
	s.must(err)
	return op
}

// events returns the events of the database, newest first.
func (s *store) events(database uuid.UUID) []daap.Event {
	s.t.Helper()
	all, err := s.Events(context.Background(), daap.EveryTeam, daap.EventFilter{DatabaseID: database, Page: everything})
	s.must(err)
	return all
}

// Add is what takes the entries of requests that changed nothing.
func (s *store) Add(e daap.AuditEntry) { s.PutAuditEntry(e) }

// log is all of the audit log, oldest first.
func (s *store) log() []daap.AuditEntry {
	s.t.Helper()
	all, err := s.AuditEntries(context.Background(), daap.AuditFilter{Page: everything})
	s.must(err)
	slices.Reverse(all)
	return all
}

// logged returns what was added to the audit log since it was called last.
func (s *store) logged() []daap.AuditEntry {
	s.t.Helper()
	all := s.log()
	fresh := all[s.read:]
	s.read = len(all)
	return fresh
}

// Probe accepts every destination except the bucket closed.
func (s *store) Probe(_ context.Context, destination string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probed = append(s.probed, destination)
	if strings.HasPrefix(destination, "s3://closed") {
		return daap.Invalid(daap.Detail{Field: "object_storage_destination", Message: "cannot be used: Access Denied"})
	}
	return nil
}

// Reap finds nothing.
func (s *store) Reap(context.Context) error { return nil }

// backUp has the database backed up from an hour ago on.
func (s *store) backUp(id uuid.UUID) {
	s.t.Helper()
	now := time.Now()
	first := now.Add(-time.Hour)
	db := s.database(id)
	db.Profile.Backups = daap.Backups{
		BackupEnabled: true, BackupFrequency: "0 2 * * *", BackupRetentionDays: 14, WALArchivingEnabled: true,
		ObjectStorageDestination: "s3://backups",
	}
	s.PutDatabase(db)
	s.must(s.SaveBackups(context.Background(), db, daap.BackupState{
		ObservedAt: now, Archiving: true, LastArchivedAt: &now, LastSuccessAt: &first, FirstRecoverableAt: &first,
	}, []daap.Backup{{
		ID: uuid.Must(uuid.NewV7()), Name: "first", ServerName: "pg-1", Status: daap.BackupCompleted,
		StartedAt: &first, StoppedAt: &first, BeginWAL: "000000010000000000000003", EndWAL: "000000010000000000000003",
	}}))
}

// certify has the CA certificate of the database end then; nil for that it is not known.
func (s *store) certify(id uuid.UUID, ends *time.Time) {
	s.t.Helper()
	db := s.database(id)
	db.CAExpiresAt = ends
	s.PutDatabase(db)
}

// freeze has the database be frozen.
func (s *store) freeze(id uuid.UUID) {
	s.t.Helper()
	db := s.database(id)
	db.Status = daap.DatabaseFrozen
	s.PutDatabase(db)
}

// look records a check of the database with the conditions.
func (s *store) look(id uuid.UUID, at time.Time, found ...daap.Condition) {
	s.t.Helper()
	running, err := s.RunningAmong(context.Background(), []uuid.UUID{id})
	s.must(err)
	again, err := s.SaveHealth(context.Background(), at, []daap.Observation{running[0].Observe(found, at)})
	s.must(err)
	if len(again) > 0 {
		s.t.Fatalf("what was seen of %s is not saved", id)
	}
}

// told has the PostgreSQL of the database answer with the scan and the extensions.
func (s *store) told(id uuid.UUID, scan daap.Scan, extensions ...daap.Extension) {
	s.t.Helper()
	s.must(s.SaveScan(context.Background(), id, scan, extensions))
}

// pem is a CA certificate that ends in 2126.
const pem = `-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUJd5ThGNoT2gRC6vtx/XFg+mH0GMwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEcGctMTAgFw0yNjExMjYwNzQwMTlaGA8yMTI2MTEwMjA3NDAx
OVowDzENMAsGA1UEAwwEcGctMTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABG4l
NzH8AS2ybxl7//I3O0Byazhzor9appkS0bM9M8nOhosEXZMPZW4vO6dSflh0BQiH
ka0nh+msR9CPcfwUtpCjUzBRMB0GA1UdDgQWBBTirl8qvx57OaJKNyN2Gne1ONRG
0TAfBgNVHSMEGDAWgBTirl8qvx57OaJKNyN2Gne1ONRG0TAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIB18Af3TgeJIGxXo7Hy33fH908w0gvZhWDs9
CNYWMEklAiEAqeveeQECIrMxaX7PLQVIqVByfBorT1RslJTm4d/sOrM=
-----END CERTIFICATE-----
`

// keyring knows who the bearers of a few keys are.
type keyring map[string]daap.Caller

// The keys that the tests send; the platform team's where they say nothing.
const (
	platformKey = "platform-key"
	shopKey     = "shop-key"
	billingKey  = "billing-key"
	eagerKey    = "eager-key"
)

var callers = keyring{
	platformKey: {KeyID: uuid.New(), KeyName: "alice", Team: "platform", Role: daap.RolePlatformTeam},
	shopKey:     {KeyID: uuid.New(), KeyName: "bob", Team: "shop", Role: daap.RoleProductTeam},
	billingKey:  {KeyID: uuid.New(), KeyName: "carol", Team: "billing", Role: daap.RoleProductTeam},
}

func (k keyring) Authenticate(_ context.Context, presented, _ string) (daap.Caller, error) {
	if presented == eagerKey {
		return daap.Caller{}, daap.RateLimited("Too many requests.", 1500*time.Millisecond)
	}
	if caller, known := k[presented]; known {
		return caller, nil
	}
	return daap.Caller{}, daap.Unauthenticated("The API key is not valid.")
}

// fixedHash stands for argon2.
type fixedHash struct{}

func (fixedHash) Hash(context.Context, daap.Secret) (string, error) { return "$argon2id$", nil }
