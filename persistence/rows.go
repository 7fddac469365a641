package persistence

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// Rows are the forms in which JSON columns have the domain. Their keys are their own: renaming a field in Go changes
// none, and SQL names no other. testdata/rows holds each row as every version wrote it; later versions must read them.
// Where a row has all fields of its counterpart in the domain, it is converted as a whole, so that the compiler finds a
// field that is missing.

// profileRow is databases.profile. Its keys are the names of the tier's fields.
type profileRow daap.Profile

// MarshalJSON encodes all fields of the profile.
func (r profileRow) MarshalJSON() ([]byte, error) { return json.Marshal(daap.Profile(r).Values()) }

// UnmarshalJSON decodes the profile. It returns an error for a row that holds none: an empty profile would scale a
// database down to nothing.
func (r *profileRow) UnmarshalJSON(raw []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return fmt.Errorf("decode profile: %w", err)
	}
	p, err := daap.ProfileOf(values)
	if err != nil {
		return err
	}
	if p.Instances == 0 || p.PGVersion == "" {
		return errors.New("decode profile: it has no instances or no version of PostgreSQL")
	}
	*r = profileRow(p)
	return nil
}

// tierRow is operations.tier.
type tierRow struct {
	ID          uuid.UUID  `json:"id"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Profile     profileRow `json:"profile"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
}

func toTierRow(t *daap.Tier) *tierRow {
	if t == nil {
		return nil
	}
	return &tierRow{t.ID, t.Name, t.Description, profileRow(t.Profile), t.CreatedAt, t.UpdatedAt}
}

func (r *tierRow) tier() *daap.Tier {
	if r == nil {
		return nil
	}
	return &daap.Tier{
		ID: r.ID, Name: r.Name, Description: r.Description, Profile: daap.Profile(r.Profile),
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

// sourceRow is databases.source.
type sourceRow struct {
	DatabaseID  uuid.UUID  `json:"database_id"`
	Name        string     `json:"name"`
	ServerName  string     `json:"server_name"`
	Destination string     `json:"destination"`
	Target      *time.Time `json:"target"`
}

// originRow is operations.origin.
type originRow struct {
	Actor     string    `json:"actor,omitempty"`
	KeyID     uuid.UUID `json:"key_id,omitzero"`
	Team      string    `json:"team,omitempty"`
	Role      daap.Role `json:"role,omitempty"`
	RequestID string    `json:"request_id,omitempty"`
	Address   string    `json:"address,omitempty"`
	Success   int       `json:"success,omitempty"`
}

// receiptRow is operations.receipt.
type receiptRow struct {
	Kubernetes map[string]int `json:"kubernetes"`
	Objects    int64          `json:"objects"`
	Bytes      int64          `json:"bytes"`
	RelistedAt *time.Time     `json:"relisted_at"`
}

// conditionRow is one of database_health.conditions. When it was observed is a column: it changes with each
// observation.
type conditionRow struct {
	Type    daap.ConditionType   `json:"type"`
	Status  daap.ConditionStatus `json:"status"`
	Reason  string               `json:"reason"`
	Message string               `json:"message"`
	Since   time.Time            `json:"since"`
}

func toConditionRows(conditions daap.Conditions) []conditionRow {
	rows := make([]conditionRow, 0, len(conditions))
	for _, c := range conditions {
		rows = append(rows, conditionRow{c.Type, c.Status, c.Reason, c.Message, c.Since})
	}
	return rows
}

// conditionsOf are the conditions in the rows, as they were observed at the time.
func conditionsOf(rows []conditionRow, at time.Time) daap.Conditions {
	conditions := make(daap.Conditions, 0, len(rows))
	for _, r := range rows {
		conditions = append(conditions, daap.Condition{
			Type: r.Type, Status: r.Status, Reason: r.Reason, Message: r.Message, Since: r.Since, ObservedAt: at,
		})
	}
	return conditions
}
