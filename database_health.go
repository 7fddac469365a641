package daap

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DatabaseHealth summarizes a database's conditions.
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

// HealthObservation is the health from one observation of a database.
type HealthObservation struct {
	Health DatabaseHealth
	// Since is when the health got this value, ObservedAt when it was last observed; both are zero before the first
	// observation.
	Since, ObservedAt time.Time
}

// AsOf returns the health at the given time: an observation that is too old is unknown.
func (h HealthObservation) AsOf(now time.Time) HealthObservation {
	if since, is := stale(h.ObservedAt, now); is && h.Health != HealthUnknown {
		h.Health, h.Since = HealthUnknown, since
	}
	return h
}

// Runs reports whether the database is running: it is ready or being changed, even if the change needs attention. Only
// a running database has a health.
func (db Database) Runs() bool {
	status := db.Status
	if status == DatabaseError {
		status = db.OperationKind.During()
	}
	return status.runs()
}

// HealthAt returns the health of the database at the given time; false if it is not running.
func (db Database) HealthAt(now time.Time) (HealthObservation, bool) {
	switch {
	case !db.Runs():
		return HealthObservation{}, false
	case db.LastHealth == nil:
		return HealthObservation{Health: HealthUnknown}, true
	}
	return db.LastHealth.AsOf(now), true
}

// Observed is a database with its last observation and the related rows.
type Observed struct {
	Database
	Conditions Conditions
	// Revision counts the changes of Conditions; zero before the first observation.
	Revision int64
	Backups  BackupState
	Scan     Scan
	// Reserved is the database's reservation in its tier's quota.
	Reserved Cost
}

// Observation is the result of one observation.
type Observation struct {
	Observed
	// Now are the current conditions.
	Now Conditions
}

// Observe combines the conditions that were found in Kubernetes at the given time with those derived from stored rows.
func (o Observed) Observe(found Conditions, at time.Time) Observation {
	now := append(slices.Clone(found), o.recorded(at)...)
	for i := range now {
		now[i].ObservedAt = o.collectedAt(now[i].Type, at)
	}
	return Observation{o, o.Conditions.MergeSince(now)}
}

// Changed reports whether there is more to record than the time of the observation.
func (s Observation) Changed() bool {
	return !slices.EqualFunc(s.Conditions, s.Now, func(was, is Condition) bool {
		return was.Type == is.Type && was.Status == is.Status && was.Reason == is.Reason && was.Message == is.Message
	})
}

// Event returns the timeline's event for the observation; false if no condition changed its status.
func (s Observation) Event() (Event, bool) {
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

// collectedAt returns when the data behind a condition was collected. Conditions derived from stored rows may be older
// than at.
func (o Observed) collectedAt(kind ConditionType, at time.Time) time.Time {
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
	default: // the observation itself found it
	}
	if before.IsZero() || before.After(at) {
		return at
	}
	return before
}

// recorded returns the conditions that are derived from stored rows.
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
	consistent := o.Reserved == cost || o.OperationID != nil && cost.ExcessOver(o.Reserved) == Cost{}
	return append(all, ConditionQuotaConsistent.wellIf(consistent, "ReservationDiffers",
		"The reservation in the quota of tier %s does not match the resources of the database.", o.Tier))
}

// backedUp returns the conditions of backups; none for a database without backups.
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

// Reported returns the conditions as shown at the given time, in display order; none for a database that is not
// running.
func (o Observed) Reported(now time.Time) Conditions {
	if !o.Runs() {
		return nil
	}
	told, order := o.Conditions.AsOf(now), ConditionTypes()
	for i := range told {
		told[i].ObservedAt = o.collectedAt(told[i].Type, told[i].ObservedAt)
	}
	slices.SortStableFunc(told, func(a, b Condition) int {
		return cmp.Compare(slices.Index(order, a.Type), slices.Index(order, b.Type))
	})
	return told
}
