//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
)

// TestRetiredArchiveIsPrunedAndTheLiveOneIsNot has an archive beside that of the Cluster, of an incarnation before it,
// with base backups that are years old.
func TestRetiredArchiveIsPrunedAndTheLiveOneIsNot(t *testing.T) {
	id := parallelOn(t, sharedKept)
	ctx := t.Context()
	live := namesOf(t, id, "pg-1/base/")
	if len(live) == 0 {
		t.Fatal("the first base backup has left nothing in the archive")
	}
	store := objectStore(t)
	put := func(name, text string) {
		t.Helper()
		_, err := store.PutObject(ctx, "daap-e2e", "backups/"+id.String()+"/pg-0/"+name, strings.NewReader(text), int64(len(text)), minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	for backup, segment := range map[string]int{"20200101T000000": 3, "20200102T000000": 5} {
		put("base/"+backup+"/data.tar.gz", "data")
		put("base/"+backup+"/backup.info", fmt.Sprintf("begin_wal=%08X%016X\nend_time=%s-%s-%s 00:00:09.123456+00:00\nstatus=DONE\n",
			1, segment, backup[:4], backup[4:6], backup[6:8]))
	}
	for segment := 3; segment <= 6; segment++ {
		put(fmt.Sprintf("wals/%016X/%08X%016X.gz", 1<<32, 1, segment), "wal")
	}
	page := pageOf(t, "docs/operators/archives.md")
	page.run(ctx, t, "prune")
	want := []string{
		"base/20200102T000000/backup.info", "base/20200102T000000/data.tar.gz",
		"wals/0000000100000000/000000010000000000000005.gz", "wals/0000000100000000/000000010000000000000006.gz",
	}
	until(ctx, t, "the retired archive is pruned", func() bool { return slices.Equal(namesOf(t, id, "pg-0/"), want) })
	until(ctx, t, "the report says so", func() bool {
		out := page.run(ctx, t, "prune-report")
		return strings.Contains(out, id.String()) && strings.Contains(out, "20200101T000000") && strings.Contains(out, `"Failed":0`)
	})
	has := namesOf(t, id, "pg-1/base/")
	for _, name := range live {
		if !slices.Contains(has, name) {
			t.Errorf("%s was removed from the archive of the Cluster", name)
		}
	}
}

// namesOf are the names of what the database has under the prefix, in order.
func namesOf(t *testing.T, id uuid.UUID, prefix string) []string {
	t.Helper()
	under := "backups/" + id.String() + "/" + prefix
	var names []string
	for object := range objectStore(t).ListObjects(t.Context(), "daap-e2e", minio.ListObjectsOptions{Prefix: under, Recursive: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		names = append(names, strings.TrimPrefix(object.Key, under))
	}
	return names
}
