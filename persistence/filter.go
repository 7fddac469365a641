package persistence

import (
	"strconv"
	"strings"
	"time"

	"github.com/daap-dev/daap"
)

// filter gathers the conditions of a list. Conditions are fixed text in which $ stands for their argument;
// what callers give only ever becomes an argument.
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

// within leaves the rows of databases d that are in the scope.
func (f *filter) within(scope daap.Scope) {
	if team, limited := scope.Team(); limited {
		f.andWith(`d.owner_team = $`, team)
	}
}

// running leaves the databases d that run, by the operations o that hold them.
func (f *filter) running() {
	f.and(running(f.placeholder(daap.RunningStatuses()), f.placeholder(daap.RunningKinds())))
}

// healthy leaves the rows of fromDatabases of databases that run and are of the health at the moment.
func (f *filter) healthy(health daap.DatabaseHealth, now time.Time) {
	f.running()
	since := daap.HealthBelievedSince(now)
	if health == daap.HealthUnknown {
		f.andWith(`(h.health IS NULL OR h.health = 'unknown' OR h.observed_at < $)`, since)
		return
	}
	f.andWith(`h.health = $`, health)
	f.andWith(`h.observed_at >= $`, since)
}

// placeholder adds arg to the arguments and returns what stands for it in the SQL.
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
