package api_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// create asks for a database and returns it with the operation that provisions it.
func (s *service) create(team, name string, labels ...string) (oas.Database, uuid.UUID) {
	s.t.Helper()
	req := &oas.CreateDatabaseRequest{Name: name, Tier: "small", OwnerTeam: oas.NewOptTeamName(oas.TeamName(team))}
	if len(labels) > 0 {
		req.Labels = oas.NewOptLabels(oas.Labels{})
	}
	for i := 0; i < len(labels); i += 2 {
		req.Labels.Value[labels[i]] = labels[i+1]
	}
	res := accepted(s.t, s.client.CreateDatabase, req, oas.CreateDatabaseParams{})
	return res.Response.Data, res.Response.Meta.OperationID
}

// accepted sends a request and fails the test unless it is answered that it is accepted.
func accepted[Req, Params, Res any](
	t testing.TB, send func(context.Context, Req, Params) (Res, error), req Req, params Params,
) *oas.DatabaseAcceptedHeaders {
	t.Helper()
	res, err := send(t.Context(), req, params)
	if err != nil {
		t.Fatal(err)
	}
	answer, is := any(res).(*oas.DatabaseAcceptedHeaders)
	if !is {
		t.Fatalf("got %T, want it accepted", res)
	}
	return answer
}

// wantCode fails unless err is the API's answer with the code.
func wantCode(t *testing.T, err error, code oas.ErrorCode) oas.Error {
	t.Helper()
	var answer *oas.ErrorStatusCodeWithHeaders
	if !errors.As(err, &answer) || answer.Response.Error.Code != code {
		t.Fatalf("got %v, want the code %s", err, code)
	}
	return answer.Response.Error
}

func TestCreatedDatabaseIsAcceptedWithItsOperation(t *testing.T) {
	t.Parallel()
	s := start(t)
	res := accepted(t, s.client.CreateDatabase, &oas.CreateDatabaseRequest{
		Tier: "small",
		Name: "orders", OwnerTeam: oas.NewOptTeamName("shop"),
		Description: oas.NewOptString("Orders\nof the shop"),
		Labels:      oas.NewOptLabels(oas.Labels{"env": "prod"}),
	}, oas.CreateDatabaseParams{})
	db, op := res.Response.Data, res.Response.Meta.OperationID
	if res.Location != "/operations/"+op.String() || res.RetryAfter != 2 {
		t.Errorf("Location %q, Retry-After %d", res.Location, res.RetryAfter)
	}
	if db.Status != oas.DatabaseStatusProvisioning || db.OperationID.Value != op || db.Labels["env"] != "prod" {
		t.Errorf("got %+v", db)
	}
	got, err := s.client.GetDatabase(t.Context(), oas.GetDatabaseParams{ID: db.ID})
	if err != nil {
		t.Fatal(err)
	}
	if got.Data.Description != "Orders\nof the shop" || got.Data.Name != "orders" || got.Data.OwnerTeam != "shop" {
		t.Errorf("got %+v", got.Data)
	}
}

func TestNameOfALiveDatabaseIsTaken(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.create("shop", "orders")
	s.create("billing", "orders")
	again := &oas.CreateDatabaseRequest{Name: "orders", Tier: "small", OwnerTeam: oas.NewOptTeamName("shop")}
	_, err := s.client.CreateDatabase(t.Context(), again, oas.CreateDatabaseParams{})
	if e := wantCode(t, err, oas.ErrorCodeNameTaken); len(e.Details) != 1 || e.Details[0].Field != "name" {
		t.Errorf("got details %v", e.Details)
	}
}

func TestDeleteOfAProvisioningDatabaseTakesItOver(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, provision := s.create("shop", "orders")
	res, err := s.client.DeleteDatabase(t.Context(), oas.DeleteDatabaseParams{ID: db.ID})
	if err != nil {
		t.Fatal(err)
	}
	if res.Response.Data.Status != oas.DatabaseStatusDeleting || res.Response.Meta.OperationID == provision {
		t.Errorf("got %+v", res.Response)
	}
	_, err = s.client.DeleteDatabase(t.Context(), oas.DeleteDatabaseParams{ID: db.ID})
	if e := wantCode(t, err, oas.ErrorCodeDatabaseBusy); e.OperationID.Value != res.Response.Meta.OperationID {
		t.Errorf("the holder is named %v, want %v", e.OperationID, res.Response.Meta.OperationID)
	}
	s.store.succeed(res.Response.Meta.OperationID)
	_, err = s.client.DeleteDatabase(t.Context(), oas.DeleteDatabaseParams{ID: db.ID})
	wantCode(t, err, oas.ErrorCodeWrongStatus)
}

func TestConnectionIsShownOnceKnown(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, op := s.create("shop", "orders")
	_, err := s.client.GetDatabaseConnection(t.Context(), oas.GetDatabaseConnectionParams{ID: db.ID})
	wantCode(t, err, oas.ErrorCodeWrongStatus)
	s.store.must(s.store.RenewCACertificate(t.Context(), db.ID, pem)) // while its first base backup is taken
	if _, err := s.client.GetDatabaseConnection(t.Context(), oas.GetDatabaseConnectionParams{ID: db.ID}); err != nil {
		t.Errorf("once its certificate is known: %v", err)
	}
	s.store.succeed(op)
	res, err := s.client.GetDatabaseConnection(t.Context(), oas.GetDatabaseConnectionParams{ID: db.ID})
	if err != nil {
		t.Fatal(err)
	}
	namespace := daap.Namespace(db.ID)
	want := oas.Endpoint{
		Host: "pooler." + namespace + ".svc", Port: 5432,
		URL: "postgresql://app@pooler." + namespace + ".svc:5432/app?sslmode=verify-full",
	}
	if res.Data.Pooled != want || res.Data.Secret.Namespace != namespace || res.Data.CaCertificate != pem ||
		res.Data.CaCertificateExpiresAt.Year() != 2126 {
		t.Errorf("got %+v", res.Data)
	}
}

func TestDatabaseShowsItsExpiringCertificate(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, op := s.create("shop", "orders")
	s.store.succeed(op)
	in := func(d time.Duration) *time.Time {
		ends := time.Now().Add(d)
		return &ends
	}
	for want, ends := range map[oas.CertificateHealth]*time.Time{
		"": nil, oas.CertificateHealthOk: in(1000 * time.Hour), oas.CertificateHealthExpiring: in(time.Hour),
		oas.CertificateHealthExpired: in(-time.Hour),
	} {
		s.store.certify(db.ID, ends)
		one, err := s.client.GetDatabase(t.Context(), oas.GetDatabaseParams{ID: db.ID})
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.client.ListDatabases(t.Context(), oas.ListDatabasesParams{})
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []oas.NilCertificateState{one.Data.Certificate, all.Data[0].Certificate} {
			if got.Value.Health != want || got.Null != (ends == nil) {
				t.Errorf("it ends at %v: got %+v, want %q", ends, got, want)
			}
		}
	}
}

func TestDatabaseThatNeedsAttentionSaysWhy(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, op := s.create("shop", "orders")
	s.store.park(op, daap.Cause{Code: daap.CauseDeadline, Message: "Waited 10 minutes.", Remedy: "Wait longer."})
	res, err := s.client.GetDatabase(t.Context(), oas.GetDatabaseParams{ID: db.ID})
	if err != nil {
		t.Fatal(err)
	}
	want := oas.DatabaseError{
		Code: oas.CauseCodeDEADLINE, Message: "Waited 10 minutes.", Remedy: "Wait longer.", OperationID: op,
	}
	if res.Data.Status != oas.DatabaseStatusError || res.Data.Error.Value != want || !res.Data.WaitingOn.Null {
		t.Errorf("got %+v", res.Data)
	}
}

// list returns the names of the databases on the pages that follow one another.
func (s *service) list(params oas.ListDatabasesParams) (names []string, pages int) {
	s.t.Helper()
	for {
		res, err := s.client.ListDatabases(s.t.Context(), params)
		if err != nil {
			s.t.Fatal(err)
		}
		pages++
		for _, db := range res.Data {
			names = append(names, db.Name)
		}
		next, more := res.Meta.NextCursor.Get()
		if !more {
			return names, pages
		}
		params.Cursor = oas.NewOptString(next)
	}
}

func TestListIsNewestFirstOverAllPages(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, name := range []string{"one", "two", "three", "four", "five"} {
		s.create("shop", name)
	}
	names, pages := s.list(oas.ListDatabasesParams{Limit: oas.NewOptInt(2)})
	if want := []string{"five", "four", "three", "two", "one"}; !slices.Equal(names, want) || pages != 3 {
		t.Errorf("got %v on %d pages, want %v on 3", names, pages, want)
	}
}

func TestListFiltersDatabases(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, op := s.create("shop", "orders", "env", "prod", "tier", "a=b")
	s.create("shop", "carts", "env", "test")
	gone, _ := s.create("shop", "gone")
	s.create("billing", "invoices")
	s.store.succeed(op)
	s.store.succeed(s.delete(gone.ID))
	for name, row := range map[string]struct {
		params oas.ListDatabasesParams
		want   []string
	}{
		"all but deleted": {oas.ListDatabasesParams{}, []string{"invoices", "carts", "orders"}},
		"team":            {oas.ListDatabasesParams{Team: oas.NewOptTeamName("billing")}, []string{"invoices"}},
		"ready": {
			oas.ListDatabasesParams{Status: oas.NewOptDatabaseStatus(oas.DatabaseStatusReady)}, []string{"orders"},
		},
		"deleted": {
			oas.ListDatabasesParams{Status: oas.NewOptDatabaseStatus(oas.DatabaseStatusDeleted)}, []string{"gone"},
		},
		"label":                     {oas.ListDatabasesParams{Label: []string{"env=test"}}, []string{"carts"}},
		"labels, one with = in it":  {oas.ListDatabasesParams{Label: []string{"env=prod", "tier=a=b"}}, []string{"orders"}},
		"labels that no one has":    {oas.ListDatabasesParams{Label: []string{"env=test", "tier=a=b"}}, nil},
		"one label given twice":     {oas.ListDatabasesParams{Label: []string{"env=test", "env=test"}}, []string{"carts"}},
		"label with an empty value": {oas.ListDatabasesParams{Label: []string{"env="}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := s.list(row.params); !slices.Equal(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func (s *service) delete(id uuid.UUID) uuid.UUID {
	s.t.Helper()
	res, err := s.client.DeleteDatabase(context.WithoutCancel(s.t.Context()), oas.DeleteDatabaseParams{ID: id})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.Response.Meta.OperationID
}

func TestMergePatchLeavesSetsAndRemoves(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, row := range map[string]struct {
		patch       string
		description string
		labels      map[string]string
	}{
		"nothing":           {`{}`, "old", map[string]string{"env": "prod", "tier": "a"}},
		"description":       {`{"description":"new"}`, "new", map[string]string{"env": "prod", "tier": "a"}},
		"description null":  {`{"description":null}`, "", map[string]string{"env": "prod", "tier": "a"}},
		"description empty": {`{"description":""}`, "", map[string]string{"env": "prod", "tier": "a"}},
		"labels null":       {`{"labels":null}`, "old", map[string]string{}},
		"labels empty":      {`{"labels":{}}`, "old", map[string]string{"env": "prod", "tier": "a"}},
		"label set":         {`{"labels":{"env":"test"}}`, "old", map[string]string{"env": "test", "tier": "a"}},
		"label added": {
			`{"labels":{"x":""}}`, "old", map[string]string{"env": "prod", "tier": "a", "x": ""},
		},
		"label null":         {`{"labels":{"env":null}}`, "old", map[string]string{"tier": "a"}},
		"unknown label null": {`{"labels":{"x":null}}`, "old", map[string]string{"env": "prod", "tier": "a"}},
		"label renamed, description": {
			`{"labels":{"env":null,"x":"y"},"description":"n"}`, "n", map[string]string{"tier": "a", "x": "y"},
		},
		"broken keys may be removed":    {`{"labels":{"NO":null}}`, "old", map[string]string{"env": "prod", "tier": "a"}},
		"both null":                     {`{"labels":null,"description":null}`, "", map[string]string{}},
		"white space around the object": {" \n{}\t", "old", map[string]string{"env": "prod", "tier": "a"}},
	} {
		for _, mediaType := range []string{"application/json", "application/merge-patch+json; charset=utf-8"} {
			db := daap.Database{
				ID: uuid.New(), Name: "orders", OwnerTeam: "shop", Status: daap.DatabaseReady,
				Description: "old", Labels: map[string]string{"env": "prod", "tier": "a"},
			}
			s.store.PutDatabase(db)
			t.Run(name+" as "+mediaType, func(t *testing.T) {
				got := s.do(http.MethodPatch, "/databases/"+db.ID.String(), row.patch, "Content-Type", mediaType)
				var res oas.DatabaseResponse
				if err := res.UnmarshalJSON(got.body); err != nil || got.status != http.StatusOK {
					t.Fatalf("got %d %s: %v", got.status, got.body, err)
				}
				if res.Data.Description != row.description || !maps.Equal(map[string]string(res.Data.Labels), row.labels) {
					t.Errorf("got %q %v, want %q %v", res.Data.Description, res.Data.Labels, row.description, row.labels)
				}
			})
		}
	}
}

func TestPatchThroughTheClientKeepsAbsentFields(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, _ := s.create("shop", "orders", "env", "prod")
	req := &oas.UpdateDatabaseApplicationMergePatchJSON{Description: oas.NewOptNilString("new")}
	res, err := s.client.UpdateDatabase(t.Context(), req, oas.UpdateDatabaseParams{ID: db.ID})
	if err != nil {
		t.Fatal(err)
	}
	got, is := res.(*oas.UpdateDatabaseResponse)
	if !is || got.Data.Database.Description != "new" || got.Data.Database.Labels["env"] != "prod" {
		t.Errorf("got %+v", res)
	}
}

func TestDeletedDatabaseCannotBeChanged(t *testing.T) {
	t.Parallel()
	s := start(t)
	db, _ := s.create("shop", "orders")
	s.store.succeed(s.delete(db.ID))
	if got := s.do(http.MethodPatch, "/databases/"+db.ID.String(), `{}`); got.Error.Code != oas.ErrorCodeWrongStatus {
		t.Errorf("got %s", got.body)
	}
}
