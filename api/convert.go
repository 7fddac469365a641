package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

func each[From, To any](items []From, convert func(From) To) []To {
	converted := make([]To, len(items))
	for i, item := range items {
		converted[i] = convert(item)
	}
	return converted
}

func specFromOAS(req *oas.CreateDatabaseRequest) daap.DatabaseSpec {
	return daap.DatabaseSpec{
		Name:        req.Name,
		OwnerTeam:   string(req.OwnerTeam.Value),
		Tier:        req.Tier,
		Description: req.Description.Value,
		Labels:      req.Labels.Value,
	}
}

func patchFromOAS(req oas.UpdateDatabaseReq) daap.DatabasePatch {
	var body oas.UpdateDatabaseRequest
	switch req := req.(type) {
	case *oas.UpdateDatabaseApplicationJSON:
		body = oas.UpdateDatabaseRequest(*req)
	case *oas.UpdateDatabaseApplicationMergePatchJSON:
		body = oas.UpdateDatabaseRequest(*req)
	}
	patch := daap.DatabasePatch{
		Tier: given(body.Tier.Value, body.Tier.Set), ClearLabels: body.Labels.IsNull(),
		DeletionProtection: given(body.DeletionProtection.Value, body.DeletionProtection.Set),
	}
	if body.Description.IsSet() {
		patch.Description = &body.Description.Value // null becomes the empty text
	}
	for key, value := range body.Labels.Value {
		if patch.Labels == nil {
			patch.Labels = make(map[string]*string, len(body.Labels.Value))
		}
		patch.Labels[key] = given(value.Value, !value.Null)
	}
	return patch
}

func decisionFromOAS(action daap.Action, req *oas.DecisionRequest) daap.Decision {
	return daap.Decision{Action: action, Step: daap.StepName(req.Step.Value), Reason: req.Reason}
}

// databaseToOAS omits the fields that only GET /databases/{id} returns.
func databaseToOAS(db daap.Database) oas.Database {
	return oas.Database{
		ID:          db.ID,
		Name:        db.Name,
		OwnerTeam:   db.OwnerTeam,
		Description: db.Description,
		Labels:      db.Labels,
		Tier:        db.Tier,
		Status:      oas.DatabaseStatus(db.Status),
		Health:      healthStateToOAS(db),
		Error:       databaseErrorToOAS(db.OperationID, db.Cause),
		WaitingOn:   databaseErrorToOAS(db.OperationID, db.WaitingOn),
		OperationID: nilUUID(db.OperationID),
		Source:      sourceToOAS(db.Source),
		Backup:      oas.NilBackupState{Null: true},
		Storage:     oas.NilStorage{Null: true},
		Extensions:  oas.NilDatabaseExtensions{Null: true},

		DeletionProtection: db.DeletionProtection,
		ArchivedUntil:      nilTime(db.ArchivedUntil),
		Certificate:        certificateToOAS(db),

		CreatedAt: db.CreatedAt.UTC(),
		UpdatedAt: db.UpdatedAt.UTC(),
		DeletedAt: nilTime(db.DeletedAt),
	}
}

// viewToOAS returns all fields of a database.
func viewToOAS(view daap.DatabaseView) oas.Database {
	allowed, restricted := view.Actions()
	all := databaseToOAS(view.Database)
	all.Conditions = conditionsToOAS(view)
	all.Backup = backupStateToOAS(view)
	all.Storage = storageToOAS(view.Database, view.Scan)
	all.Extensions = extensionsToOAS(view.Scan, view.Extensions)
	all.AllowedActions = each(allowed, func(k daap.OperationKind) oas.OperationKind { return oas.OperationKind(k) })
	all.RestrictedActions = each(restricted, func(r daap.Restriction) oas.RestrictedAction {
		return oas.RestrictedAction{Action: oas.OperationKind(r.Operation), Reason: r.Reason}
	})
	return all
}

func certificateToOAS(db daap.Database) oas.NilCertificateState {
	health, known := db.CertificateHealth(time.Now())
	if !known {
		return oas.NilCertificateState{Null: true}
	}
	return oas.NewNilCertificateState(oas.CertificateState{
		Health: oas.CertificateHealth(health), ExpiresAt: db.CAExpiresAt.UTC(),
	})
}

func deletePreviewToOAS(p daap.DeletePreview) oas.DeletePreview {
	return oas.DeletePreview{
		Strategy:            oas.DestructionStrategy(p.Strategy),
		Operation:           oas.OperationKind(p.Operation),
		Possible:            p.Refusal == "",
		Reason:              nilString(p.Refusal),
		Goes:                p.Goes,
		Stays:               p.Stays,
		StaysUntil:          nilTime(p.StaysUntil),
		FirstRecoverableAt:  nilTime(p.FirstRecoverableAt),
		LatestRecoverableAt: nilTime(p.LatestRecoverableAt),
		Reversible:          p.Undo != "",
		Undo:                nilString(p.Undo),
	}
}

func receiptToOAS(r *daap.Receipt) oas.NilReceipt {
	if r == nil {
		return oas.NilReceipt{Null: true}
	}
	return oas.NewNilReceipt(oas.Receipt{
		KubernetesObjects: r.Kubernetes, Objects: r.Objects, Bytes: r.Bytes, RelistedAt: nilTime(r.RelistedAt),
	})
}

func previewToOAS(p daap.Preview) oas.Preview {
	return oas.Preview{
		Operation: oas.NilOperationKind{Value: oas.OperationKind(p.Operation), Null: p.Operation == ""},
		Restarts:  p.Restarts,
		Changes: each(p.Changes, func(c daap.FieldChange) oas.FieldChange {
			return oas.FieldChange{Field: c.Field, From: nilText(c.From), To: nilText(c.To)}
		}),
		Quotas: each(p.Quotas, func(e daap.QuotaEffect) oas.QuotaEffect {
			return oas.QuotaEffect{Tier: e.Tier, Now: quotaToOAS(e.Now), Then: quotaToOAS(e.After())}
		}),
	}
}

func databaseErrorToOAS(op *uuid.UUID, cause *daap.Cause) oas.NilDatabaseError {
	if cause == nil {
		return oas.NilDatabaseError{Null: true}
	}
	return oas.NewNilDatabaseError(oas.DatabaseError{
		Code:        oas.CauseCode(cause.Code),
		Message:     cause.Message,
		Remedy:      cause.Remedy,
		OperationID: nilUUID(op).Value,
	})
}

func connectionToOAS(c daap.Connection) oas.Connection {
	endpoint := func(host string) oas.Endpoint {
		return oas.Endpoint{Host: host, Port: daap.PostgresPort, URL: c.URL(host)}
	}
	return oas.Connection{
		Pooled:        endpoint(c.PooledHost()),
		Direct:        endpoint(c.DirectHost()),
		Database:      daap.PostgresDatabase,
		User:          daap.PostgresUser,
		Sslmode:       oas.ConnectionSslmodeVerifyFull,
		CaCertificate: string(c.CACertificate),

		CaCertificateExpiresAt: c.CAExpiresAt.UTC(),

		Secret: oas.SecretReference{
			Namespace:   daap.Namespace(c.DatabaseID),
			Name:        daap.CredentialsSecret,
			UsernameKey: "username",
			PasswordKey: "password",
		},
	}
}

func operationToOAS(op daap.Operation) oas.Operation {
	var parkedFor, waitingOn *daap.Cause
	switch op.State {
	case daap.OperationNeedsAttention:
		parkedFor = op.Cause
	case daap.OperationRunning, daap.OperationCancelling:
		waitingOn = op.Cause
	default: // nothing blocks it
	}
	return oas.Operation{
		ID:           op.ID,
		Kind:         oas.OperationKind(op.Kind),
		State:        oas.OperationState(op.State),
		DatabaseID:   op.DatabaseID,
		DatabaseName: op.DatabaseName,
		OwnerTeam:    op.OwnerTeam,
		WorkflowID:   op.WorkflowID(),
		Step:         nilString(op.Step),
		Steps:        each(op.Steps, func(s daap.Step) oas.Step { return stepToOAS(op.Kind, s) }),
		Error:        causeToOAS(parkedFor),
		WaitingOn:    causeToOAS(waitingOn),
		Tier:         nilString(tierNameOf(op)),
		CancelledBy:  nilString(op.CancelledBy),
		Restarts:     op.Restarts,
		Receipt:      receiptToOAS(op.Receipt),
		CreatedAt:    op.CreatedAt.UTC(),
		StartedAt:    nilTime(op.StartedAt),
		FinishedAt:   nilTime(op.FinishedAt),
	}
}

// tierNameOf returns the name of an update's tier; empty for other kinds.
func tierNameOf(op daap.Operation) string {
	if op.Tier == nil {
		return ""
	}
	return op.Tier.Name
}

func stepToOAS(kind daap.OperationKind, s daap.Step) oas.Step {
	return oas.Step{
		Name:       string(s.Name),
		Title:      titleOf(kind, s),
		State:      oas.StepState(s.State),
		Attempts:   s.Attempts,
		Progress:   s.Progress,
		LastError:  s.LastError,
		StartedAt:  nilTime(s.StartedAt),
		FinishedAt: nilTime(s.FinishedAt),
	}
}

func titleOf(kind daap.OperationKind, s daap.Step) string {
	if s.State.Undoes() {
		return "Roll back: " + kind.Title(s.Name)
	}
	return kind.Title(s.Name)
}

func causeToOAS(cause *daap.Cause) oas.NilCause {
	if cause == nil {
		return oas.NilCause{Null: true}
	}
	return oas.NewNilCause(oas.Cause{
		Code: oas.CauseCode(cause.Code), Message: cause.Message, Remedy: cause.Remedy,
	})
}

func eventToOAS(e daap.Event) oas.Event {
	return oas.Event{
		ID:          e.ID,
		OperationID: nilUUID(e.OperationID),
		Kind:        oas.EventKind(e.Kind),
		Step:        nilString(e.Step),
		Cause:       oas.NilCauseCode{Value: oas.CauseCode(e.Cause), Null: e.Cause == ""},
		Actor:       nilString(e.Actor),
		Message:     e.Message,
		CreatedAt:   e.CreatedAt.UTC(),
	}
}

func healthToOAS(version string, checks []daap.HealthCheck) oas.Health {
	health := oas.Health{Status: oas.HealthStatusOk, Version: version, Checks: each(checks, healthCheckToOAS)}
	for _, check := range checks {
		if check.Err != nil {
			health.Status = oas.HealthStatusDegraded
		}
	}
	return health
}

func healthCheckToOAS(check daap.HealthCheck) oas.HealthCheck {
	status := oas.HealthCheckStatusUp
	if check.Err != nil {
		status = oas.HealthCheckStatusDown
	}
	return oas.HealthCheck{
		Name:      oas.HealthCheckName(check.Name),
		Status:    status,
		Required:  check.Required,
		LatencyMs: float64(check.Latency.Microseconds()) / 1000,
	}
}

func errorToOAS(e *daap.Error, requestID string) oas.ErrorResponse {
	return oas.ErrorResponse{
		Data: noData,
		Error: oas.Error{
			Code:        oas.ErrorCode(e.Code),
			Message:     e.Message,
			Details:     each(e.Details, func(d daap.Detail) oas.ErrorDetail { return oas.ErrorDetail(d) }),
			OperationID: oas.OptUUID{Value: e.Operation, Set: e.Operation != uuid.Nil},
		},
		Meta: oas.Meta{RequestID: requestID},
	}
}

func nilTime(t *time.Time) oas.NilDateTime {
	if t == nil {
		return oas.NilDateTime{Null: true}
	}
	return oas.NewNilDateTime(t.UTC())
}

func nilUUID(id *uuid.UUID) oas.NilUUID {
	if id == nil {
		return oas.NilUUID{Null: true}
	}
	return oas.NewNilUUID(*id)
}

// nilString returns null for an empty text.
func nilString[T ~string](s T) oas.NilString {
	return oas.NilString{Value: string(s), Null: s == ""}
}

// nilText returns null for nil, but not for an empty text.
func nilText(s *string) oas.NilString {
	if s == nil {
		return oas.NilString{Null: true}
	}
	return oas.NewNilString(*s)
}

// given returns nil for a field that is omitted or null.
func given[T any](value T, set bool) *T {
	if !set {
		return nil
	}
	return &value
}
