package api

import (
	"time"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// healthStateToOAS is how the database is now; null where it does not run.
func healthStateToOAS(db daap.Database) oas.NilHealthState {
	seen, runs := db.HealthAt(time.Now())
	if !runs {
		return oas.NilHealthState{Null: true}
	}
	looked := !seen.ObservedAt.IsZero()
	return oas.NewNilHealthState(oas.HealthState{
		Status:     oas.DatabaseHealth(seen.Health),
		Since:      nilTime(given(seen.Since, looked)),
		ObservedAt: nilTime(given(seen.ObservedAt, looked)),
	})
}

// conditionsToOAS are those of a database that runs; nil of another one.
func conditionsToOAS(view daap.DatabaseView) []oas.Condition {
	if !view.Runs() {
		return nil
	}
	return each(view.Conditions, func(c daap.Condition) oas.Condition {
		return oas.Condition{
			Type: oas.ConditionType(c.Type), Status: oas.ConditionStatus(c.Status), Reason: c.Reason, Message: c.Message,
			Since: c.Since.UTC(), ObservedAt: c.ObservedAt.UTC(),
		}
	})
}
