package daap_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func TestVerdictClassifiesResources(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	held := uuid.New()
	old := daap.Found{Kind: daap.OrphanNamespace, CreatedAt: *ago(100 * time.Hour)}
	with := func(change func(*daap.Found)) daap.Found { f := old; change(&f); return f }
	archive := with(func(f *daap.Found) { f.Kind, f.CreatedAt = daap.OrphanArchive, time.Time{} })
	for name, tt := range map[string]struct {
		found daap.Found
		db    *daap.Database
		want  daap.Verdict
	}{
		"of a database that is ready":           {old, &daap.Database{Status: daap.DatabaseReady}, daap.VerdictOwned},
		"of one that is frozen":                 {old, &daap.Database{Status: daap.DatabaseFrozen}, daap.VerdictOwned},
		"of none":                               {old, nil, daap.VerdictOrphan},
		"of none, and new":                      {with(func(f *daap.Found) { f.CreatedAt = *ago(time.Minute) }), nil, daap.VerdictExpected},
		"of none, on its way out":               {with(func(f *daap.Found) { f.GoesSince = ago(time.Minute) }), nil, daap.VerdictExpected},
		"of none, on its way out for days":      {with(func(f *daap.Found) { f.GoesSince = ago(50 * time.Hour) }), nil, daap.VerdictOrphan},
		"of one that is deleted":                {old, &daap.Database{Status: daap.DatabaseDeleted, DeletedAt: ago(2 * time.Hour)}, daap.VerdictOrphan},
		"of one that was just deleted":          {old, &daap.Database{Status: daap.DatabaseDeleted, DeletedAt: ago(time.Minute)}, daap.VerdictExpected},
		"of one that is being deleted":          {old, &daap.Database{Status: daap.DatabaseDeleting, OperationID: &held}, daap.VerdictExpected},
		"of one that is archived":               {old, &daap.Database{Status: daap.DatabaseArchived}, daap.VerdictOrphan},
		"the archive of one that is archived":   {archive, &daap.Database{Status: daap.DatabaseArchived}, daap.VerdictOwned},
		"the archive of one that is deleted":    {archive, &daap.Database{Status: daap.DatabaseDeleted, DeletedAt: ago(2 * time.Hour)}, daap.VerdictOrphan},
		"the archive of none":                   {archive, nil, daap.VerdictOrphan},
		"a volume that is kept, of one deleted": {with(func(f *daap.Found) { f.Retained = true }), &daap.Database{Status: daap.DatabaseDeleted, DeletedAt: ago(2 * time.Hour)}, daap.VerdictExpected},
		"a volume that is kept, of none":        {with(func(f *daap.Found) { f.Retained = true }), nil, daap.VerdictOrphan},
	} {
		got, reason := tt.found.Verdict(tt.db, now)
		if got != tt.want || reason == "" {
			t.Errorf("%s: Verdict() = %s, %q; want %s", name, got, reason, tt.want)
		}
	}
}
