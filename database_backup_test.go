package daap_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

func TestBackupHealthNamesTheProblem(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	well := daap.BackupState{
		ObservedAt: now.Add(-time.Minute), Archiving: true, LastArchivedAt: ago(time.Hour), ArchivedUntil: ago(time.Hour), LastSuccessAt: ago(10 * time.Hour),
		FirstRecoverableAt: ago(100 * time.Hour),
	}
	for name, tt := range map[string]struct {
		change func(*daap.BackupState)
		want   daap.BackupHealth
		why    string
	}{
		"well":                         {func(*daap.BackupState) {}, daap.BackupsOK, ""},
		"no check yet":                 {func(s *daap.BackupState) { *s = daap.BackupState{} }, daap.BackupsUnknown, "yet"},
		"no recent check":              {func(s *daap.BackupState) { s.ObservedAt = *ago(6 * time.Minute) }, daap.BackupsUnknown, "since 2026-01-02T11:54:00Z"},
		"WAL is not archived":          {func(s *daap.BackupState) { s.Archiving, s.ArchivingMessage = false, "Access Denied" }, daap.BackupsFailing, "Access Denied"},
		"WAL is missing":               {func(s *daap.BackupState) { s.Gap = "000000010000000000000004" }, daap.BackupsFailing, "000000010000000000000004 is missing"},
		"the last backup failed":       {func(s *daap.BackupState) { s.LastFailureAt, s.LastFailureMessage = ago(time.Hour), "full" }, daap.BackupsFailing, "full"},
		"failed, then succeeded":       {func(s *daap.BackupState) { s.LastFailureAt = ago(11 * time.Hour) }, daap.BackupsOK, ""},
		"never succeeded":              {func(s *daap.BackupState) { s.LastSuccessAt = nil }, daap.BackupsStale, "no base backup yet"},
		"one has not begun":            {func(s *daap.BackupState) { s.LastSuccessAt = ago(12 * time.Hour) }, daap.BackupsStale, "for 2026-01-02T02:00:00Z has not started"},
		"one runs":                     {func(s *daap.BackupState) { s.LastSuccessAt, s.LastBegunAt = ago(34*time.Hour), ago(5*time.Hour) }, daap.BackupsOK, ""},
		"one does not end":             {func(s *daap.BackupState) { s.LastSuccessAt, s.LastBegunAt = ago(34*time.Hour), ago(7*time.Hour) }, daap.BackupsStale, "started at 2026-01-02T05:00:00Z has not completed"},
		"written and not archived":     {func(s *daap.BackupState) { s.UnarchivedBytes = 1 }, daap.BackupsStale, "last 1h0m0s"},
		"written, archived in a while": {func(s *daap.BackupState) { s.UnarchivedBytes, s.ArchivedUntil = 1, ago(5*time.Minute) }, daap.BackupsOK, ""},
	} {
		state := well
		tt.change(&state)
		got, why := state.Health(daily, now)
		if got != tt.want || !strings.Contains(why, tt.why) || (why == "") != (tt.why == "") {
			t.Errorf("%s: Health() = %s, %q; want %s with %q", name, got, why, tt.want, tt.why)
		}
	}
}

func TestBackupIsLateOnceAnObservationMissesIt(t *testing.T) {
	t.Parallel()
	two := time.Date(2026, 1, 2, 2, 0, 0, 0, time.UTC) // when it is to begin
	before := two.Add(-24 * time.Hour)
	for after, want := range map[time.Duration]daap.BackupHealth{
		-10 * time.Second: daap.BackupsOK, 20 * time.Second: daap.BackupsOK, 40 * time.Second: daap.BackupsStale,
	} {
		seen := two.Add(after)
		state := daap.BackupState{ObservedAt: seen, Archiving: true, LastBegunAt: &before, LastSuccessAt: &before}
		if got, why := state.Health(daily, seen.Add(2*time.Minute)); got != want { // it is read later
			t.Errorf("seen %s after two o'clock, Health() = %s, %q; want %s", after, got, why, want)
		}
	}
}

func TestServersOfEarlierIncarnationsAreRetired(t *testing.T) {
	t.Parallel()
	db := daap.Database{Incarnation: 11}
	for server, want := range map[string]bool{
		"pg-1": true, "pg-10": true, "pg-11": false, "pg-12": false, "pg-1x": false, "pg-01": false, "pg-": false, "other": false,
	} {
		if got := db.Retired(server); got != want {
			t.Errorf("Retired(%q) = %t, want %t", server, got, want)
		}
	}
}

func TestNextBackupIsInUTC(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("east", 3*3600)
	next := daily.NextBackup(time.Date(2026, 1, 2, 4, 0, 0, 0, zone)) // one o'clock in UTC
	if next == nil || !next.Equal(time.Date(2026, 1, 2, 2, 0, 0, 0, time.UTC)) {
		t.Errorf("NextBackup() = %v, want two o'clock in UTC", next)
	}
	if next := (daap.Backups{}).NextBackup(time.Now()); next != nil {
		t.Errorf("NextBackup() without backups = %v", next)
	}
}

func TestRestoreAcceptsOnlyTheRecoverableRange(t *testing.T) {
	t.Parallel()
	first := time.Now().Add(-time.Hour).Truncate(time.Second)
	tier := medium()
	tier.Backups = daily
	db := daap.Database{ID: uuid.New(), Name: "orders", OwnerTeam: "shop", Status: daap.DatabaseReady, Incarnation: 2}.With(tier)
	type source struct {
		db         daap.Database
		state      daap.BackupState
		backlogged bool
	}
	at := func(d time.Duration) *time.Time { target := first.Add(d); return &target }
	for name, tt := range map[string]struct {
		change func(*source)
		target *time.Time
		code   daap.Code
	}{
		"latest":                   {func(*source) {}, nil, ""},
		"the first moment":         {func(*source) {}, at(0), ""},
		"a moment too early":       {func(*source) {}, at(-time.Second), daap.CodeValidationFailed},
		"in the future":            {func(*source) {}, at(2 * time.Hour), daap.CodeValidationFailed},
		"no backups":               {func(s *source) { s.db.Profile.Backups = daap.Backups{} }, nil, daap.CodeWrongStatus},
		"no base backup yet":       {func(s *source) { s.state.FirstRecoverableAt = nil }, nil, daap.CodeWrongStatus},
		"source being provisioned": {func(s *source) { s.db.Status = daap.DatabaseProvisioning }, nil, daap.CodeWrongStatus},
		"source needs attention":   {func(s *source) { s.db.Status = daap.DatabaseError }, nil, daap.CodeWrongStatus},
		"source is deleted":        {func(s *source) { s.db.Status = daap.DatabaseDeleted }, nil, daap.CodeWrongStatus},
		"source is being updated":  {func(s *source) { s.db.Status = daap.DatabaseUpdating }, nil, ""},
		"too many operations wait": {func(s *source) { s.backlogged = true }, nil, daap.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, from := newStore(t), source{db: db, state: daap.BackupState{ObservedAt: time.Now(), FirstRecoverableAt: &first}}
			tt.change(&from)
			s.PutTier(tier)
			s.PutDatabase(from.db)
			if err := s.SaveBackups(t.Context(), from.db, from.state, nil); err != nil {
				t.Fatal(err)
			}
			if from.backlogged {
				s.fill()
			}
			before := s.recorded()
			db, op, err := s.databases().Restore(t.Context(), product, from.db.ID, daap.RestoreSpec{Name: "back", Target: tt.target})
			if tt.code != "" {
				wantCode(t, "Restore()", err, tt.code)
				if s.recorded() != before || len(s.started) > 0 {
					t.Error("something is recorded or started all the same")
				}
				return
			}
			if err != nil || op.Kind != daap.RestoreDatabase || db.Status != daap.DatabaseRestoring || db.OwnerTeam != "shop" || len(s.started) != 1 {
				t.Fatalf("Restore() = %+v, %+v, %v; started %v", db, op, err, s.started)
			}
			if db.Source.DatabaseID != from.db.ID || db.Source.ServerName != "pg-2" || db.Source.Target != tt.target ||
				db.Source.Destination != "s3://backups/shop/"+from.db.ID.String() {
				t.Errorf("the source is %+v", db.Source)
			}
		})
	}
}

func TestRestoreNeedsTheSameVersionAndAsMuchStorage(t *testing.T) {
	t.Parallel()
	tier, first := medium(), time.Now().Add(-time.Hour)
	tier.Backups = daily
	source := daap.Database{Status: daap.DatabaseReady}.With(tier)
	from := daap.RestoreFrom{Source: source, State: daap.BackupState{FirstRecoverableAt: &first}, At: time.Now()}
	for name, change := range map[string]func(*daap.Tier){
		"a newer version": func(t *daap.Tier) { t.PGVersion = "18" },
		"less storage":    func(t *daap.Tier) { t.StorageSize = small1Gi },
	} {
		to := medium()
		change(&to)
		wantCode(t, name, from.Check(to), daap.CodeValidationFailed)
	}
	smaller := medium()
	smaller.Instances, smaller.HAReplicas = 1, 0
	if err := from.Check(smaller); err != nil {
		t.Errorf("to fewer instances: %v", err)
	}
}

var small1Gi = resource.MustParse("1Gi")
