package cluster

import (
	"maps"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/manifest/manifesttest"
)

// notWaitedFor are the tier fields that no update waits for, and why.
var notWaitedFor = map[string]string{
	"storage_class":              "no database gets another one",
	"object_storage_destination": "no database gets another one",
	"wal_archiving_enabled":      "it is on if there are backups",
	"backup_frequency":           "the operator reads it when the next backup is due",
	"backup_retention_days":      "DAAP itself prunes by it",
	"destruction_strategy":       "DAAP itself deletes by it",
	"deletion_protection":        "it only applies to new databases",
}

func TestUpdateWaitsForEachTierField(t *testing.T) {
	t.Parallel()
	db, pods, claims, pooler := inForceWorld()
	k := kubernetesWith(t, append([]client.Object{pooler}, claims...)...)
	for _, field := range daap.TierFields() {
		wants := db
		wants.Profile = manifesttest.Changed(t, db.Profile, field)
		elsewhere, err := k.MissingElsewhere(t.Context(), wants)
		if err != nil {
			t.Fatal(err)
		}
		waits := elsewhere != "" || MissingInPod(pods[0], wants, "localhost/postgresql:17") != "" || len(pods) != wants.Profile.Instances ||
			settingsDiffer(db.Profile, wants.Profile)
		if why, is := notWaitedFor[field]; waits == is {
			t.Errorf("an update waits for another %s = %t (%s)", field, waits, why)
		}
	}
}

// settingsDiffer reports whether the two profiles differ in the settings of PostgreSQL that postgres.MissingSettings
// compares.
func settingsDiffer(has, wants daap.Profile) bool {
	return manifest.StandbysPrefix(has) != manifest.StandbysPrefix(wants) || has.PGAuditText() != wants.PGAuditText() ||
		has.PGVersion != wants.PGVersion || !maps.Equal(manifest.Parameters(has), manifest.Parameters(wants))
}
