package daap_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/daap-dev/daap"
)

func TestInvalidSpecNamesEveryField(t *testing.T) {
	t.Parallel()
	good := daap.DatabaseSpec{Name: "orders", OwnerTeam: "shop", Labels: map[string]string{"env": "prod", "a.b/c": ""}}
	tests := map[string]struct {
		change func(*daap.DatabaseSpec)
		fields []string
	}{
		"good":                   {func(*daap.DatabaseSpec) {}, nil},
		"longest name":           {func(s *daap.DatabaseSpec) { s.Name = strings.Repeat("a", 40) }, nil},
		"shortest name":          {func(s *daap.DatabaseSpec) { s.Name = "a-1" }, nil},
		"name too long":          {func(s *daap.DatabaseSpec) { s.Name = strings.Repeat("a", 41) }, []string{"name"}},
		"name too short":         {func(s *daap.DatabaseSpec) { s.Name = "ab" }, []string{"name"}},
		"name missing":           {func(s *daap.DatabaseSpec) { s.Name = "" }, []string{"name"}},
		"name with double --":    {func(s *daap.DatabaseSpec) { s.Name = "or--ders" }, []string{"name"}},
		"name beginning digit":   {func(s *daap.DatabaseSpec) { s.Name = "1orders" }, []string{"name"}},
		"name ending in hyphen":  {func(s *daap.DatabaseSpec) { s.Name = "orders-" }, []string{"name"}},
		"name in capitals":       {func(s *daap.DatabaseSpec) { s.Name = "Orders" }, []string{"name"}},
		"name with newline":      {func(s *daap.DatabaseSpec) { s.Name = "orders\n" }, []string{"name"}},
		"team missing":           {func(s *daap.DatabaseSpec) { s.OwnerTeam = "" }, []string{"owner_team"}},
		"description too long":   {func(s *daap.DatabaseSpec) { s.Description = strings.Repeat("ä", 501) }, []string{"description"}},
		"description at limit":   {func(s *daap.DatabaseSpec) { s.Description = strings.Repeat("ä", 500) }, nil},
		"description with NUL":   {func(s *daap.DatabaseSpec) { s.Description = "a\x00b" }, []string{"description"}},
		"description not UTF-8":  {func(s *daap.DatabaseSpec) { s.Description = "a\xffb" }, []string{"description"}},
		"label key in capitals":  {func(s *daap.DatabaseSpec) { s.Labels = map[string]string{"Env": "x"} }, []string{"labels"}},
		"label value too long":   {func(s *daap.DatabaseSpec) { s.Labels = map[string]string{"env": strings.Repeat("x", 129)} }, []string{"labels.env"}},
		"too many labels":        {func(s *daap.DatabaseSpec) { s.Labels = manyLabels(33) }, []string{"labels"}},
		"as many labels as may":  {func(s *daap.DatabaseSpec) { s.Labels = manyLabels(32) }, nil},
		"several fields at once": {func(s *daap.DatabaseSpec) { s.Name, s.OwnerTeam = "x", "y" }, []string{"name", "owner_team"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := good
			tt.change(&spec)
			err := daap.AsError(spec.Validate())
			if err == nil {
				if len(tt.fields) > 0 {
					t.Fatalf("Validate() accepts it, want %v refused", tt.fields)
				}
				return
			}
			var fields []string
			for _, detail := range err.Details {
				fields = append(fields, detail.Field)
			}
			if err.Code != daap.CodeValidationFailed || !slices.Equal(fields, tt.fields) {
				t.Errorf("Validate() = %s naming %v, want %v", err.Code, fields, tt.fields)
			}
		})
	}
}

func manyLabels(n int) map[string]string {
	labels := map[string]string{}
	for i := range n {
		labels["k"+strings.Repeat("x", i)] = ""
	}
	return labels
}

func TestPatchIsAMerge(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	before := daap.Database{Description: "old", Labels: map[string]string{"env": "prod", "tier": "gold"}}
	tests := map[string]struct {
		patch       daap.DatabasePatch
		description string
		labels      map[string]string
	}{
		"nothing":             {daap.DatabasePatch{}, "old", before.Labels},
		"description":         {daap.DatabasePatch{Description: text("new")}, "new", before.Labels},
		"description removed": {daap.DatabasePatch{Description: text("")}, "", before.Labels},
		"label set":           {daap.DatabasePatch{Labels: map[string]*string{"env": text("dev")}}, "old", map[string]string{"env": "dev", "tier": "gold"}},
		"label removed":       {daap.DatabasePatch{Labels: map[string]*string{"env": nil}}, "old", map[string]string{"tier": "gold"}},
		"labels cleared":      {daap.DatabasePatch{ClearLabels: true}, "old", map[string]string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after, err := tt.patch.Apply(before)
			if err != nil || after.Description != tt.description || !maps.Equal(after.Labels, tt.labels) {
				t.Errorf("Apply() = %q %v, %v; want %q %v", after.Description, after.Labels, err, tt.description, tt.labels)
			}
		})
	}
	if _, err := (daap.DatabasePatch{Description: text(strings.Repeat("x", 501))}).Apply(before); daap.AsError(err) == nil {
		t.Errorf("Apply() of a description too long = %v, want it refused", err)
	}
	if before.Labels["env"] != "prod" || len(before.Labels) != 2 {
		t.Errorf("Apply() changed the database it was given: %v", before.Labels)
	}
}

func TestEveryStatusIsReachedAndDeletedIsFinal(t *testing.T) {
	t.Parallel()
	reached := map[daap.DatabaseStatus]bool{daap.DatabaseProvisioning: true}
	for range daap.DatabaseStatuses() {
		for _, from := range daap.DatabaseStatuses() {
			for _, to := range daap.DatabaseStatuses() {
				if reached[from] && from.CanMoveTo(to) {
					reached[to] = true
				}
			}
		}
	}
	for _, status := range daap.DatabaseStatuses() {
		if !reached[status] {
			t.Errorf("no database can become %s", status)
		}
		if daap.DatabaseDeleted.CanMoveTo(status) {
			t.Errorf("a deleted database can become %s", status)
		}
	}
}

func TestOperationsMoveDatabasesLegally(t *testing.T) {
	t.Parallel()
	for _, kind := range daap.OperationKinds() {
		if !kind.During().CanMoveTo(kind.After()) || !kind.During().CanMoveTo(daap.DatabaseError) {
			t.Errorf("%s cannot move its database from %s to %s and to error", kind, kind.During(), kind.After())
		}
		if !daap.DatabaseError.CanMoveTo(kind.During()) {
			t.Errorf("%s cannot leave error", kind)
		}
		if steps := kind.Steps(); len(steps) == 0 || steps[len(steps)-1].Name != daap.StepFinish {
			t.Errorf("steps of %s are %v, want finish last", kind, steps)
		}
	}
	for _, kind := range daap.OperationKinds() {
		for _, held := range daap.OperationKinds() {
			for _, state := range daap.OpenStates() {
				want := kind == daap.DeleteDatabase && held != daap.DeleteDatabase && state != daap.OperationCancelling
				if got := kind.TakesOver(daap.Operation{Kind: held, State: state}); got != want {
					t.Errorf("%s takes over from a %s %s: %v, want %v", kind, state, held, got, want)
				}
			}
		}
	}
}
