package objectstore

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// keptOrders is a database that has backups.
var keptOrders = daap.Database{
	ID: uuid.MustParse("0190a0a0-0000-7000-8000-000000000002"), Name: "orders", OwnerTeam: "shop", Incarnation: 1,
	Profile: daap.Profile{Backups: daap.Backups{
		BackupEnabled: true, BackupRetentionDays: 14, ObjectStorageDestination: "s3://backups/shop",
	}},
}

// listed is an object store that counts its listings and checks.
type listed struct {
	store
	mu              sync.Mutex
	objects         map[string]Object
	listed, reached int
}

func (l *listed) Objects(context.Context, string, string) (map[string]Object, error) {
	l.listed++
	return l.objects, nil
}

func (l *listed) Reach(context.Context, string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reached++
	return nil
}

func TestGapIsTheFirstMissingSegment(t *testing.T) {
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
		"none is missing":               {wals(first+".gz", "000000010000000000000004.gz", "000000010000000000000003.00000028.backup.gz"), first, ""},
		"one is missing":                {wals(first+".gz", "000000010000000000000005.gz"), first, "000000010000000000000004"},
		"the first is missing":          {wals("000000010000000000000004.gz"), first, first},
		"an earlier one does not count": {wals("000000010000000000000001.gz", first+".gz"), first, ""},
		"another timeline continues":    {wals(first+".gz", "000000020000000000000003.gz", "000000020000000000000004.gz"), first, ""},
		"over the end of a log":         {wals("0000000100000000000000FF.gz", "000000010000000100000000.gz"), "0000000100000000000000FF", ""},
		"at the end of a log":           {wals("0000000100000000000000FE.gz", "000000010000000100000000.gz"), "0000000100000000000000FE", "0000000100000000000000FF"},
		"the archive is empty":          {wals(), first, ""},
		"no base backup":                {wals("000000010000000000000005.gz"), "", ""},
	} {
		if got := gap(tt.objects, tt.first); got != tt.want {
			t.Errorf("%s: gap() = %q, want %q", name, got, tt.want)
		}
	}
}

func TestArchiveIsListedHourlyAndForNewBackups(t *testing.T) {
	t.Parallel()
	buckets := &listed{objects: map[string]Object{
		"base/20260102T030405/data.tar.gz": {Size: 7}, "base/20260102T030405/backup.info": {Size: 3},
		"wals/0000000100000000/000000010000000000000005.gz": {Size: 1},
	}}
	b, kept := &Archives{Store: buckets}, keptOrders
	done := daap.Backup{Status: daap.BackupCompleted, BackupID: "20260102T030405", BeginWAL: "000000010000000000000003"}
	var state daap.BackupState
	for range 3 {
		backups := []daap.Backup{done, {Status: daap.BackupRunning}}
		if err := b.Inspect(t.Context(), kept, &state, backups, true); err != nil {
			t.Fatal(err)
		}
		if backups[0].SizeBytes == nil || *backups[0].SizeBytes != 10 || backups[1].SizeBytes != nil || state.Gap != done.BeginWAL {
			t.Errorf("sizes %v and %v, gap %q", backups[0].SizeBytes, backups[1].SizeBytes, state.Gap)
		}
	}
	if buckets.listed != 1 {
		t.Errorf("listed %d times, want once", buckets.listed)
	}
	if err := b.Inspect(t.Context(), kept, &state, []daap.Backup{done, done}, true); err != nil || buckets.listed != 2 {
		t.Errorf("listed %d times after another backup, %v; want twice", buckets.listed, err)
	}
	found, _ := b.inspected.Load(kept.ID)
	old, is := found.(archive)
	if !is {
		t.Fatal("no result is kept")
	}
	old.at = time.Now().Add(-2 * inspectEvery)
	b.inspected.Store(kept.ID, old)
	if err := b.Inspect(t.Context(), kept, &state, []daap.Backup{done, done}, true); err != nil || buckets.listed != 3 {
		t.Errorf("listed %d times after an hour, %v; want three times", buckets.listed, err)
	}
}

func TestMissingPartsOfAnArchiveAreReported(t *testing.T) {
	t.Parallel()
	const first, last = "000000010000000000000003", "000000010000000000000005"
	wals := func(names ...string) map[string]Object {
		objects := map[string]Object{}
		for _, name := range names {
			objects["wals/"+name[:16]+"/"+name+".gz"] = Object{Size: 1}
		}
		return objects
	}
	for name, tt := range map[string]struct {
		objects map[string]Object
		want    string
	}{
		"nothing is missing":   {wals(first, "000000010000000000000004", last), ""},
		"there is more":        {wals(first, "000000010000000000000004", last, "000000010000000000000006"), ""},
		"one is missing":       {wals(first, last), "WAL segment 000000010000000000000004 is missing in the archive"},
		"the last is missing":  {wals(first, "000000010000000000000004"), "WAL segment " + last + ", the latest one, is missing in the archive"},
		"the archive is empty": {wals(), "WAL segment " + last + ", the latest one, is missing in the archive"},
	} {
		if got := missingWAL(tt.objects, first, last); got != tt.want {
			t.Errorf("%s: missing is %q, want %q", name, got, tt.want)
		}
	}
}

func TestStoreIsAskedOnceForManyDatabases(t *testing.T) {
	t.Parallel()
	there := &listed{}
	reachable := NewReachable(there)
	var asking sync.WaitGroup
	for range 8 {
		asking.Go(func() {
			if err := reachable.Unavailable(t.Context(), keptOrders); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if there.reached != 1 {
		t.Errorf("checked %d times, want once", there.reached)
	}
}
