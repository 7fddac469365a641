package persistence

import (
	"strconv"
	"strings"
	"time"

	"github.com/daap-dev/daap"
)

// filter collects the conditions of a list. Conditions are constant text in which $ stands for the argument; caller
// input is only ever an argument.
type filter struct {
	conditions []string
	args       []any
}

func (f *filter) and(condition string) {
	f.conditions = append(f.conditions, condition)
}

func (f *filter) andWith(condition string, arg any) {
	f.and(strings.Replace(condition, "$", f.placeholder(arg), 1))
}

// within selects the rows of databases d in the scope.
func (f *filter) within(scope daap.Scope) {
	if team, limited := scope.Team(); limited {
		f.andWith(`d.owner_team = $`, team)
	}
}

// running selects the running databases d, by the operations o that hold them.
func (f *filter) running() {
	f.and(running(f.placeholder(daap.RunningStatuses()), f.placeholder(daap.RunningKinds())))
}

// healthy selects the rows of fromDatabases for running databases with the health now.
func (f *filter) healthy(health daap.DatabaseHealth, now time.Time) {
	f.running()
	since := daap.HealthValidSince(now)
	if health == daap.HealthUnknown {
		f.andWith(`(h.health IS NULL OR h.health = 'unknown' OR h.observed_at < $)`, since)
		return
	}
	f.andWith(`h.health = $`, health)
	f.andWith(`h.observed_at >= $`, since)
}

// placeholder adds arg to the arguments and returns its placeholder.
func (f *filter) placeholder(arg any) string {
	f.args = append(f.args, arg)
	return "$" + strconv.Itoa(len(f.args))
}

// where returns the WHERE clause, empty without conditions.
func (f *filter) where() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(f.conditions, " AND ")
}
