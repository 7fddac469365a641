package daap_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

// eachField calls do for each field of a profile, with what changes that field to another value.
func eachField(do func(change func(*daap.Profile))) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[daap.Profile]()) {
		if field.Anonymous {
			continue
		}
		do(func(p *daap.Profile) {
			switch at := reflect.ValueOf(p).Elem().FieldByIndex(field.Index).Addr().Interface().(type) {
			case *int:
				*at++
			case *bool:
				*at = !*at
			case *resource.Quantity:
				at.Add(resource.MustParse("1Gi"))
			case *[]daap.PGAuditClass:
				*at = []daap.PGAuditClass{daap.PGAuditDDL, daap.PGAuditRole, daap.PGAuditMisc}
			default:
				text := reflect.ValueOf(at).Elem()
				text.SetString(text.String() + "x")
			}
		})
	}
}

// changedFields are the tier fields in which the profiles differ.
func changedFields(was, is daap.Profile) []string {
	var names []string
	before, after := was.Values(), is.Values()
	for _, name := range daap.TierFields() {
		if !reflect.DeepEqual(before[name], after[name]) {
			names = append(names, name)
		}
	}
	return names
}

func TestEachFieldOfAProfileIsOneTierField(t *testing.T) {
	t.Parallel()
	var all []string
	eachField(func(change func(*daap.Profile)) {
		is := medium().Profile
		change(&is)
		names := changedFields(medium().Profile, is)
		if len(names) != 1 {
			t.Errorf("profile %+v differs in the tier fields %v, want in one", is, names)
		}
		all = append(all, names...)
	})
	slices.Sort(all)
	if want := slices.Sorted(slices.Values(daap.TierFields())); !slices.Equal(all, want) {
		t.Errorf("the fields of a profile are %v, and the tier fields %v", all, want)
	}
}

func TestProfileIsReadFromItsValues(t *testing.T) {
	t.Parallel()
	is := daap.Profile{}
	eachField(func(change func(*daap.Profile)) { change(&is) })
	raw, err := json.Marshal(is.Values())
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		t.Fatal(err)
	}
	values["of a later version"] = json.RawMessage(`1`)
	read, err := daap.ProfileOf(values)
	if got, want := inJSON(t, read), inJSON(t, is); err != nil || got != want {
		t.Errorf("ProfileOf() = %s, %v; want %s", got, err, want)
	}
	for name := range values {
		if _, err := daap.ProfileOf(map[string]json.RawMessage{name: json.RawMessage(`{}`)}); err == nil && name != "of a later version" {
			t.Errorf("field %s takes an object", name)
		}
	}
}

func inJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPatchChangesEachField(t *testing.T) {
	t.Parallel()
	want := backedUp()
	want.Profile = daap.Profile{
		Instances: 5, HAReplicas: 4, CPU: resource.MustParse("3"), Memory: resource.MustParse("3Gi"),
		StorageSize: resource.MustParse("30Gi"), StorageClass: "fast", PGVersion: "18", PoolMode: daap.PoolTransaction,
		MaxConnections: 300, DestructionStrategy: daap.StrategyArchive, DeletionProtection: true,
		PGAuditLog: []daap.PGAuditClass{daap.PGAuditDDL, daap.PGAuditRole, daap.PGAuditRead},
		Backups: daap.Backups{
			BackupEnabled: true, WALArchivingEnabled: true, BackupFrequency: "30 1 * * *", BackupRetentionDays: 30,
			ObjectStorageDestination: "s3://other",
		},
	}
	offered := daap.Catalog{"17": "", "18": ""}
	got, err := daap.TierPatch(want.Values()).Apply(backedUp(), offered)
	if err != nil || len(changedFields(want.Profile, got.Profile)) > 0 {
		t.Errorf("Apply() = %+v, %v; want %+v", got.Profile, err, want.Profile)
	}
	for _, name := range daap.TierFields() {
		one, err := daap.TierPatch{name: backedUp().Values()[name]}.Apply(backedUp(), offered)
		if changed := changedFields(backedUp().Profile, one.Profile); err != nil || len(changed) > 0 {
			t.Errorf("a patch with the value that field %s has = %v, and changes %v", name, err, changed)
		}
	}
	for _, patch := range []daap.TierPatch{{"unknown": 1}, {"instances": "many"}, {"cpu": 1}, {"backup_enabled": "yes"}} {
		kept, err := patch.Apply(backedUp(), offered)
		if e := daap.AsError(err); e == nil || e.Code != daap.CodeValidationFailed || len(e.Details) != 1 || patch[e.Details[0].Field] == nil ||
			len(changedFields(backedUp().Profile, kept.Profile)) > 0 {
			t.Errorf("Apply() of %v = %v, want that field refused", patch, err)
		}
	}
}

// initial are the fields with a value of its own in each database.
var initial = []string{"deletion_protection"}

func TestDatabaseHasATierOnlyWithEachOfItsFields(t *testing.T) {
	t.Parallel()
	db := daap.Database{}.With(medium())
	eachField(func(change func(*daap.Profile)) {
		other := medium()
		change(&other.Profile)
		name := strings.Join(changedFields(medium().Profile, other.Profile), ", ")
		if has := db.Has(other); has != slices.Contains(initial, name) {
			t.Errorf("Has() of a tier with another %s = %t", name, has)
		}
	})
}

func TestPreviewShowsEachField(t *testing.T) {
	t.Parallel()
	preview := func(tier daap.Tier) map[string]string {
		t.Helper()
		s := newStore(t)
		s.PutTier(tier)
		found, err := s.databases().PreviewCreate(t.Context(), platform, daap.DatabaseSpec{Name: "orders", Tier: tier.Name})
		if err != nil {
			t.Fatal(err)
		}
		shown := map[string]string{}
		for _, c := range found.Changes {
			shown[c.Field] = *c.To
		}
		return shown
	}
	was := preview(medium())
	eachField(func(change func(*daap.Profile)) {
		other := medium()
		change(&other.Profile)
		name := strings.Join(changedFields(medium().Profile, other.Profile), ", ")
		before, shown := was[name]
		if is := preview(other)[name]; !shown || is == before {
			t.Errorf("another %s is shown as %q, and was %q", name, is, before)
		}
	})
}

func TestRestartIsForetoldForTheFieldsThatNeedOne(t *testing.T) {
	t.Parallel()
	var restarting []string
	eachField(func(change func(*daap.Profile)) {
		to := medium().Profile
		change(&to)
		if medium().Restarts(to) {
			restarting = append(restarting, changedFields(medium().Profile, to)...)
		}
	})
	slices.Sort(restarting)
	if want := []string{"backup_enabled", "cpu", "max_connections", "memory", "pg_version"}; !slices.Equal(restarting, want) {
		t.Errorf("PostgreSQL restarts for %v, want %v", restarting, want)
	}
}
