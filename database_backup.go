package daap

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"
	"github.com/robfig/cron/v3"
)

// Backups configures the backups of a tier's databases; the zero value means no backups.
type Backups struct {
	BackupEnabled bool
	// BackupFrequency schedules base backups: a five-field cron expression in UTC.
	BackupFrequency string
	// BackupRetentionDays is the number of days within which any second can be restored.
	BackupRetentionDays int
	// WALArchivingEnabled archives changes continuously. Backups require it.
	WALArchivingEnabled bool
	// ObjectStorageDestination is s3://bucket or s3://bucket/prefix in the platform's object store. Each database has its
	// own prefix there.
	ObjectStorageDestination string
}

// MaxBackupRetentionDays is ten years.
const MaxBackupRetentionDays = 3650

// The rules for a destination: bucket names follow S3's rules, and prefixes contain no characters with a meaning.
var (
	destination = regexp.MustCompile(
		`^s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}){0,4}$`)
	destinationText = "must be s3://bucket or s3://bucket/prefix, with letters, digits, dots, hyphens and underscores"
)

func checkBackupEnabled(p *Profile, _ Catalog) string {
	if !p.BackupEnabled && p.Backups != (Backups{}) {
		return "must be true if any other backup setting is given"
	}
	return ""
}

func checkWALArchiving(p *Profile, _ Catalog) string {
	if p.BackupEnabled && !p.WALArchivingEnabled {
		return "must be true if backup_enabled is true: a base backup cannot be restored without its WAL"
	}
	return ""
}

func checkFrequency(p *Profile, _ Catalog) string {
	if !p.BackupEnabled {
		return ""
	}
	if _, err := schedule(p.BackupFrequency); err != nil {
		return "must be a five-field cron expression in UTC, such as 0 2 * * * for 02:00 every day"
	}
	return ""
}

func checkRetention(p *Profile, _ Catalog) string {
	if p.BackupEnabled && (p.BackupRetentionDays < 1 || p.BackupRetentionDays > MaxBackupRetentionDays) {
		return fmt.Sprintf("must be a whole number from 1 to %d", MaxBackupRetentionDays)
	}
	return ""
}

func checkDestination(p *Profile, _ Catalog) string {
	if p.BackupEnabled && !isDestination(p.ObjectStorageDestination) {
		return destinationText
	}
	return ""
}

// isDestination reports whether the text is a destination. S3 bucket names are DNS names that are not IP addresses.
func isDestination(text string) bool {
	parts := destination.FindStringSubmatch(text)
	if parts == nil {
		return false
	}
	return dnsName.MatchString(parts[1]) && !fourNumbers.MatchString(parts[1])
}

// fourNumbers matches an IPv4 address.
var fourNumbers = regexp.MustCompile(`^([0-9]+\.){3}[0-9]+$`)

// fiveFields accepts crontab's five fields, without @daily and time zones.
var fiveFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// fivePlainFields requires single spaces: fiveFields would accept any white space between the fields and a time zone
// before them.
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

// NextBackup returns when the next base backup after the given time starts; nil without backups.
func (b Backups) NextBackup(after time.Time) *time.Time {
	if !b.BackupEnabled {
		return nil
	}
	parsed, err := schedule(b.BackupFrequency)
	if err != nil {
		return nil
	}
	next := parsed.Next(after.UTC())
	if next.IsZero() { // none within five years, such as 29 February around 2100
		return nil
	}
	return &next
}

// promise describes the backups for readers who do not know base backups.
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
	// ServerName is the name of the backup's archive: each incarnation of the database has its own.
	ServerName string
	// BackupID is Barman's ID in the archive; empty until the backup starts.
	BackupID             string
	Status               BackupStatus
	StartedAt, StoppedAt *time.Time
	// BeginWAL and EndWAL are the segments that a restore needs; empty until the backup is completed.
	BeginWAL, EndWAL string
	// SizeBytes is the size in the object store; nil until it is known.
	SizeBytes *int64
	// Error explains a failure; empty otherwise.
	Error string
}

// BackupStatus is the progress of a base backup.
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

// BackupFilter selects base backups of one database.
type BackupFilter struct {
	DatabaseID uuid.UUID
	Page       Page
}

// BackupState is the most recent observation of a database's backups.
type BackupState struct {
	ObservedAt time.Time
	// Archiving reports whether WAL is archived; ArchivingMessage is the last message of the archiver.
	Archiving        bool
	ArchivingMessage string
	// LastArchivedAt is when the last segment was archived: everything up to then can be restored. UnarchivedBytes is the
	// amount written since. If the database does not report them, the previous values stay.
	LastArchivedAt  *time.Time
	UnarchivedBytes int64
	// ArchivedUntil is the time up to which everything is known to be archived: the last observation without unarchived
	// bytes, or LastArchivedAt if later. The store derives it.
	ArchivedUntil *time.Time
	// ClosedAt is the time of the last commit of a frozen or archived database, which accepts no changes; nil otherwise.
	ClosedAt *time.Time
	// LastBegunAt, LastSuccessAt and LastFailureAt are times of base backups.
	LastBegunAt, LastSuccessAt, LastFailureAt *time.Time
	LastFailureMessage                        string
	// Gap is the first segment after the first base backup that is missing in the archive; empty if there is none.
	Gap string
	// FirstRecoverableAt is the earliest time that can be restored; nil until there is one.
	FirstRecoverableAt *time.Time
}

// BackupHealth summarizes whether a database could be restored.
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

// The limits of health.
const (
	// beginGrace is how late a base backup may start before it counts as missed; CNPG starts it within a second.
	beginGrace = 30 * time.Second
	// backupGrace is how long a base backup may take: 1 TiB at 50 MiB a second takes six hours.
	backupGrace = 6 * time.Hour
	// archiveGrace is how late WAL may be archived: PostgreSQL closes a segment with changes after five minutes; archiving
	// it and the next check take up to a minute each.
	archiveGrace = 7 * time.Minute
)

// Health returns the health of the backups under the settings b, and a sentence that explains it if it is not ok.
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

// LatestRecoverable returns the time up to which everything is archived; nil if nothing is.
func (s BackupState) LatestRecoverable() *time.Time {
	if s.ClosedAt != nil {
		return s.ClosedAt
	}
	return s.LastArchivedAt
}

// late explains a base backup that has not started or runs for too long; empty if there is none.
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

// HealthOf returns the Health of the database's backups. A database that accepts no changes is not checked: its last
// observation stays valid.
func (s BackupState) HealthOf(db Database, now time.Time) (BackupHealth, string) {
	if db.resting() {
		now = s.ObservedAt
	}
	return s.Health(db.Profile.Backups, now)
}

// NextBackup returns when the next base backup of the database after the given time starts; nil if none does.
func (db Database) NextBackup(after time.Time) *time.Time {
	if db.resting() {
		return nil
	}
	return db.Profile.NextBackup(after)
}

// resting reports whether the database accepts no changes.
func (db Database) resting() bool {
	return db.Status == DatabaseFrozen || db.Status == DatabaseArchived
}

// Lag returns the time span of changes that would be lost now: 0 if everything is archived.
func (s BackupState) Lag(now time.Time) time.Duration {
	if s.UnarchivedBytes == 0 || s.ArchivedUntil == nil {
		return 0
	}
	return max(0, now.Sub(*s.ArchivedUntil))
}

// backupStore reads backups and their state; a database that is out of scope has none.
type backupStore interface {
	// BackupState returns the zero value before the first observation.
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

// BackUp records the operation that takes a base backup now, in addition to the scheduled ones, and starts it like
// Create. The database stays ready. Errors: CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeDatabaseBusy,
// CodeWrongStatus unless it is ready and has backups, CodeUnavailable above the backlog, and those of once.
func (d *Databases) BackUp(ctx context.Context, req Request, id uuid.UUID) (Database, Operation, error) {
	by, err := req.authorize(MayBackUpDatabase)
	if err != nil {
		return Database{}, Operation{}, err
	}
	return d.accept(ctx, by, BackUpDatabase, id)
}
