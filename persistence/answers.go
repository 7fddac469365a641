package persistence

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// acceptedRow is the answer to a change of a database, in idempotency_keys.answer.
type acceptedRow struct {
	Database  databaseRow   `json:"database"`
	Operation *operationRow `json:"operation"`
}

// databaseRow is a database in an answer.
type databaseRow struct {
	ID                 uuid.UUID           `json:"id"`
	Name               string              `json:"name"`
	OwnerTeam          string              `json:"owner_team"`
	Description        string              `json:"description"`
	Labels             map[string]string   `json:"labels"`
	Tier               string              `json:"tier"`
	TierID             *uuid.UUID          `json:"tier_id"`
	Profile            profileRow          `json:"profile"`
	Status             daap.DatabaseStatus `json:"status"`
	Source             *sourceRow          `json:"source"`
	DeletionProtection bool                `json:"deletion_protection"`
	ArchivedUntil      *time.Time          `json:"archived_until"`
	CAExpiresAt        *time.Time          `json:"ca_expires_at"`
	Incarnation        int                 `json:"incarnation"`
	Cause              *causeRow           `json:"cause"`
	WaitingOn          *causeRow           `json:"waiting_on"`
	OperationID        *uuid.UUID          `json:"operation_id"`
	OperationKind      daap.OperationKind  `json:"operation_kind"`
	LastHealth         *healthRow          `json:"last_health"`
	CreatedAt          time.Time           `json:"created_at"`
	UpdatedAt          time.Time           `json:"updated_at"`
	DeletedAt          *time.Time          `json:"deleted_at"`
}

func toDatabaseRow(db daap.Database) databaseRow {
	return databaseRow{
		ID: db.ID, Name: db.Name, OwnerTeam: db.OwnerTeam, Description: db.Description, Labels: db.Labels,
		Tier: db.Tier, TierID: db.TierID, Profile: profileRow(db.Profile), Status: db.Status,
		Source: (*sourceRow)(db.Source), DeletionProtection: db.DeletionProtection, ArchivedUntil: db.ArchivedUntil,
		CAExpiresAt: db.CAExpiresAt, Incarnation: db.Incarnation,
		Cause: (*causeRow)(db.Cause), WaitingOn: (*causeRow)(db.WaitingOn),
		OperationID: db.OperationID, OperationKind: db.OperationKind, LastHealth: (*healthRow)(db.LastHealth),
		CreatedAt: db.CreatedAt, UpdatedAt: db.UpdatedAt, DeletedAt: db.DeletedAt,
	}
}

func (r databaseRow) database() daap.Database {
	return daap.Database{
		ID: r.ID, Name: r.Name, OwnerTeam: r.OwnerTeam, Description: r.Description, Labels: r.Labels,
		Tier: r.Tier, TierID: r.TierID, Profile: daap.Profile(r.Profile), Status: r.Status,
		Source: (*daap.Source)(r.Source), DeletionProtection: r.DeletionProtection, ArchivedUntil: r.ArchivedUntil,
		CAExpiresAt: r.CAExpiresAt, Incarnation: r.Incarnation,
		Cause: (*daap.Cause)(r.Cause), WaitingOn: (*daap.Cause)(r.WaitingOn),
		OperationID: r.OperationID, OperationKind: r.OperationKind, LastHealth: (*daap.HealthObservation)(r.LastHealth),
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, DeletedAt: r.DeletedAt,
	}
}

// causeRow is a cause in an answer.
type causeRow struct {
	Code    daap.CauseCode `json:"code"`
	Message string         `json:"message"`
	Remedy  string         `json:"remedy"`
}

// healthRow is the last known health of a database in an answer.
type healthRow struct {
	Health     daap.DatabaseHealth `json:"health"`
	Since      time.Time           `json:"since"`
	ObservedAt time.Time           `json:"observed_at"`
}

// operationRow is an operation in an answer.
type operationRow struct {
	ID           uuid.UUID           `json:"id"`
	Kind         daap.OperationKind  `json:"kind"`
	State        daap.OperationState `json:"state"`
	DatabaseID   uuid.UUID           `json:"database_id"`
	DatabaseName string              `json:"database_name"`
	OwnerTeam    string              `json:"owner_team"`
	Step         daap.StepName       `json:"step"`
	Cause        *causeRow           `json:"cause"`
	Tier         *tierRow            `json:"tier"`
	BacksUp      bool                `json:"backs_up"`
	Origin       originRow           `json:"origin"`
	StatusBefore daap.DatabaseStatus `json:"status_before"`
	CancelledBy  string              `json:"cancelled_by"`
	Receipt      *receiptRow         `json:"receipt"`
	Incarnation  int                 `json:"incarnation"`
	Restarts     int                 `json:"restarts"`
	CreatedAt    time.Time           `json:"created_at"`
	StartedAt    *time.Time          `json:"started_at"`
	FinishedAt   *time.Time          `json:"finished_at"`
	Steps        []stepRow           `json:"steps"`
}

func toOperationRow(op *daap.Operation) *operationRow {
	if op == nil {
		return nil
	}
	row := operationRow{
		ID: op.ID, Kind: op.Kind, State: op.State, DatabaseID: op.DatabaseID, DatabaseName: op.DatabaseName,
		OwnerTeam: op.OwnerTeam, Step: op.Step, Cause: (*causeRow)(op.Cause), Tier: toTierRow(op.Tier),
		BacksUp: op.BacksUp, Origin: originRow(op.Origin), StatusBefore: op.StatusBefore, CancelledBy: op.CancelledBy,
		Receipt: (*receiptRow)(op.Receipt), Incarnation: op.Incarnation, Restarts: op.Restarts,
		CreatedAt: op.CreatedAt, StartedAt: op.StartedAt, FinishedAt: op.FinishedAt,
	}
	for _, s := range op.Steps {
		row.Steps = append(row.Steps, stepRow{
			s.Name, s.State, s.Attempts, s.Progress, s.LastError, (*causeRow)(s.Cause), s.StartedAt, s.FinishedAt,
		})
	}
	return &row
}

func (r *operationRow) operation() *daap.Operation {
	if r == nil {
		return nil
	}
	op := daap.Operation{
		ID: r.ID, Kind: r.Kind, State: r.State, DatabaseID: r.DatabaseID, DatabaseName: r.DatabaseName,
		OwnerTeam: r.OwnerTeam, Step: r.Step, Cause: (*daap.Cause)(r.Cause), Tier: r.Tier.tier(),
		BacksUp: r.BacksUp, Origin: daap.Origin(r.Origin), StatusBefore: r.StatusBefore, CancelledBy: r.CancelledBy,
		Receipt: (*daap.Receipt)(r.Receipt), Incarnation: r.Incarnation, Restarts: r.Restarts,
		CreatedAt: r.CreatedAt, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
	}
	for _, s := range r.Steps {
		op.Steps = append(op.Steps, daap.Step{
			Name: s.Name, State: s.State, Attempts: s.Attempts, Progress: s.Progress, LastError: s.LastError,
			Cause: (*daap.Cause)(s.Cause), StartedAt: s.StartedAt, FinishedAt: s.FinishedAt,
		})
	}
	return &op
}

// stepRow is a step of an operation in an answer.
type stepRow struct {
	Name       daap.StepName  `json:"name"`
	State      daap.StepState `json:"state"`
	Attempts   int            `json:"attempts"`
	Progress   string         `json:"progress"`
	LastError  string         `json:"last_error"`
	Cause      *causeRow      `json:"cause"`
	StartedAt  *time.Time     `json:"started_at"`
	FinishedAt *time.Time     `json:"finished_at"`
}

// quotaUseRow is a quota with its use, in an answer.
type quotaUseRow struct {
	Quota quotaRow `json:"quota"`
	Used  costRow  `json:"used"`
}

type quotaRow struct {
	MaxCPUCores   *float64 `json:"max_cpu_cores"`
	MaxMemoryGiB  *float64 `json:"max_memory_gib"`
	MaxStorageGiB *float64 `json:"max_storage_gib"`
	MaxDatabases  *int     `json:"max_databases"`
}

type costRow struct {
	CPUMillis    int64 `json:"cpu_millis"`
	MemoryBytes  int64 `json:"memory_bytes"`
	StorageBytes int64 `json:"storage_bytes"`
	Databases    int64 `json:"databases"`
}

// apiKeyRow is an API key in an answer; its secret is in none.
type apiKeyRow struct {
	ID             uuid.UUID  `json:"id"`
	Name           string     `json:"name"`
	Team           string     `json:"team"`
	Role           daap.Role  `json:"role"`
	CreatedBy      string     `json:"created_by"`
	CreatedAt      time.Time  `json:"created_at"`
	ExpiresAt      *time.Time `json:"expires_at"`
	RevokedAt      *time.Time `json:"revoked_at"`
	RotatedAt      *time.Time `json:"rotated_at"`
	OldSecretUntil *time.Time `json:"old_secret_until"`
	LastUsedAt     *time.Time `json:"last_used_at"`
}

// orphanRow is an orphan in an answer.
type orphanRow struct {
	ID                 uuid.UUID       `json:"id"`
	Kind               daap.OrphanKind `json:"kind"`
	Name               string          `json:"name"`
	DatabaseID         uuid.UUID       `json:"database_id"`
	Reason             string          `json:"reason"`
	FirstSeenAt        time.Time       `json:"first_seen_at"`
	LastSeenAt         time.Time       `json:"last_seen_at"`
	RemovalRequestedAt *time.Time      `json:"removal_requested_at"`
	RemovalError       string          `json:"removal_error"`
}

// answerRow returns the row of an answer; an error for a type that has none.
func answerRow(answer any) (any, error) {
	switch a := answer.(type) {
	case accepted:
		return acceptedRow{toDatabaseRow(a.Database), toOperationRow(a.Operation)}, nil
	case daap.Operation:
		return toOperationRow(&a), nil
	case daap.Tier:
		return toTierRow(&a), nil
	case daap.QuotaUse:
		return quotaUseRow{quotaRow(a.Quota), costRow(a.Used)}, nil
	case daap.APIKey:
		return apiKeyRow(a), nil
	case daap.Orphan:
		return orphanRow(a), nil
	}
	return nil, fmt.Errorf("there is no row for an answer of type %T", answer)
}

// decodeAnswer reads the row of an answer into the answer, which is a pointer to what answerRow was given.
func decodeAnswer(row []byte, answer any) error {
	switch a := answer.(type) {
	case *accepted:
		return decodeRow(row, func(r acceptedRow) { *a = accepted{r.Database.database(), r.Operation.operation()} })
	case *daap.Operation:
		return decodeRow(row, func(r operationRow) { *a = *r.operation() })
	case *daap.Tier:
		return decodeRow(row, func(r tierRow) { *a = *r.tier() })
	case *daap.QuotaUse:
		return decodeRow(row, func(r quotaUseRow) { *a = daap.QuotaUse{Quota: daap.Quota(r.Quota), Used: daap.Cost(r.Used)} })
	case *daap.APIKey:
		return decodeRow(row, func(r apiKeyRow) { *a = daap.APIKey(r) })
	case *daap.Orphan:
		return decodeRow(row, func(r orphanRow) { *a = daap.Orphan(r) })
	}
	return fmt.Errorf("there is no row for an answer of type %T", answer)
}

func decodeRow[R any](raw []byte, take func(R)) error {
	var row R
	if err := json.Unmarshal(raw, &row); err != nil {
		return fmt.Errorf("decode a row of type %T: %w", row, err)
	}
	take(row)
	return nil
}
