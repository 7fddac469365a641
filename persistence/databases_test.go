package persistence_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func (s suite) CreateDatabaseRecordsItWithItsOperation(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := newDatabase(t, "shop", "orders")
	db.Description, db.Labels = "Orders of the shop", map[string]string{"env": "prod"}

	made, _, err := f.CreateDatabase(t.Context(), everyone, db, nil, op)
	f.must(err)
	read := f.database(db.ID)
	want(t, "description", read.Description, db.Description)
	want(t, "labels", read.Labels, db.Labels)
	want(t, "status", read.Status, daap.DatabaseProvisioning)
	want(t, "incarnation", read.Incarnation, 1)
	want(t, "holder", *read.OperationID, op.ID)
	want(t, "holder as made", *made.OperationID, op.ID)
	want(t, "created as made", made.CreatedAt, read.CreatedAt)
	want(t, "updated as made", made.UpdatedAt, read.UpdatedAt)
	if read.CreatedAt.IsZero() || read.DeletedAt != nil || read.Cause != nil {
		t.Errorf("new database = %+v, want a time of creation, no deletion and no cause", read)
	}

	recorded := f.operation(op.ID)
	want(t, "state", recorded.State, daap.OperationPending)
	want(t, "database", recorded.DatabaseName+" of "+recorded.OwnerTeam, "orders of shop")
	want(t, "steps", recorded.Steps, op.Steps)
}

func (s suite) CreateDatabaseRefusesANameTheTeamHas(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.created("shop", "orders")
	db, op := newDatabase(t, "shop", "orders")
	_, _, err := f.CreateDatabase(t.Context(), everyone, db, nil, op)
	wantCode(t, err, daap.CodeNameTaken)
	_, err = f.OperationState(t.Context(), daap.EveryTeam, op.ID)
	wantCode(t, err, daap.CodeNotFound) // nothing of it stays

	f.created("mail", "orders") // another team's names are its own
}

func (s suite) CreateDatabaseTakesTheNameOfADeletedOne(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	f.deleted("orders")
	f.created("shop", "orders")
}

func (s suite) CreateDatabaseAtOnceGivesTheNameToOne(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	taken := 0
	for _, err := range atOnce(t.Context(), 8, func(ctx context.Context, _ int) error {
		db, op := newDatabase(t, "shop", "orders")
		_, _, err := f.CreateDatabase(ctx, everyone, db, nil, op)
		return err
	}) {
		if err != nil {
			wantCode(t, err, daap.CodeNameTaken)
			taken++
		}
	}
	want(t, "refused", taken, 7)
}

func (s suite) AMissingDatabaseIsNotFound(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	_, err := f.Database(t.Context(), daap.EveryTeam, uuid.New())
	wantCode(t, err, daap.CodeNotFound)
	_, err = f.CACertificate(t.Context(), daap.EveryTeam, uuid.New())
	wantCode(t, err, daap.CodeNotFound)
	_, err = f.patch(t.Context(), everyone, uuid.New(), daap.DatabasePatch{})
	wantCode(t, err, daap.CodeNotFound)
	_, _, err = f.AcceptOperation(t.Context(), everyone, newOperation(t, daap.DeleteDatabase, uuid.New()))
	wantCode(t, err, daap.CodeNotFound)
}

func (s suite) DatabasesChoosesByTeamStatusAndLabels(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	for _, row := range []struct {
		team, name string
		labels     map[string]string
	}{
		{"shop", "orders", map[string]string{"env": "prod", "tier": "gold"}},
		{"shop", "carts", map[string]string{"env": "prod"}},
		{"mail", "queue", map[string]string{"env": "test"}},
	} {
		db, op := newDatabase(t, row.team, row.name)
		db.Labels = row.labels
		_, _, err := f.CreateDatabase(t.Context(), everyone, db, nil, op)
		f.must(err)
	}
	f.ready("mail", "inbox")
	f.deleted("old-orders")

	for name, tc := range map[string]struct {
		filter daap.DatabaseFilter
		want   []string
	}{
		"all but deleted":     {daap.DatabaseFilter{}, []string{"inbox", "queue", "carts", "orders"}},
		"team":                {daap.DatabaseFilter{Team: "shop"}, []string{"carts", "orders"}},
		"status":              {daap.DatabaseFilter{Status: daap.DatabaseReady}, []string{"inbox"}},
		"deleted":             {daap.DatabaseFilter{Status: daap.DatabaseDeleted}, []string{"old-orders"}},
		"deleted of the team": {daap.DatabaseFilter{Status: daap.DatabaseDeleted, Team: "mail"}, nil},
		"label":               {daap.DatabaseFilter{Labels: map[string]string{"env": "prod"}}, []string{"carts", "orders"}},
		"all labels": {
			daap.DatabaseFilter{Labels: map[string]string{"env": "prod", "tier": "gold"}}, []string{"orders"},
		},
		"label and team":  {daap.DatabaseFilter{Team: "mail", Labels: map[string]string{"env": "prod"}}, nil},
		"text of SQL":     {daap.DatabaseFilter{Team: "' OR true --"}, nil},
		"label in quotes": {daap.DatabaseFilter{Labels: map[string]string{`"env"`: `'`}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tc.filter.Page.Limit = 10
			dbs, err := f.Databases(t.Context(), daap.EveryTeam, tc.filter)
			f.must(err)
			var names []string
			for _, db := range dbs {
				names = append(names, db.Name)
			}
			want(t, "names, newest first", names, tc.want)
		})
	}
}

func (s suite) DatabasesPagesReturnEachOnceWhileOthersAreCreated(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	var wanted, got []uuid.UUID
	for i := range 25 {
		db, _ := f.created("shop", fmt.Sprintf("orders-%d", i))
		wanted = append(wanted, db.ID)
	}
	slices.Reverse(wanted)

	page := daap.Page{Limit: 4}
	for i := 0; ; i++ {
		dbs, err := f.Databases(t.Context(), daap.EveryTeam, daap.DatabaseFilter{Team: "shop", Page: page})
		f.must(err)
		if len(dbs) == 0 {
			break
		}
		for _, db := range dbs {
			got = append(got, db.ID)
		}
		page.After = dbs[len(dbs)-1].ID
		f.created("shop", fmt.Sprintf("late-%d", i))
	}
	want(t, "ids", got, wanted)
}

func (s suite) PatchDatabaseChangesWhatIsGiven(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.created("shop", "orders")
	text, prod := "Orders", "prod"
	patched, err := f.patch(t.Context(), everyone, db.ID, daap.DatabasePatch{
		Description: &text, Labels: map[string]*string{"env": &prod},
	})
	f.must(err)
	want(t, "database as returned", patched, f.database(db.ID))
	want(t, "description", patched.Description, text)
	want(t, "labels", patched.Labels, map[string]string{"env": "prod"})
	want(t, "holder", *patched.OperationID, op.ID)
	if !patched.UpdatedAt.After(db.UpdatedAt) {
		t.Errorf("updated at %s, want later than %s", patched.UpdatedAt, db.UpdatedAt)
	}

	patched, err = f.patch(t.Context(), everyone, db.ID, daap.DatabasePatch{Labels: map[string]*string{"env": nil}})
	f.must(err)
	want(t, "labels", len(patched.Labels), 0)
	want(t, "description", patched.Description, text)
}

func (s suite) PatchDatabaseRefusesWhatBreaksRules(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.created("shop", "orders")
	bell := "\a"
	_, err := f.patch(t.Context(), everyone, db.ID, daap.DatabasePatch{Description: &bell})
	wantCode(t, err, daap.CodeValidationFailed)

	gone := f.deleted("carts")
	_, err = f.patch(t.Context(), everyone, gone.ID, daap.DatabasePatch{})
	wantCode(t, err, daap.CodeWrongStatus)
}

func (s suite) PatchDatabaseAtOnceLosesNothing(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, _ := f.created("shop", "orders")
	const writers = 12
	for _, err := range atOnce(t.Context(), writers, func(ctx context.Context, i int) error {
		on := "on"
		_, err := f.patch(ctx, everyone, db.ID, daap.DatabasePatch{
			Labels: map[string]*string{fmt.Sprintf("writer-%d", i): &on},
		})
		return err
	}) {
		f.must(err)
	}
	want(t, "labels", len(f.database(db.ID).Labels), writers)
}
