package manifest_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
	"github.com/daap-dev/daap/activities/manifest/manifesttest"
)

var update = flag.Bool("update", false, "write the objects into the golden files")

// TestManifestsMatchTheGoldenFiles builds every object from the database and platform of a case, and compares it with
// the same file.
func TestManifestsMatchTheGoldenFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("golden files: %v, %v, want some", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var platform manifest.Platform
			decode(t, archive, "platform.yaml", &platform)
			db := databaseIn(t, archive)
			built := map[string]manifest.Built{"backup-first.yaml": manifest.Backup(db, "first")}
			names := []string{"backup-first.yaml"}
			for _, o := range manifest.Objects(db, platform) {
				name := strings.ToLower(o.Kind().Kind) + "-" + strings.TrimPrefix(o.Built.GetName(), "daap-") + ".yaml"
				names, built[name] = append(names, name), o.Built
			}
			if !db.Profile.BackupEnabled {
				names = names[1:]
			}
			golden := archive.Files[:2:2]
			for _, name := range names {
				sent, err := manifest.Sent(built[name])
				if err != nil {
					t.Fatal(err)
				}
				is, err := yaml.Marshal(sent.Object)
				if err != nil {
					t.Fatal(err)
				}
				golden = append(golden, txtar.File{Name: name, Data: is})
				if want := content(archive, name); !*update && !bytes.Equal(is, want) {
					t.Errorf("%s differs from %s; if that is intended, run go test ./activities/manifest -args -update.\nbuilt:\n%s\nwant:\n%s",
						name, file, is, want)
				}
			}
			for _, section := range archive.Files[2:] {
				if !*update && built[section.Name] == nil {
					t.Errorf("%s has %s, which is not an object of the database", file, section.Name)
				}
			}
			if *update {
				archive.Files = golden
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// databaseIn is the database of the case. Its fields have the names of the tier's fields, not of a row's columns.
func databaseIn(t *testing.T, archive *txtar.Archive) daap.Database {
	t.Helper()
	var in struct {
		ID          uuid.UUID                  `json:"id"`
		Name        string                     `json:"name"`
		Team        string                     `json:"team"`
		Tier        string                     `json:"tier"`
		Incarnation int                        `json:"incarnation"`
		Profile     map[string]json.RawMessage `json:"profile"`
		Source      *struct {
			ID          uuid.UUID  `json:"id"`
			Name        string     `json:"name"`
			Server      string     `json:"server"`
			Destination string     `json:"destination"`
			Target      *time.Time `json:"target"`
		} `json:"source"`
	}
	decode(t, archive, "database.yaml", &in)
	profile, err := daap.ProfileOf(in.Profile)
	if err != nil {
		t.Fatal(err)
	}
	db := daap.Database{
		ID: in.ID, Name: in.Name, OwnerTeam: in.Team, Tier: in.Tier, Incarnation: in.Incarnation, Profile: profile,
	}
	if from := in.Source; from != nil {
		db.Source = &daap.Source{
			DatabaseID: from.ID, Name: from.Name, ServerName: from.Server, Destination: from.Destination, Target: from.Target,
		}
	}
	return db
}

// notInObjects are the tier fields that are in no Kubernetes object: DAAP itself acts on them, and WAL is archived
// whenever there are backups.
var notInObjects = []string{"destruction_strategy", "deletion_protection", "wal_archiving_enabled"}

func TestEachTierFieldIsInTheObjects(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/second.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var platform manifest.Platform
	decode(t, archive, "platform.yaml", &platform)
	db := databaseIn(t, archive)
	for _, field := range daap.TierFields() {
		other := db
		other.Profile = manifesttest.Changed(t, db.Profile, field)
		same := reflect.DeepEqual(profileObjects(db, platform), profileObjects(other, platform))
		if same != slices.Contains(notInObjects, field) {
			t.Errorf("the objects of a database with another %s are unchanged = %t", field, same)
		}
	}
}

// profileObjects are the objects that depend on the profile.
func profileObjects(db daap.Database, platform manifest.Platform) []any {
	all := []any{manifest.Cluster(db, platform), manifest.Pooler(db, platform)}
	if db.Profile.BackupEnabled {
		all = append(all, manifest.ObjectStore(db, platform), manifest.ScheduledBackup(db))
	}
	return all
}

func decode(t *testing.T, archive *txtar.Archive, name string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(content(archive, name), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func content(archive *txtar.Archive, name string) []byte {
	for _, file := range archive.Files {
		if file.Name == name {
			return file.Data
		}
	}
	return nil
}
