package daap

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
)

// HealthSeen is what one look at a database came to.
type HealthSeen struct {
	Health DatabaseHealth
	// Since is when the health became what it is, ObservedAt when it was last looked at; both are zero where nobody has.
	Since, ObservedAt time.Time
}

// At is what of the look still tells something: one that is too long ago tells nothing any more.
func (h HealthSeen) At(now time.Time) HealthSeen {
	if now.Sub(h.ObservedAt) > HealthBelievedFor && h.Health != HealthUnknown {
		h.Health, h.Since = HealthUnknown, h.ObservedAt.Add(HealthBelievedFor)
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
	return status == DatabaseReady || status == DatabaseUpdating
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

// Told are the conditions as people are told of them at the moment, in the order in which they want them.
func (o Observed) Told(now time.Time) Conditions {
	told, order := o.Conditions.At(now), ConditionTypes()
	for i := range told {
		told[i].ObservedAt = o.lookedAt(told[i].Type, told[i].ObservedAt)
	}
	slices.SortStableFunc(told, func(a, b Condition) int {
		return cmp.Compare(slices.Index(order, a.Type), slices.Index(order, b.Type))
	})
	return told
}

// conditionStore reads what was seen of databases.
type conditionStore interface {
	// LastSeen returns the conditions that were last seen of the database, and of Backups and Scan when they were looked
	// at; the zero value where nobody has looked yet, and of a database that is out of scope.
	LastSeen(ctx context.Context, scope Scope, database uuid.UUID) (Observed, error)
}

// Conditions returns what is known of the database now; none where nobody has looked yet, and where it does not run.
// Errors: CodeUnauthenticated, CodeForbidden.
func (d *Databases) Conditions(ctx context.Context, req Request, db Database) (Conditions, error) {
	by, err := req.authorize(MayGetDatabase)
	if err != nil || !db.Runs() {
		return nil, err
	}
	seen, err := d.store.LastSeen(ctx, by.Scope, db.ID)
	return seen.Told(time.Now()), err
}
