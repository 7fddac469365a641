package manifest_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

var update = flag.Bool("update", false, "write the objects into the golden files")

// TestManifestsAreThoseOfTheGoldenFiles builds every object from the database and platform of a case, and
// compares it with what the same file shows.
func TestManifestsAreThoseOfTheGoldenFiles(t *testing.T) {
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
			var db daap.Database
			var platform manifest.Platform
			decode(t, archive, "database.yaml", &db)
			decode(t, archive, "platform.yaml", &platform)
			objects := []struct {
				name   string
				object runtime.Object
			}{
				{"namespace.yaml", manifest.Namespace(db)},
				{"deny.yaml", manifest.DenyAll(db)},
				{"traffic.yaml", manifest.PlatformTraffic(db, platform.Network)},
				{"clients.yaml", manifest.Clients(db)},
				{"workerrights.yaml", manifest.WorkerRights(db)},
				{"connectionrights.yaml", manifest.ConnectionRights(db)},
				{"credentials.yaml", manifest.Credentials(db, "a-password")},
				{"workercredentials.yaml", manifest.WorkerCredentials(db, "another-password")},
				{"cluster.yaml", manifest.Cluster(db, platform)},
				{"pooler.yaml", manifest.Pooler(db, platform)},
			}
			if db.Profile.BackupEnabled {
				objects = append(objects, []struct {
					name   string
					object runtime.Object
				}{
					{"archivesecret.yaml", manifest.StoreSecret(db, manifest.ArchiveCredentials, "an-access-key", "a-secret-key")},
					{"objectstore.yaml", manifest.ObjectStore(db, platform)},
					{"scheduledbackup.yaml", manifest.ScheduledBackup(db)},
					{"backup.yaml", manifest.Backup(db, "first")},
				}...)
			}
			if db.Source != nil {
				objects = append(objects, []struct {
					name   string
					object runtime.Object
				}{
					{"sourcesecret.yaml", manifest.StoreSecret(db, manifest.SourceCredentials, "an-access-key", "a-secret-key")},
					{"source.yaml", manifest.RestoreStore(db, platform)},
				}...)
			}
			golden := archive.Files[:2:2]
			for _, o := range objects {
				sent, err := manifest.Sent(o.object)
				if err != nil {
					t.Fatal(err)
				}
				built, err := yaml.Marshal(sent.Object)
				if err != nil {
					t.Fatal(err)
				}
				golden = append(golden, txtar.File{Name: o.name, Data: built})
				if want := content(archive, o.name); !*update && !bytes.Equal(built, want) {
					t.Errorf("%s is not that of %s; if it should be, run go test ./activities/manifest -args -update.\nbuilt:\n%s\nwant:\n%s",
						o.name, file, built, want)
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
