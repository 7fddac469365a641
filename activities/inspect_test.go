package activities

import (
	"testing"
	"time"

	"github.com/daap-dev/daap"
)

func TestGapIsTheFirstSegmentThatIsMissing(t *testing.T) {
	t.Parallel()
	wals := func(names ...string) map[string]Object {
		objects := map[string]Object{"base/20260102T030405/data.tar.gz": {Size: 5}, "wals/00000002.history.gz": {Size: 1}}
		for _, name := range names {
			objects["wals/"+name[:16]+"/"+name] = Object{Size: 1}
		}
		return objects
	}
	const first = "000000010000000000000003"
	for name, tt := range map[string]struct {
		objects map[string]Object
		first   string
		want    string
	}{
		"none is missing":           {wals(first+".gz", "000000010000000000000004.gz", "000000010000000000000003.00000028.backup.gz"), first, ""},
		"one is missing":            {wals(first+".gz", "000000010000000000000005.gz"), first, "000000010000000000000004"},
		"the first is missing":      {wals("000000010000000000000004.gz"), first, first},
		"one before does not count": {wals("000000010000000000000001.gz", first+".gz"), first, ""},
		"another timeline goes on":  {wals(first+".gz", "000000020000000000000003.gz", "000000020000000000000004.gz"), first, ""},
		"over the end of a log":     {wals("0000000100000000000000FF.gz", "000000010000000100000000.gz"), "0000000100000000000000FF", ""},
		"at the end of a log":       {wals("0000000100000000000000FE.gz", "000000010000000100000000.gz"), "0000000100000000000000FE", "0000000100000000000000FF"},
		"nothing is there":          {wals(), first, ""},
		"no base backup":            {wals("000000010000000000000005.gz"), "", ""},
	} {
		if got := gap(tt.objects, tt.first); got != tt.want {
			t.Errorf("%s: gap() = %q, want %q", name, got, tt.want)
		}
	}
}

func TestArchiveIsListedSeldomAndForNewBackups(t *testing.T) {
	t.Parallel()
	buckets := &store{}
	under := "backups/shop/" + orders.ID.String() + "/pg-1/"
	buckets.put(under+"base/20260102T030405/data.tar.gz", 7, time.Time{})
	buckets.put(under+"base/20260102T030405/backup.info", 3, time.Time{})
	buckets.put(under+"wals/0000000100000000/000000010000000000000005.gz", 1, time.Time{})
	k := kubernetesWith(t)
	k.Buckets = buckets
	b := &Backups{Postgres: &Postgres{Kubernetes: k}}
	kept := orders.With(*keptTier())
	done := daap.Backup{Status: daap.BackupCompleted, BackupID: "20260102T030405", BeginWAL: "000000010000000000000003"}
	var state daap.BackupState
	for range 3 {
		backups := []daap.Backup{done, {Status: daap.BackupRunning}}
		if err := b.inspect(t.Context(), kept, &state, backups, true); err != nil {
			t.Fatal(err)
		}
		if backups[0].SizeBytes == nil || *backups[0].SizeBytes != 10 || backups[1].SizeBytes != nil || state.Gap != done.BeginWAL {
			t.Errorf("sizes %v and %v, gap %q", backups[0].SizeBytes, backups[1].SizeBytes, state.Gap)
		}
	}
	if buckets.listed != 1 {
		t.Errorf("listed %d times, want once", buckets.listed)
	}
	if err := b.inspect(t.Context(), kept, &state, []daap.Backup{done, done}, true); err != nil || buckets.listed != 2 {
		t.Errorf("listed %d times after another backup, %v; want twice", buckets.listed, err)
	}
	found, _ := b.archives.Load(kept.ID)
	old, is := found.(archive)
	if !is {
		t.Fatal("nothing is kept")
	}
	old.at = time.Now().Add(-2 * inspectEvery)
	b.archives.Store(kept.ID, old)
	if err := b.inspect(t.Context(), kept, &state, []daap.Backup{done, done}, true); err != nil || buckets.listed != 3 {
		t.Errorf("listed %d times after an hour, %v; want three times", buckets.listed, err)
	}
}
