package daap

import (
	"reflect"
	"slices"
	"testing"
)

// TestEveryKindOfOperationIsComplete fails for a field that is left out of a kind, and for a new field of kind that is
// in neither list.
func TestEveryKindOfOperationIsComplete(t *testing.T) {
	t.Parallel()
	always := []string{"name", "during", "undoing", "after", "plan", "pivot", "why"}
	requested := []string{"from", "done"} // of all but the kind that makes a database from nothing
	optional := []string{"makes", "readsSource", "needsBackups", "destroys", "removesArchive", "takesOver", "resumesAtPivot"}
	for _, k := range kinds {
		value := reflect.ValueOf(k)
		for i := range value.NumField() {
			field := value.Type().Field(i).Name
			must := slices.Contains(always, field)
			switch {
			case slices.Contains(requested, field):
				must = !k.makes || k.readsSource
			case !must && !slices.Contains(optional, field):
				t.Fatalf("no list has the field %s of kind; say here whether every kind must set it", field)
			}
			if must && value.Field(i).IsZero() {
				t.Errorf("%s has no %s", k.name, field)
			}
		}
	}
}

func TestFieldsOfEveryKindOfOperationAgree(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		names := make([]StepName, 0, len(k.plan))
		readsBackups := false
		for _, p := range k.plan {
			names = append(names, p.Name)
			readsBackups = readsBackups || !p.BacksUp && (p.Name == StepBackup || p.Name == StepMarker)
			if p.Title == "" {
				t.Errorf("step %s of %s has no title", p.Name, k.name)
			}
		}
		for rule, is := range map[string]bool{
			"the pivot is a step": slices.Contains(names, k.pivot),
			"a step has one name": len(slices.Compact(slices.Sorted(slices.Values(names)))) == len(names),
			"a kind that makes a database deletes it on the way back":  k.makes == (k.undoing == DatabaseDeleting && k.after != DatabaseDeleted),
			"a kind that makes a database reads the source it is from": k.makes && len(k.from) > 0 == k.readsSource || !k.makes && !k.readsSource,
			"a plan that always needs backups says so":                 readsBackups == k.needsBackups,
			"a kind that ends in deleted removes the archive":          k.removesArchive == (k.after == DatabaseDeleted),
			"a kind that takes over is legal for parked operations":    !k.takesOver || slices.Contains(k.from, DatabaseError),
			"a kind that resumes at its pivot has steps before it":     !k.resumesAtPivot || names[0] != k.pivot,
			"the status meanwhile may come after those it is from":     k.makes || !slices.ContainsFunc(k.from, func(s DatabaseStatus) bool { return !s.canMoveTo(k.during) }),
		} {
			if !is {
				t.Errorf("%s: it is not so that %s", k.name, rule)
			}
		}
	}
	for _, s := range DestructionStrategies() {
		if s.Operation() == "" || s.Operation().fixed().destroys != s {
			t.Errorf("strategy %s is carried out by %q", s, s.Operation())
		}
	}
}

func TestCostOfAnOperationFollowsFromItsStatuses(t *testing.T) {
	t.Parallel()
	var p Profile
	p.Instances = 1
	for kind, want := range map[OperationKind]struct{ more, less bool }{
		ProvisionDatabase: {more: true}, UnfreezeDatabase: {}, ReconcileDatabase: {}, DeleteDatabase: {less: true},
	} {
		op := Operation{Kind: kind}
		if !kind.Makes() {
			op.StatusBefore = kind.fixed().from[0]
		}
		before, after := op.Cost(p)
		if got := (struct{ more, less bool }{after.Databases > before.Databases, after.Databases < before.Databases}); got != want {
			t.Errorf("%s costs %+v before and %+v after, want %+v", kind, before, after, want)
		}
	}
}
