package api_test

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// memory keeps the promises of the domain's stores, for one process.
type memory struct {
	mu         sync.Mutex
	databases  map[uuid.UUID]daap.Database
	operations map[uuid.UUID]daap.Operation
	events     map[uuid.UUID]daap.Event
	// answers are by the key of the request that got them.
	answers map[string]kept
	keys    map[uuid.UUID]daap.StoredKey
	tiers   map[uuid.UUID]daap.Tier
	quotas  map[uuid.UUID]daap.Quota
	// log is the audit log, all entries in the order in which they came.
	log []daap.AuditEntry
	// failAfter is at which reading of the audit log it fails; 0 is at none.
	failAfter int
	// taken are the ids of decisions, and lost the operations whose workflow is gone.
	taken map[string]bool
	lost  map[uuid.UUID]bool
	// err is what every call fails with, and panics what it panics with; nil where none is to.
	err          error
	panics       any
	backupStates map[uuid.UUID]daap.BackupState
	seen         map[uuid.UUID]daap.Observed
	fleet        daap.Fleet
	orphans      map[uuid.UUID]daap.Orphan
	backups      map[uuid.UUID]daap.Backup
	scans        map[uuid.UUID]daap.Scan
	extensions   []daap.Extension
	// ca is the certificate of every database; empty while it is not known.
	ca daap.CABundle
	// probed are the destinations of backups that were tried.
	probed []string
	// hang makes every call last until its context is done.
	hang bool
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

func newMemory() *memory {
	return &memory{
		ca:           pem,
		backupStates: make(map[uuid.UUID]daap.BackupState),
		seen:         make(map[uuid.UUID]daap.Observed),
		orphans:      make(map[uuid.UUID]daap.Orphan),
		backups:      make(map[uuid.UUID]daap.Backup),
		scans:        make(map[uuid.UUID]daap.Scan),
		databases:    make(map[uuid.UUID]daap.Database),
		operations:   make(map[uuid.UUID]daap.Operation),
		events:       make(map[uuid.UUID]daap.Event),
		answers:      make(map[string]kept),
		keys:         make(map[uuid.UUID]daap.StoredKey),
		quotas:       make(map[uuid.UUID]daap.Quota),
		tiers:        map[uuid.UUID]daap.Tier{small.ID: small},
		taken:        make(map[string]bool),
		lost:         make(map[uuid.UUID]bool),
	}
}

// kept is an answer and the request that got it.
type kept struct {
	request [sha256.Size]byte
	answer  any
}

// answered is the answer to a change of a database; op is nil where it took no time.
type answered struct {
	db daap.Database
	op *daap.Operation
}

// answerOnce makes a change and keeps its answer; a request that was carried out gets its answer again. The
// caller has entered.
func answerOnce[T any](m *memory, by daap.Grant, of daap.Resource, change func() (T, error)) (T, error) {
	if by.DryRun {
		return change()
	}
	answer, found, err := remembered[T](m, by)
	if err != nil || found {
		return answer, err
	}
	if answer, err = change(); err != nil {
		return answer, err
	}
	if by.Once.Key != "" {
		m.answers[nameOf(by)] = kept{by.Once.Request, answer}
	}
	m.log = append(m.log, by.Changed(of, nil, nil))
	return answer, nil
}

// nameOf is what the answer to a request is kept under.
func nameOf(by daap.Grant) string { return by.Caller.Team + " " + by.Once.Key }

func remembered[T any](m *memory, by daap.Grant) (answer T, found bool, err error) {
	was, found := m.answers[nameOf(by)]
	switch {
	case by.Once.Key == "" || !found:
		return answer, false, nil
	case was.request != by.Once.Request:
		return answer, false, daap.KeyReused()
	}
	m.log = append(m.log, by.Replayed())
	return was.answer.(T), true, nil //nolint:errcheck // an equal request has an answer of the same type
}

// enter begins a call; the caller unlocks.
func (m *memory) enter(ctx context.Context) error {
	m.mu.Lock()
	if m.panics != nil {
		panic(m.panics)
	}
	if m.hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return m.err
}

func (m *memory) Database(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Database, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Database{}, err
	}
	return m.database(scope, id)
}

func (m *memory) database(scope daap.Scope, id uuid.UUID) (daap.Database, error) {
	if db, ok := m.databases[id]; ok && scope.Covers(db.OwnerTeam) {
		return db, nil
	}
	return daap.Database{}, daap.NotFound("database")
}

func (m *memory) Databases(
	ctx context.Context, scope daap.Scope, filter daap.DatabaseFilter,
) ([]daap.Database, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	chosen := func(db daap.Database) bool {
		for k, v := range filter.Labels {
			if has, ok := db.Labels[k]; !ok || has != v {
				return false
			}
		}
		if seen, runs := db.HealthAt(time.Now()); filter.Health != "" && (!runs || seen.Health != filter.Health) {
			return false
		}
		if !scope.Covers(db.OwnerTeam) || filter.Status == "" && db.Status == daap.DatabaseDeleted {
			return false
		}
		return (filter.Status == "" || db.Status == filter.Status) && (filter.Team == "" || db.OwnerTeam == filter.Team)
	}
	return pageOf(m.databases, filter.Page, chosen), nil
}

func (m *memory) CACertificate(ctx context.Context, _ daap.Scope, _ uuid.UUID) (daap.CABundle, error) {
	defer m.mu.Unlock()
	err := m.enter(ctx)
	return m.ca, err
}

func (m *memory) Events(ctx context.Context, _ daap.Scope, filter daap.EventFilter) ([]daap.Event, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	return pageOf(m.events, filter.Page, func(e daap.Event) bool { return e.DatabaseID == filter.DatabaseID }), nil
}

// backUp has the database backed up from an hour ago on.
func (m *memory) backUp(id uuid.UUID) {
	defer m.mu.Unlock()
	m.mu.Lock()
	now := time.Now()
	first := now.Add(-time.Hour)
	db := m.databases[id]
	db.Profile.Backups = daap.Backups{
		BackupEnabled: true, BackupFrequency: "0 2 * * *", BackupRetentionDays: 14, WALArchivingEnabled: true,
		ObjectStorageDestination: "s3://backups",
	}
	m.databases[id] = db
	m.backupStates[id] = daap.BackupState{
		ObservedAt: now, Archiving: true, LastArchivedAt: &now, LastSuccessAt: &first, FirstRecoverableAt: &first,
	}
	backup := daap.Backup{
		ID: uuid.Must(uuid.NewV7()), DatabaseID: id, Name: "first", ServerName: "pg-1", Status: daap.BackupCompleted,
		StartedAt: &first, StoppedAt: &first, BeginWAL: "000000010000000000000003", EndWAL: "000000010000000000000003",
	}
	m.backups[backup.ID] = backup
}

// certify has the CA certificate of the database end then; nil for that it is not known.
func (m *memory) certify(id uuid.UUID, ends *time.Time) {
	defer m.mu.Unlock()
	m.mu.Lock()
	db := m.databases[id]
	db.CAExpiresAt = ends
	m.databases[id] = db
}

// freeze has the database be frozen.
func (m *memory) freeze(id uuid.UUID) {
	defer m.mu.Unlock()
	m.mu.Lock()
	db := m.databases[id]
	db.Status = daap.DatabaseFrozen
	m.databases[id] = db
}

func (m *memory) BackupState(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.BackupState, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.BackupState{}, err
	}
	if _, err := m.database(scope, id); err != nil {
		return daap.BackupState{}, nil //nolint:nilerr // of what is not there nothing is known
	}
	return m.backupStates[id], nil
}

func (m *memory) Backups(ctx context.Context, _ daap.Scope, filter daap.BackupFilter) ([]daap.Backup, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	return pageOf(m.backups, filter.Page, func(b daap.Backup) bool { return b.DatabaseID == filter.DatabaseID }), nil
}

func (m *memory) Backlogged(ctx context.Context, limit int) (bool, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return false, err
	}
	waiting := 0
	for _, op := range m.operations {
		if op.State == daap.OperationPending {
			waiting++
		}
	}
	return waiting > limit, nil
}

func (m *memory) CreateDatabase(
	ctx context.Context, by daap.Grant, db daap.Database, from *daap.RestoreFrom, op daap.Operation,
) (daap.Database, daap.Operation, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Database{}, daap.Operation{}, err
	}
	answer, err := answerOnce(m, by, theDatabase(db.ID), func() (answered, error) {
		tier, err := m.choose(db.Tier)
		if err != nil {
			return answered{}, err
		}
		if from != nil {
			if err := from.Check(tier); err != nil {
				return answered{}, err
			}
		}
		db, op.BacksUp = db.With(tier), tier.BackupEnabled
		for _, other := range m.databases {
			if other.Name == db.Name && other.OwnerTeam == db.OwnerTeam && other.Status != daap.DatabaseDeleted {
				return answered{}, daap.NameTaken(db.OwnerTeam, db.Name)
			}
		}
		db.CreatedAt, op.CreatedAt = time.Now(), time.Now()
		return m.hold(by, db, op), nil
	})
	return answer.of(err)
}

// of is what a change that takes time comes to.
func (a answered) of(err error) (daap.Database, daap.Operation, error) {
	if err != nil {
		return daap.Database{}, daap.Operation{}, err
	}
	return a.db, *a.op, nil
}

func (m *memory) PatchDatabase(
	ctx context.Context, by daap.Grant, id uuid.UUID, patch daap.DatabasePatch, op daap.Operation,
) (daap.Database, *daap.Operation, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Database{}, nil, err
	}
	if patch.Tier != nil {
		by = by.AsAccepted()
	}
	answer, err := answerOnce(m, by, theDatabase(id), func() (answered, error) { return m.patch(by, id, patch, op) })
	return answer.db, answer.op, err
}

func (m *memory) patch(
	by daap.Grant, id uuid.UUID, patch daap.DatabasePatch, op daap.Operation,
) (answered, error) {
	db, err := m.database(by.Scope, id)
	if err != nil {
		return answered{}, err
	}
	if db.Status == daap.DatabaseDeleted {
		return answered{}, daap.WrongStatus(db.Status, "cannot be changed")
	}
	if db, err = patch.Apply(db); err != nil {
		return answered{}, err
	}
	db.UpdatedAt = time.Now()
	if patch.Tier != nil {
		tier, err := m.choose(*patch.Tier)
		if err != nil {
			return answered{}, err
		}
		if err := db.CheckTier(tier); err != nil {
			return answered{}, err
		}
		if !db.Has(tier) || db.OperationID != nil {
			op.Tier, op.BacksUp = &tier, tier.BackupEnabled
			return m.accept(by, db, op)
		}
	}
	if !by.DryRun {
		m.databases[id] = db
	}
	return answered{db: db}, nil
}

func (m *memory) AcceptOperation(
	ctx context.Context, by daap.Grant, op daap.Operation,
) (daap.Database, daap.Operation, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Database{}, op, err
	}
	answer, err := answerOnce(m, by, theDatabase(op.DatabaseID), func() (answered, error) {
		db, err := m.database(by.Scope, op.DatabaseID)
		if err != nil {
			return answered{}, err
		}
		return m.accept(by, db, op)
	})
	return answer.of(err)
}

func (m *memory) accept(by daap.Grant, db daap.Database, op daap.Operation) (answered, error) {
	if db.OperationID != nil {
		held := m.operations[*db.OperationID]
		if !op.Kind.TakesOver(held) {
			return answered{}, daap.Busy(held)
		}
		m.settle(held.ID, daap.OperationCancelled)
		m.add(held.Happened(daap.EventCancelled, "Operation %s (%s) took over the database.", op.ID, op.Kind))
	}
	if err := db.Refuses(op.Kind); err != nil {
		return answered{}, err
	}
	op.DatabaseName, op.OwnerTeam, op.CreatedAt, op.StatusBefore = db.Name, db.OwnerTeam, time.Now(), db.Status
	return m.hold(by, db, op), nil
}

func (m *memory) Operation(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Operation, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return daap.Operation{}, err
	}
	if op, ok := m.operations[id]; ok && scope.Covers(op.OwnerTeam) {
		return op, nil
	}
	return daap.Operation{}, daap.NotFound("operation")
}

func (m *memory) OperationState(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.OperationState, error) {
	op, err := m.Operation(ctx, scope, id)
	return op.State, err
}

func (m *memory) Operations(
	ctx context.Context, scope daap.Scope, filter daap.OperationFilter,
) ([]daap.Operation, error) {
	defer m.mu.Unlock()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	found := pageOf(m.operations, filter.Page, func(op daap.Operation) bool {
		return scope.Covers(op.OwnerTeam) && (filter.DatabaseID == nil || op.DatabaseID == *filter.DatabaseID) &&
			(filter.State == "" || op.State == filter.State) && (filter.Kind == "" || op.Kind == filter.Kind) &&
			(filter.Cause == "" || op.State == daap.OperationNeedsAttention && op.Cause.Code == filter.Cause)
	})
	for i := range found {
		found[i].Steps = nil
	}
	return found, nil
}

// hold gives the database to op, unless that is a dry run.
func (m *memory) hold(by daap.Grant, db daap.Database, op daap.Operation) answered {
	op = op.Planned()
	db.Status, db.OperationID, db.Cause, db.UpdatedAt = op.Kind.During(), &op.ID, nil, time.Now()
	db.OperationKind = op.Kind
	if !by.DryRun {
		m.databases[db.ID], m.operations[op.ID] = db, op
		m.add(op.Happened(daap.EventAccepted, "Operation %s (%s) was accepted.", op.ID, op.Kind))
	}
	return answered{db, &op}
}

// add records what happened.
func (m *memory) add(e daap.Event) {
	e.ID, e.CreatedAt = uuid.Must(uuid.NewV7()), time.Now()
	m.events[e.ID] = e
}

func theDatabase(id uuid.UUID) daap.Resource {
	return daap.Resource{Kind: daap.ResourceDatabase, ID: id}
}

func pageOf[T any](items map[uuid.UUID]T, page daap.Page, chosen func(T) bool) []T {
	var ids []uuid.UUID
	for id, item := range items {
		if chosen(item) && (page.After == uuid.Nil || id.String() < page.After.String()) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return strings.Compare(b.String(), a.String()) })
	var found []T
	for _, id := range ids[:min(len(ids), page.Limit)] {
		found = append(found, items[id])
	}
	return found
}
