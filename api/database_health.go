package api

import (
	"time"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// healthStateToOAS returns the current health; null if the database is not running.
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

// conditionsToOAS returns the conditions of a running database; nil otherwise.
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
