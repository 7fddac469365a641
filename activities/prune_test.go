package activities

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/postgres"
)

// archives is an object store with archives of orders, which has its second Cluster and a retention of 14 days.
type archives struct {
	store
	db daap.Database
}

func newArchives() *archives {
	db := orders.With(*keptTier())
	db.Incarnation = 2
	return &archives{db: db}
}

const day = 24 * time.Hour

// base puts a base backup into the archive that began and ended that long ago, at the segment.
func (a *archives) base(server string, age time.Duration, segment int, status string) string {
	at := time.Now().Add(-age)
	id := at.UTC().Format("20060102T150405")
	under := "backups/shop/" + a.db.ID.String() + "/" + server + "/base/" + id + "/"
	a.put(under+"data.tar.gz", 100, at)
	a.put(under+"backup.info", 1, at)
	if a.info == nil {
		a.info = map[string]string{}
	}
	a.info[under+"backup.info"] = fmt.Sprintf("backup_label='START'\nbegin_wal=%08X%016X\nend_time=%s\nstatus=%s\n",
		1, segment, at.UTC().Format("2006-01-02 15:04:05.000000+00:00"), status)
	return id
}

// wals puts segments into the archive that were archived that long ago.
func (a *archives) wals(server string, age time.Duration, from, to int) {
	for i := from; i <= to; i++ {
		segment := fmt.Sprintf("%08X%016X", 1, i)
		a.put("backups/shop/"+a.db.ID.String()+"/"+server+"/wals/"+segment[:16]+"/"+segment+".gz", 10, time.Now().Add(-age))
	}
}

// has returns the base backups and the first segment of an archive.
func (a *archives) has(t *testing.T, server string) (bases []string, first int64) {
	t.Helper()
	objects, err := a.Objects(t.Context(), "backups", "shop/"+a.db.ID.String()+"/"+server+"/")
	if err != nil {
		t.Fatal(err)
	}
	first = -1
	there := map[string]bool{}
	for name := range objects {
		parts := strings.Split(name, "/")
		if parts[0] == "base" {
			there[parts[1]] = true
		}
		if at := postgres.SegmentPlace(parts[len(parts)-1]); parts[0] == "wals" && at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	return slices.Sorted(maps.Keys(there)), first
}

func (a *archives) prune(t *testing.T) (RetentionReport, *seen, error) {
	t.Helper()
	k := stepsWith(t)
	k.Archives.Store = &a.store
	rows := &seen{archived: []daap.Database{a.db}}
	k.Backups = rows
	b := &Sweeps{Steps: k}
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(b.PruneArchives)
	var report RetentionReport
	value, err := env.ExecuteActivity(b.PruneArchives)
	if err == nil {
		err = value.Get(&report)
	}
	return report, rows, err
}

func TestRetiredArchiveKeepsWhatItsRetentionNeeds(t *testing.T) {
	t.Parallel()
	a := newArchives()
	oldest := a.base("pg-1", 40*day, 3, "DONE")
	failed := a.base("pg-1", 30*day, 5, "FAILED")
	needed := a.base("pg-1", 20*day, 8, "DONE")
	within := a.base("pg-1", 5*day, 12, "DONE")
	a.wals("pg-1", 20*day, 3, 11)
	a.wals("pg-1", 4*day, 12, 14)
	history := "backups/shop/" + a.db.ID.String() + "/pg-1/wals/00000002.history.gz"
	a.put(history, 1, time.Now().Add(-40*day))
	live := []string{a.base("pg-2", 60*day, 1, "DONE"), a.base("pg-2", 30*day, 4, "DONE")}
	a.wals("pg-2", 60*day, 1, 4)
	for _, name := range []string{"pg-3", "pg-01", "pg-0x", "other"} { // DAAP has not retired any of these
		a.base(name, 40*day, 3, "DONE")
		a.base(name, 30*day, 5, "DONE")
	}
	for run := range 2 { // the second run has nothing to do
		report, rows, err := a.prune(t)
		if err != nil {
			t.Fatal(err)
		}
		if run == 1 {
			if report.Objects != 0 || len(report.Archives) != 0 || report.Databases != 1 {
				t.Errorf("the second time: %+v", report)
			}
			break
		}
		// Two base backups with two objects each, and the segments 3 to 7.
		if len(report.Archives) != 1 || report.Objects != 9 || report.Bytes != 2*101+5*10 {
			t.Errorf("the report is %+v", report)
		}
		if want := []string{oldest}; !slices.Equal(report.Archives[0].Backups, want) || !slices.Equal(rows.gone["pg-1"], want) {
			t.Errorf("reported %v and forgot %v, want %v", report.Archives[0].Backups, rows.gone, want)
		}
	}
	if bases, first := a.has(t, "pg-1"); !slices.Equal(bases, []string{needed, within}) || first != 8 {
		t.Errorf("left of pg-1: %v from segment %d, want %v and %v from 8, without %v and %v", bases, first, needed, within, oldest, failed)
	}
	if _, there := a.objects[history]; !there {
		t.Error("the history of a timeline is gone")
	}
	if bases, first := a.has(t, "pg-2"); !slices.Equal(bases, live) || first != 1 {
		t.Errorf("left of the current archive: %v from segment %d, want everything", bases, first)
	}
	for _, name := range []string{"pg-3", "pg-01", "pg-0x", "other"} {
		if bases, _ := a.has(t, name); len(bases) != 2 {
			t.Errorf("left of %s: %v, want everything", name, bases)
		}
	}
}

func TestRetiredArchiveIsDeletedOnceAnotherHasABackup(t *testing.T) {
	t.Parallel()
	for status, left := range map[string]int{"DONE": 0, "FAILED": 1} { // the status of the base backup in the current archive
		a := newArchives()
		a.base("pg-1", 40*day, 3, "DONE")
		a.base("pg-1", 30*day, 5, "DONE")
		a.wals("pg-1", 29*day, 3, 9)
		a.base("pg-2", 20*day, 1, status)
		if _, _, err := a.prune(t); err != nil {
			t.Fatal(err)
		}
		if bases, _ := a.has(t, "pg-1"); len(bases) != left {
			t.Errorf("%s: left of pg-1: %v, want %d", status, bases, left)
		}
	}
}

func TestRetiredArchiveWithoutAnOldEnoughBackupStays(t *testing.T) {
	t.Parallel()
	a := newArchives()
	a.base("pg-1", 30*day, 3, "FAILED")
	a.base("pg-1", 10*day, 5, "DONE")
	a.wals("pg-1", 10*day, 3, 6)
	before := len(a.objects)
	if report, _, err := a.prune(t); err != nil || report.Objects != 0 || len(a.objects) != before {
		t.Errorf("pruned %+v, %v; want nothing pruned", report, err)
	}
}

func TestArchivesThatCannotBePrunedAreReported(t *testing.T) {
	t.Parallel()
	a := newArchives()
	a.err = errors.New("AccessDenied")
	_, _, err := a.prune(t)
	var failed *temporal.ApplicationError
	var report RetentionReport
	if !errors.As(err, &failed) || failed.Type() != ErrorNotPruned || failed.Details(&report) != nil || report.Failed != 1 {
		t.Errorf("PruneArchives() = %v with %+v, want one failure", err, report)
	}
}
