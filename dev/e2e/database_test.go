//go:build e2e

package e2e

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap/api/oas"
	"github.com/daap-dev/daap/dev/local"
)

// TestDatabaseFromProvisionToNothingLeft is the life of one database under the key of its team: other teams see nothing
// of it, and the audit log has all of it.
func TestDatabaseFromProvisionToNothingLeft(t *testing.T) {
	parallel(t, needsStore)
	ctx := t.Context()
	ours, theirs := newTeam(ctx, t, "ours"), newTeam(ctx, t, "theirs")
	accepted, err := local.Accepted(ours.api.CreateDatabase(ctx,
		&oas.CreateDatabaseRequest{Tier: local.Tier, Name: "whole-way"}, oas.CreateDatabaseParams{}))
	if err != nil {
		t.Fatalf("create a database: %v", err)
	}
	db, provision := accepted.Response.Data, accepted.Response.Meta.OperationID
	t.Cleanup(func() { cleanUp(context.WithoutCancel(ctx), t, db.ID) })
	if db.Status != oas.DatabaseStatusProvisioning || db.OperationID.Value != provision {
		t.Errorf("created database is %s held by %v, want provisioning held by %s", db.Status, db.OperationID, provision)
	}
	if db.OwnerTeam != "ours" {
		t.Errorf("a database of no named team is owned by %s, want the team of the key", db.OwnerTeam)
	}
	op := succeed(ctx, t, provision)
	historyIsShort(ctx, t, op.WorkflowID)

	got, err := ours.api.GetDatabase(ctx, oas.GetDatabaseParams{ID: db.ID})
	if err != nil || got.Data.Status != oas.DatabaseStatusReady {
		t.Fatalf("database is %v (%v), want ready", got, err)
	}
	conn, err := ours.api.GetDatabaseConnection(ctx, oas.GetDatabaseConnectionParams{ID: db.ID})
	if err != nil {
		t.Fatalf("connection: %v", err)
	}
	t.Run("pooled", func(t *testing.T) { writesAndReads(t, conn.Data, conn.Data.Pooled) })
	t.Run("direct", func(t *testing.T) { writesAndReads(t, conn.Data, conn.Data.Direct) })
	auditTells(ctx, t, db.ID, psqlOf(ctx, t, db.ID))
	theirs.seesNothingOf(ctx, t, db.ID, provision)

	deleted, err := ours.api.DeleteDatabase(ctx, oas.DeleteDatabaseParams{ID: db.ID})
	if err != nil {
		t.Fatalf("delete the database: %v", err)
	}
	deletion := deleted.Response.Meta.OperationID
	succeed(ctx, t, deletion)
	nothingLeft(ctx, t, db.ID)
	if status := of(ctx, t, db.ID).Status; status != oas.DatabaseStatusDeleted {
		t.Errorf("database is %s, want deleted", status)
	}

	ours.isRevoked(ctx, t)
	ours.didAllOf(ctx, t, db.ID, provision, deletion)
	theirs.wasRefused(ctx, t, db.ID)
	sealedSoon(ctx, t, db.ID)
	auditHolds(ctx, t)
	serviceMayOnlyAdd(ctx, t)
}

// writesAndReads does so at the endpoint.
func writesAndReads(t *testing.T, conn oas.Connection, endpoint oas.Endpoint) {
	t.Helper()
	ctx := t.Context()
	psql, err := stack.Psql(ctx, conn, endpoint, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	table := "t_" + strings.ReplaceAll(t.Name(), "/", "_")
	if _, err := psql.Run(ctx, "CREATE TABLE "+table+" AS SELECT 42 AS answer"); err != nil {
		t.Fatalf("write: %v", err)
	}
	if got, err := psql.Run(ctx, "SELECT answer FROM "+table); err != nil || got != "42" {
		t.Fatalf("read = %q, %v, want 42", got, err)
	}
	if got, err := psql.Run(ctx, "SELECT current_user"); err != nil || got != "app" {
		t.Errorf("user = %q, %v, want app", got, err)
	}
}

// nothingLeft fails the test if Kubernetes still has anything of the database.
func nothingLeft(ctx context.Context, t *testing.T, id uuid.UUID) {
	t.Helper()
	name := "daap-" + id.String()
	var namespace corev1.Namespace
	if err := stack.Kubernetes.Get(ctx, client.ObjectKey{Name: name}, &namespace); !apierrors.IsNotFound(err) {
		t.Errorf("namespace %s: %v, want not found", name, err)
	}
	var volumes corev1.PersistentVolumeList
	if err := stack.Kubernetes.List(ctx, &volumes); err != nil {
		t.Fatal(err)
	}
	for _, volume := range volumes.Items {
		if claim := volume.Spec.ClaimRef; claim != nil && claim.Namespace == name {
			t.Errorf("persistent volume %s of %s is left", volume.Name, name)
		}
	}
	if accounts, err := local.Accounts(ctx, id); err != nil || len(accounts) > 0 {
		t.Errorf("accounts of the object store are left of %s: %v, %v", name, accounts, err)
	}
}

// TestProvisionUnderWayGivesWayToADeleteAndToACancel has three databases of one name, one after the other: the name is
// taken until nothing is left.
func TestProvisionUnderWayGivesWayToADeleteAndToACancel(t *testing.T) {
	parallel(t, needsStore)
	ctx := t.Context()
	db, provision := create(ctx, t, "taken-over")
	again := &oas.CreateDatabaseRequest{Tier: local.Tier, Name: db.Name, OwnerTeam: oas.NewOptTeamName(oas.TeamName(db.OwnerTeam))}
	_, err := stack.API.CreateDatabase(ctx, again, oas.CreateDatabaseParams{})
	refused(t, err, http.StatusConflict, oas.ErrorCodeNameTaken)
	waitsForItsCluster(ctx, t, provision)
	deletion := remove(ctx, t, db.ID)
	op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: provision})
	if err != nil || op.Data.State != oas.OperationStateCancelled {
		t.Errorf("provision is %v (%v), want cancelled by %s", op, err, deletion.ID)
	}
	nothingLeft(ctx, t, db.ID)
	_, err = stack.API.DeleteDatabase(ctx, oas.DeleteDatabaseParams{ID: db.ID})
	refused(t, err, http.StatusConflict, oas.ErrorCodeWrongStatus)

	db, provision = create(ctx, t, db.Name)
	waitsForItsCluster(ctx, t, provision)
	cancel := func(key oas.OptString) error {
		_, err := stack.API.CancelOperation(ctx, decision("not needed"), oas.CancelOperationParams{ID: provision, IdempotencyKey: key})
		return err
	}
	decide(ctx, t, func(key oas.OptString) error {
		if err := cancel(key); err != nil {
			return err
		}
		return cancel(key) // it is the same request, and gets the same answer
	})
	cancelled, err := stack.Follow(ctx, provision, nil)
	if err != nil || cancelled.State != oas.OperationStateCancelled || cancelled.CancelledBy.Value != local.Actor {
		t.Fatalf("operation is %s (%v), want cancelled by %s; steps: %s", cancelled.State, err, local.Actor, describe(cancelled))
	}
	nothingLeft(ctx, t, db.ID)
	create(ctx, t, db.Name)
}

func waitsForItsCluster(ctx context.Context, t *testing.T, provision uuid.UUID) {
	t.Helper()
	until(ctx, t, "the provision waits for its Cluster", func() bool {
		op, err := stack.API.GetOperation(ctx, oas.GetOperationParams{ID: provision})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(op.Data.Steps, func(s oas.Step) bool {
			return s.Name == "ready" && s.Progress != ""
		})
	})
}

func refused(t *testing.T, err error, status int, code oas.ErrorCode) {
	t.Helper()
	var answer *oas.ErrorStatusCodeWithHeaders
	if !errors.As(err, &answer) || answer.StatusCode != status || answer.Response.Error.Code != code {
		t.Fatalf("answer = %v, want %d %s", err, status, code)
	}
}
