package daap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DatabaseHealth sums a database's conditions up.
type DatabaseHealth string

// The healths of a database.
const (
	HealthHealthy     DatabaseHealth = "healthy"
	HealthDegraded    DatabaseHealth = "degraded"
	HealthUnavailable DatabaseHealth = "unavailable"
	HealthUnknown     DatabaseHealth = "unknown"
)

// DatabaseHealths returns all healths, the best first.
func DatabaseHealths() []DatabaseHealth {
	return []DatabaseHealth{HealthHealthy, HealthDegraded, HealthUnavailable, HealthUnknown}
}

// HealthSeen is what one look at a database came to.
type HealthSeen struct {
	Health DatabaseHealth
	// Since is when the health became what it is, ObservedAt when it was last looked at; both are zero where nobody has.
	Since, ObservedAt time.Time
}

// At is what of the look still tells something: one that is too long ago tells nothing any more.
func (h HealthSeen) At(now time.Time) HealthSeen {
	if since, is := stale(h.ObservedAt, now); is && h.Health != HealthUnknown {
		h.Health, h.Since = HealthUnknown, since
	}
	return h
}

// Runs says whether the database is one that runs: it is ready or being changed, also where what changes it is parked.
// Only such a database has a health.
func (db Database) Runs() bool {
	status := db.Status
	if status == DatabaseError {
		status = db.OperationKind.During()
	}
	return status.runs()
}

// HealthAt is the health of the database as it is known at the moment; false where the database does not run.
func (db Database) HealthAt(now time.Time) (HealthSeen, bool) {
	switch {
	case !db.Runs():
		return HealthSeen{}, false
	case db.LastHealth == nil:
		return HealthSeen{Health: HealthUnknown}, true
	}
	return db.LastHealth.At(now), true
}

// Observed is a database with what was last seen of it, and with what rows tell of it.
type Observed struct {
	Database
	Conditions Conditions
	// Revision counts the changes of Conditions; zero where nobody has looked yet.
	Revision int64
	Backups  BackupState
	Scan     Scan
	// Reserved is what is reserved for the database in its tier's quota.
	Reserved Cost
}

// Seen is what one look found.
type Seen struct {
	Observed
	// Now are all conditions there are by now.
	Now Conditions
}

// See is the look that found the conditions in Kubernetes at the moment. What rows tell is added.
func (o Observed) See(found Conditions, at time.Time) Seen {
	now := append(slices.Clone(found), o.recorded(at)...)
	for i := range now {
		now[i].ObservedAt = o.lookedAt(now[i].Type, at)
	}
	return Seen{o, o.Conditions.Then(now)}
}

// Changed says whether anything is to be recorded, beyond that it was looked at.
func (s Seen) Changed() bool {
	return !slices.EqualFunc(s.Conditions, s.Now, func(was, is Condition) bool {
		return was.Type == is.Type && was.Status == is.Status && was.Reason == is.Reason && was.Message == is.Message
	})
}

// Event is what the timeline tells of the look; false where every condition has the status it had.
func (s Seen) Event() (Event, bool) {
	var told []string
	for _, c := range s.Now {
		if s.Conditions.status(c.Type) != c.Status && (s.Revision > 0 || c.wrong()) {
			told = append(told, fmt.Sprintf("%s is %s: %s", c.Type, c.Status, cmp.Or(c.Message, c.Reason)))
		}
	}
	was, is := s.Conditions.Health(), s.Now.Health()
	if len(told) == 0 && was == is {
		return Event{}, false
	}
	message := fmt.Sprintf("The database is %s.", is)
	if was != is && s.Revision > 0 {
		message = fmt.Sprintf("The database is %s; it was %s.", is, was)
	}
	return Event{
		DatabaseID: s.ID, Kind: EventHealthChanged, Message: strings.Join(append([]string{message}, told...), " "),
	}, true
}

// lookedAt is when that was looked at which the condition tells, where the database was looked at at the moment: what
// rows tell was looked at before.
func (o Observed) lookedAt(kind ConditionType, at time.Time) time.Time {
	var before time.Time
	switch kind {
	case ConditionContinuousArchiving, ConditionBackupFresh:
		before = o.Backups.ObservedAt
	case ConditionExtensionsScanned:
		before = o.Scan.AttemptedAt
	case ConditionStorageHeadroom, ConditionConnectionHeadroom:
		if o.Scan.ScannedAt != nil {
			before = *o.Scan.ScannedAt
		}
	default: // the look itself found it
	}
	if before.IsZero() || before.After(at) {
		return at
	}
	return before
}

// recorded are the conditions that rows tell.
func (o Observed) recorded(now time.Time) Conditions {
	all := append(o.backedUp(now), o.Scan.conditions(o.Profile, now)...)
	switch health, known := o.CertificateHealth(now); {
	case !known:
	case health == CertificateOK:
		all = append(all, ConditionCertificateExpiry.is(ConditionFalse, "AsExpected", ""))
	default:
		all = append(all, ConditionCertificateExpiry.is(ConditionTrue, "Expiring", "The CA certificate expires on %s.",
			o.CAExpiresAt.UTC().Format(time.DateOnly)))
	}
	cost := o.Profile.CostOf(DatabaseReady)
	consistent := o.Reserved == cost || o.OperationID != nil && cost.Beyond(o.Reserved) == Cost{}
	return append(all, ConditionQuotaConsistent.wellIf(consistent, "ReservationDiffers",
		"The reservation in the quota of tier %s does not match the resources of the database.", o.Tier))
}

// backedUp are the conditions of backups; none where the database has no backups.
func (o Observed) backedUp(now time.Time) Conditions {
	if !o.Profile.BackupEnabled {
		return nil
	}
	health, reason := o.Backups.Health(o.Profile.Backups, now)
	switch {
	case health == BackupsUnknown:
		return Conditions{
			ConditionContinuousArchiving.is(ConditionUnknown, "Stale", "%s", reason),
			ConditionBackupFresh.is(ConditionUnknown, "Stale", "%s", reason),
		}
	case !o.Backups.Archiving:
		return Conditions{
			ConditionContinuousArchiving.is(ConditionFalse, "NotArchiving", "%s", reason),
			ConditionBackupFresh.is(ConditionUnknown, "NotArchiving", "%s", reason),
		}
	}
	return Conditions{
		ConditionContinuousArchiving.is(ConditionTrue, "AsExpected", ""),
		ConditionBackupFresh.wellIf(health == BackupsOK, "NotFresh", "%s", reason),
	}
}

// Told are the conditions as people are told of them at the moment, in the order in which they want them; none of a
// database that does not run.
func (o Observed) Told(now time.Time) Conditions {
	if !o.Runs() {
		return nil
	}
	told, order := o.Conditions.At(now), ConditionTypes()
	for i := range told {
		told[i].ObservedAt = o.lookedAt(told[i].Type, told[i].ObservedAt)
	}
	slices.SortStableFunc(told, func(a, b Condition) int {
		return cmp.Compare(slices.Index(order, a.Type), slices.Index(order, b.Type))
	})
	return told
}
