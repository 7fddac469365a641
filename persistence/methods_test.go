package persistence_test

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// store is what every store does.
type store interface {
	// databases.go
	Database(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Database, error)
	DescribeDatabase(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.DatabaseView, error)
	Databases(ctx context.Context, scope daap.Scope, f daap.DatabaseFilter) ([]daap.Database, error)
	CreateDatabase(ctx context.Context, by daap.Grant, db daap.Database, from *daap.RestoreFrom, op daap.Operation) (daap.Database, daap.Operation, error)
	PatchDatabase(ctx context.Context, by daap.Grant, id uuid.UUID, patch daap.DatabasePatch, op daap.Operation) (daap.Database, *daap.Operation, error)
	// operations.go, lifecycle.go, steps.go, incarnations.go
	Operation(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.Operation, error)
	OperationState(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.OperationState, error)
	Operations(ctx context.Context, scope daap.Scope, f daap.OperationFilter) ([]daap.Operation, error)
	SupersededOperations(ctx context.Context, database uuid.UUID) ([]daap.Operation, error)
	AcceptOperation(ctx context.Context, by daap.Grant, op daap.Operation) (daap.Database, daap.Operation, error)
	BeginOperation(ctx context.Context, id uuid.UUID, undo bool) error
	HoldsDatabase(ctx context.Context, op uuid.UUID, undo bool) error
	ParkOperation(ctx context.Context, op uuid.UUID, step daap.StepName, cause daap.Cause) error
	ResumeOperation(ctx context.Context, op uuid.UUID, d daap.Decision) error
	SkipStep(ctx context.Context, op uuid.UUID, step daap.StepName, d daap.Decision) error
	CancelOperation(ctx context.Context, op uuid.UUID, d daap.Decision) error
	FinishCancel(ctx context.Context, op uuid.UUID) error
	FinishOperation(ctx context.Context, op uuid.UUID) error
	SaveReceipt(ctx context.Context, op uuid.UUID, counted daap.Receipt) error
	RecordStep(ctx context.Context, op uuid.UUID, step daap.Step) error
	BeginIncarnation(ctx context.Context, op uuid.UUID, from int, server string) error
	// outbox.go, lost_workflows.go
	ClaimPending(ctx context.Context, limit int) ([]daap.Operation, error)
	Dispatched(ctx context.Context, id uuid.UUID) error
	Backlogged(ctx context.Context, limit int) (bool, error)
	ClaimUnchecked(ctx context.Context, limit int) ([]daap.Operation, error)
	ParkLost(ctx context.Context, seen daap.Operation, cause daap.Cause) error
	RestartLost(ctx context.Context, seen daap.Operation) error
	RestartOperation(ctx context.Context, scope daap.Scope, id uuid.UUID, d daap.Decision) (daap.Operation, error)
	CancelPending(ctx context.Context, scope daap.Scope, id uuid.UUID, d daap.Decision) (bool, error)
	// once.go
	Remembered(ctx context.Context, by daap.Grant) (daap.Operation, bool, error)
	Remember(ctx context.Context, by daap.Grant, answer daap.Operation) error
	ForgetAnswers(ctx context.Context) error
	// tiers.go, quotas.go
	Tier(ctx context.Context, id uuid.UUID) (daap.Tier, error)
	Tiers(ctx context.Context, f daap.TierFilter) ([]daap.Tier, error)
	CreateTier(ctx context.Context, by daap.Grant, t daap.Tier) (daap.Tier, error)
	PatchTier(ctx context.Context, by daap.Grant, id uuid.UUID, patch daap.TierPatch, catalog daap.Catalog) (daap.Tier, error)
	DeleteTier(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.Tier, error)
	TierQuota(ctx context.Context, id uuid.UUID) (daap.QuotaUse, error)
	SetTierQuota(ctx context.Context, by daap.Grant, id uuid.UUID, quota daap.Quota) (daap.QuotaUse, error)
	CheckQuotas(ctx context.Context) error
	// apikeys.go
	CreateAPIKey(ctx context.Context, by daap.Grant, key daap.StoredKey) (made daap.APIKey, isNew bool, err error)
	RotateAPIKey(ctx context.Context, by daap.Grant, id uuid.UUID, hash string, overlap time.Duration) (rotated daap.APIKey, isNew bool, err error)
	RevokeAPIKey(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.APIKey, error)
	APIKeys(ctx context.Context, f daap.APIKeyFilter) ([]daap.APIKey, error)
	StoredKey(ctx context.Context, id uuid.UUID) (daap.StoredKey, bool, error)
	TouchAPIKey(ctx context.Context, id uuid.UUID) error
	RehashAPIKey(ctx context.Context, id uuid.UUID, before, after string) error
	// audit.go
	AddAuditEntries(ctx context.Context, entries []daap.AuditEntry) error
	AuditEntries(ctx context.Context, f daap.AuditFilter) ([]daap.AuditEntry, error)
	// events.go
	Events(ctx context.Context, scope daap.Scope, f daap.EventFilter) ([]daap.Event, error)
	// backups.go, certificates.go
	BackupState(ctx context.Context, scope daap.Scope, database uuid.UUID) (daap.BackupState, error)
	Backups(ctx context.Context, scope daap.Scope, f daap.BackupFilter) ([]daap.Backup, error)
	BackedUpDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	DatabasesWithArchives(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	ForgetBackups(ctx context.Context, database uuid.UUID, server string, backupIDs []string) error
	CloseArchive(ctx context.Context, database uuid.UUID, at *time.Time) error
	SaveBackups(ctx context.Context, db daap.Database, state daap.BackupState, backups []daap.Backup) error
	CACertificate(ctx context.Context, scope daap.Scope, id uuid.UUID) (daap.CABundle, error)
	SaveCACertificate(ctx context.Context, op, database uuid.UUID, pem string) error
	RenewCACertificate(ctx context.Context, database uuid.UUID, pem string) error
	CertifiedDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	// conditions.go, fleet.go, scans.go
	RunningDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Observed, error)
	RunningAmong(ctx context.Context, ids []uuid.UUID) ([]daap.Observed, error)
	SaveHealth(ctx context.Context, at time.Time, seen []daap.Observation) (again []uuid.UUID, err error)
	Fleet(ctx context.Context, now time.Time) (daap.Fleet, error)
	DatabasesToScan(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	SaveScan(ctx context.Context, database uuid.UUID, scan daap.Scan, extensions []daap.Extension) error
	ExtensionGroups(ctx context.Context, scope daap.Scope, f daap.ExtensionFilter) ([]daap.ExtensionGroup, error)
	ExtensionVersions(ctx context.Context, scope daap.Scope, name string) ([]string, error)
	UnscannedDatabases(ctx context.Context, scope daap.Scope, since time.Time) (n int, err error)
	// orphans.go
	Orphans(ctx context.Context, f daap.OrphanFilter) ([]daap.Orphan, error)
	OrphansToRemove(ctx context.Context) ([]daap.Orphan, error)
	CountOrphans(ctx context.Context) (n int, err error)
	RequestOrphanRemoval(ctx context.Context, by daap.Grant, id uuid.UUID) (daap.Orphan, error)
	SaveOrphans(ctx context.Context, at time.Time, found []daap.Orphan) error
	OrphanRemoved(ctx context.Context, id uuid.UUID, failure string) error
	DatabasesByID(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]daap.Database, error)
	Destinations(ctx context.Context) ([]string, error)
	ExpiredArchives(ctx context.Context, limit int) ([]daap.Database, error)
}
