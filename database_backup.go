package daap

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"
	"github.com/robfig/cron/v3"
)

// Backups is how the databases of a tier are backed up; the zero value is not at all.
type Backups struct {
	BackupEnabled bool
	// BackupFrequency is when base backups begin, as a cron expression of five fields, in UTC.
	BackupFrequency string
	// BackupRetentionDays is for how long any second can be restored.
	BackupRetentionDays int
	// WALArchivingEnabled says that every change is archived as it happens. There are no backups without it.
	WALArchivingEnabled bool
	// ObjectStorageDestination is where backups go: s3://bucket or s3://bucket/prefix at the platform's object store.
	// Each database has a prefix of its own in it.
	ObjectStorageDestination string
}

// BackupsPatch is what a patch of a tier changes of its backups: what is nil stays.
type BackupsPatch struct {
	BackupEnabled, WALArchivingEnabled        *bool
	BackupFrequency, ObjectStorageDestination *string
	BackupRetentionDays                       *int
}

// apply changes b. Where backups are switched off, nothing is left of how they were made; where they are switched on,
// changes are archived unless the patch says otherwise.
func (p BackupsPatch) apply(b *Backups) {
	if p.BackupEnabled != nil && *p.BackupEnabled != b.BackupEnabled {
		*b = Backups{BackupEnabled: *p.BackupEnabled, WALArchivingEnabled: *p.BackupEnabled}
	}
	set(&b.BackupFrequency, p.BackupFrequency)
	set(&b.BackupRetentionDays, p.BackupRetentionDays)
	set(&b.WALArchivingEnabled, p.WALArchivingEnabled)
	set(&b.ObjectStorageDestination, p.ObjectStorageDestination)
}

// MaxBackupRetentionDays is ten years.
const MaxBackupRetentionDays = 3650

// The rules of a destination: names of buckets are S3's, prefixes are plain, so that nothing in them means anything.
var (
	destination = regexp.MustCompile(
		`^s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}){0,4}$`)
	destinationText = "must be s3://bucket or s3://bucket/prefix, with letters, digits, dots, hyphens and underscores"
)

// backups looks at how backups are to be made.
func (c *checks) backups(b Backups) {
	if !b.BackupEnabled {
		if b != (Backups{}) {
			c.fail("backup_enabled", "must be true if any other backup setting is given")
		}
		return
	}
	if !b.WALArchivingEnabled {
		c.fail("wal_archiving_enabled",
			"must be true if backup_enabled is true: a base backup cannot be restored without its WAL")
	}
	if _, err := schedule(b.BackupFrequency); err != nil {
		c.fail("backup_frequency", "must be a five-field cron expression in UTC, such as 0 2 * * * for 02:00 every day")
	}
	if b.BackupRetentionDays < 1 || b.BackupRetentionDays > MaxBackupRetentionDays {
		c.fail("backup_retention_days", "must be a whole number from 1 to %d", MaxBackupRetentionDays)
	}
	if !isDestination(b.ObjectStorageDestination) {
		c.fail("object_storage_destination", "%s", destinationText)
	}
}

// isDestination says whether the text is a destination. S3's bucket names are DNS names that are no addresses.
func isDestination(text string) bool {
	parts := destination.FindStringSubmatch(text)
	if parts == nil {
		return false
	}
	return dnsName.MatchString(parts[1]) && !fourNumbers.MatchString(parts[1])
}

// fourNumbers is what looks like an address.
var fourNumbers = regexp.MustCompile(`^([0-9]+\.){3}[0-9]+$`)

// fiveFields reads what crontab reads, and neither @daily nor a time zone.
var fiveFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// fivePlainFields is how they are written: fiveFields would take any white space for what is between them, and a time
// zone before them.
var fivePlainFields = regexp.MustCompile(`^[0-9A-Za-z*/,-]+( +[0-9A-Za-z*/,-]+){4}$`)

func schedule(frequency string) (cron.Schedule, error) {
	if !fivePlainFields.MatchString(frequency) {
		return nil, fmt.Errorf("parse %q: it does not consist of five fields separated by spaces", frequency)
	}
	parsed, err := fiveFields.Parse(frequency)
	if err == nil && parsed.Next(time.Unix(0, 0)).IsZero() {
		return nil, fmt.Errorf("parse %q: it never occurs", frequency)
	}
	return parsed, err
}

// NextBackup is when the next base backup begins after the time; nil where there are none.
func (b Backups) NextBackup(after time.Time) *time.Time {
	if !b.BackupEnabled {
		return nil
	}
	parsed, err := schedule(b.BackupFrequency)
	if err != nil {
		return nil
	}
	next := parsed.Next(after.UTC())
	if next.IsZero() { // not within five years, as 29 February around 2100
		return nil
	}
	return &next
}

// promise is what those who know nothing of base backups are told.
func (b Backups) promise() string {
	switch {
	case !b.BackupEnabled:
		return "No backups: deleted or lost data cannot be recovered."
	case b.BackupRetentionDays == 1:
		return "Backed up continuously: any second of the last day can be restored."
	}
	return fmt.Sprintf("Backed up continuously: any second of the last %d days can be restored.", b.BackupRetentionDays)
}

// Backup is one base backup of a database.
type Backup struct {
	// ID is a UUIDv7, so that order by ID is order of time.
	ID         uuid.UUID
	DatabaseID uuid.UUID
	Name       string
	// ServerName is that of the archive it is in: each incarnation of the database has its own.
	ServerName string
	// BackupID is what Barman names it in the archive; empty until it has begun.
	BackupID             string
	Status               BackupStatus
	StartedAt, StoppedAt *time.Time
	// BeginWAL and EndWAL are the segments that it needs; empty until it is completed.
	BeginWAL, EndWAL string
	// SizeBytes is what it takes in the object store; nil until that is known.
	SizeBytes *int64
	// Error is why it failed; empty where it did not.
	Error string
}

// BackupStatus says how far a base backup is.
type BackupStatus string

// The statuses of a base backup.
const (
	BackupPending   BackupStatus = "pending"
	BackupRunning   BackupStatus = "running"
	BackupCompleted BackupStatus = "completed"
	BackupFailed    BackupStatus = "failed"
)

// BackupStatuses returns all statuses of a base backup.
func BackupStatuses() []BackupStatus {
	return []BackupStatus{BackupPending, BackupRunning, BackupCompleted, BackupFailed}
}

// BackupFilter chooses base backups of one database.
type BackupFilter struct {
	DatabaseID uuid.UUID
	Page       Page
}

// BackupState is what was seen of a database's backups when it was last looked at.
type BackupState struct {
	ObservedAt time.Time
	// Archiving says that WAL is archived, ArchivingMessage what the archiver said last.
	Archiving        bool
	ArchivingMessage string
	// LastArchivedAt is when the last segment was archived: up to then all can be restored. UnarchivedBytes is what
	// was written since. Both are as they were told last, where the database does not tell.
	LastArchivedAt  *time.Time
	UnarchivedBytes int64
	// ArchivedUntil is up to when all that was written is known to be archived: the last observation that found nothing
	// else, or LastArchivedAt where that is later. The store derives it.
	ArchivedUntil *time.Time
	// ClosedAt is when the last change was committed of a database that takes none any more, as it is frozen or
	// archived; nil while it does.
	ClosedAt *time.Time
	// LastBegunAt, LastSuccessAt and LastFailureAt are of base backups.
	LastBegunAt, LastSuccessAt, LastFailureAt *time.Time
	LastFailureMessage                        string
	// Gap names the first segment that is missing in the archive after the first base backup; empty where none is.
	Gap string
	// FirstRecoverableAt is the first moment that can be restored; nil until there is one.
	FirstRecoverableAt *time.Time
}

// BackupHealth says whether a database could be restored.
type BackupHealth string

// The healths of backups.
const (
	BackupsOK      BackupHealth = "ok"
	BackupsStale   BackupHealth = "stale"
	BackupsFailing BackupHealth = "failing"
	BackupsUnknown BackupHealth = "unknown"
)

// BackupHealths returns all healths of backups.
func BackupHealths() []BackupHealth {
	return []BackupHealth{BackupsOK, BackupsStale, BackupsFailing, BackupsUnknown}
}

// Bounds of what is healthy.
const (
	// beginGrace is how late a base backup may begin before it is missed; CNPG begins it within a second.
	beginGrace = 30 * time.Second
	// backupGrace is how long a base backup may take: 1 TiB at 50 MiB a second takes six hours.
	backupGrace = 6 * time.Hour
	// archiveGrace is how late WAL may be archived: PostgreSQL ends a segment in which something was written after five
	// minutes; archiving it and the next look take as much as a minute each.
	archiveGrace = 7 * time.Minute
)

// Health says how the backups are, and in a sentence why where they are not well. b is how they are to be made.
func (s BackupState) Health(b Backups, now time.Time) (BackupHealth, string) {
	_, old := stale(s.ObservedAt, now)
	switch {
	case s.ObservedAt.IsZero():
		return BackupsUnknown, "No check has completed yet."
	case old:
		return BackupsUnknown, fmt.Sprintf("No check has completed since %s.", s.ObservedAt.UTC().Format(time.RFC3339))
	case !s.Archiving:
		return BackupsFailing, "WAL is not archived: " + s.ArchivingMessage
	case s.Gap != "":
		return BackupsFailing, fmt.Sprintf("WAL segment %s is missing in the archive: changes from this segment to the "+
			"next base backup cannot be restored.", s.Gap)
	case s.LastFailureAt != nil && (s.LastSuccessAt == nil || s.LastFailureAt.After(*s.LastSuccessAt)):
		return BackupsFailing, "The last base backup failed: " + s.LastFailureMessage
	case s.LastSuccessAt == nil:
		return BackupsStale, "There is no base backup yet."
	}
	if late := s.late(b, now); late != "" {
		return BackupsStale, late
	}
	if lag := s.Lag(now); lag > archiveGrace {
		return BackupsStale, fmt.Sprintf("Changes of the last %s are not archived.", lag.Round(time.Second))
	}
	return BackupsOK, ""
}

// LatestRecoverable is up to when everything is archived: nil where nothing is.
func (s BackupState) LatestRecoverable() *time.Time {
	if s.ClosedAt != nil {
		return s.ClosedAt
	}
	return s.LastArchivedAt
}

// late says of a base backup that it has not begun, or goes on for too long; empty where none does.
func (s BackupState) late(b Backups, now time.Time) string {
	begun := *s.LastSuccessAt
	if s.LastBegunAt != nil && s.LastBegunAt.After(begun) {
		begun = *s.LastBegunAt
		if took := now.Sub(begun); took > backupGrace && (s.LastFailureAt == nil || s.LastFailureAt.Before(begun)) {
			return fmt.Sprintf("The base backup that started at %s has not completed.", begun.UTC().Format(time.RFC3339))
		}
	}
	if next := b.NextBackup(begun); next != nil && s.ObservedAt.Sub(*next) > beginGrace {
		return fmt.Sprintf("The base backup scheduled for %s has not started.", next.UTC().Format(time.RFC3339))
	}
	return ""
}

// HealthOf is the Health of the database's backups. Nobody looks at those of a database that takes no changes: what was
// seen last stays so.
func (s BackupState) HealthOf(db Database, now time.Time) (BackupHealth, string) {
	if db.resting() {
		now = s.ObservedAt
	}
	return s.Health(db.Profile.Backups, now)
}

// NextBackup is when the next base backup of the database begins after the time; nil where none does.
func (db Database) NextBackup(after time.Time) *time.Time {
	if db.resting() {
		return nil
	}
	return db.Profile.NextBackup(after)
}

// resting says whether the database takes no changes.
func (db Database) resting() bool {
	return db.Status == DatabaseFrozen || db.Status == DatabaseArchived
}

// Lag is how much time would be lost now: none where nothing was written since all was archived.
func (s BackupState) Lag(now time.Time) time.Duration {
	if s.UnarchivedBytes == 0 || s.ArchivedUntil == nil {
		return 0
	}
	return max(0, now.Sub(*s.ArchivedUntil))
}

// backupStore reads what is known of backups; of a database that is out of scope nothing is.
type backupStore interface {
	// BackupState is the zero value where nobody has looked yet.
	BackupState(ctx context.Context, scope Scope, database uuid.UUID) (BackupState, error)
	Backups(ctx context.Context, scope Scope, filter BackupFilter) ([]Backup, error)
}

// Backups returns one page of the database's base backups, newest first, and the cursor of the next page: empty on the
// last. Errors: CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeValidationFailed.
func (d *Databases) Backups(ctx context.Context, req Request, filter BackupFilter) ([]Backup, string, error) {
	by, err := req.authorize(MayListBackups)
	if err != nil {
		return nil, "", err
	}
	if _, err := d.store.Database(ctx, by.Scope, filter.DatabaseID); err != nil {
		return nil, "", err
	}
	return onePage("list backups", &filter.Page,
		func() ([]Backup, error) { return d.store.Backups(ctx, by.Scope, filter) },
		func(b Backup) uuid.UUID { return b.ID })
}

// BackUp records the operation that takes a base backup of the database now, beside those at the times of its tier, and
// starts that as Create does. The database stays ready. Errors: CodeUnauthenticated, CodeForbidden, CodeNotFound,
// CodeDatabaseBusy, CodeWrongStatus unless it is ready and has backups, CodeUnavailable above the backlog, and those of
// once.
func (d *Databases) BackUp(ctx context.Context, req Request, id uuid.UUID) (Database, Operation, error) {
	by, err := req.authorize(MayBackUpDatabase)
	if err != nil {
		return Database{}, Operation{}, err
	}
	return d.accept(ctx, by, BackUpDatabase, id)
}
