package daap

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// AuditEntry is one entry of the audit log: actor, action, resource and outcome. Entries are append-only; Seal makes
// changes and removals detectable.
type AuditEntry struct {
	// ID is a UUIDv7, so that order by ID is order of time.
	ID uuid.UUID
	At time.Time
	Origin
	// Action is the operationId of the contract; for a change by a workflow, <kind of operation>.<step>.
	Action   string
	Resource Resource
	Outcome  Outcome
	// Status is the HTTP status of the response; 0 for a change by a workflow.
	Status int
	// Before and After are the changed fields; nil if the action changed none.
	Before, After map[string]any
}

// Resource identifies the subject of an action; the zero value is none.
type Resource struct {
	// Kind is database, operation, api_key, tier or orphan. The keys are those that the hashes of entries are over.
	Kind string    `json:"Kind"`
	ID   uuid.UUID `json:"ID"`
}

// The kinds of resources.
const (
	ResourceDatabase  = "database"
	ResourceOperation = "operation"
	ResourceAPIKey    = "api_key"
	ResourceTier      = "tier"
	ResourceOrphan    = "orphan"
)

// Outcome is the result of an action.
type Outcome string

// The outcomes. Replayed: the request had already been carried out and got the same answer. Refused: the request was at
// fault. Failed: the service was at fault.
const (
	OutcomeSucceeded Outcome = "succeeded"
	OutcomeReplayed  Outcome = "replayed"
	OutcomeRefused   Outcome = "refused"
	OutcomeFailed    Outcome = "failed"
)

// Outcomes returns all outcomes.
func Outcomes() []Outcome {
	return []Outcome{OutcomeSucceeded, OutcomeReplayed, OutcomeRefused, OutcomeFailed}
}

// OutcomeOf maps the HTTP status of a response to an outcome.
func OutcomeOf(status int) Outcome {
	switch {
	case status < 400:
		return OutcomeSucceeded
	case status < 500:
		return OutcomeRefused
	}
	return OutcomeFailed
}

// Changed returns the entry for a change of the resource, with its fields before and after.
func (g Grant) Changed(what Resource, before, after map[string]any) AuditEntry {
	return AuditEntry{
		Origin: g.Origin(), Action: string(g.Permission), Resource: what,
		Outcome: OutcomeSucceeded, Status: g.Success, Before: before, After: after,
	}
}

// Replayed returns the entry for a request that had already been carried out.
func (g Grant) Replayed() AuditEntry {
	return AuditEntry{
		Origin: g.Origin(), Action: string(g.Permission), Resource: g.Resource,
		Outcome: OutcomeReplayed, Status: g.Success,
	}
}

// Answered returns the entry for a request that changed nothing.
func (r Request) Answered(action string, status int) AuditEntry {
	e := AuditEntry{
		Origin: r.Origin(), Action: action, Resource: r.Resource, Outcome: OutcomeOf(status), Status: status,
	}
	if r.DryRun {
		e.After = map[string]any{"dry_run": true}
	}
	return e
}

// AuditedDecision returns the entry for a decision that was carried out, under the action of its request.
func (o Operation) AuditedDecision(d Decision) AuditEntry {
	return AuditEntry{
		Origin: d.Origin, Action: string(mayDecide[d.Action]), Resource: Resource{ResourceOperation, o.ID},
		Outcome: OutcomeSucceeded, Status: d.Success,
	}
}

// Audited returns the entry for a change by the operation's workflow, under the caller who requested the operation, and
// whether the event is such a change. Requests have their own entries.
func (o Operation) Audited(e Event) (AuditEntry, bool) {
	what := string(e.Kind)
	switch e.Kind {
	case EventAccepted, EventDecided:
		return AuditEntry{}, false
	case EventStepDone:
		what = string(e.Step)
	case EventStepUndone:
		what = "undo_" + string(e.Step)
	default:
	}
	origin := o.Origin
	origin.Success = 0
	return AuditEntry{
		Origin: origin, Action: string(o.Kind) + "." + what, Resource: Resource{ResourceDatabase, o.DatabaseID},
		Outcome: OutcomeSucceeded, After: map[string]any{"operation_id": o.ID.String()},
	}, true
}

// Canonical returns the form of the entry that is hashed: JSON with a fixed field order, sorted map keys, and UTC times
// in microseconds, the precision of PostgreSQL.
func (e AuditEntry) Canonical() ([]byte, error) {
	raw, err := json.Marshal(struct {
		ID       uuid.UUID      `json:"id"`
		At       string         `json:"at"`
		Origin   Origin         `json:"origin"`
		Action   string         `json:"action"`
		Resource Resource       `json:"resource"`
		Outcome  Outcome        `json:"outcome"`
		Status   int            `json:"status"`
		Before   map[string]any `json:"before"`
		After    map[string]any `json:"after"`
	}{
		e.ID, e.At.UTC().Format("2006-01-02T15:04:05.000000Z"), e.Origin, e.Action, e.Resource, e.Outcome, e.Status,
		e.Before, e.After,
	})
	if err != nil {
		return nil, fmt.Errorf("encode audit entry %s: %w", e.ID, err)
	}
	return raw, nil
}

// AuditFilter selects entries; the zero value selects all.
type AuditFilter struct {
	// Team is the team of the actor.
	Team  string
	KeyID *uuid.UUID
	// Action matches the whole action, such as createDatabase.
	Action string
	// Resource is the ID of the subject.
	Resource *uuid.UUID
	Outcome  Outcome
	// From (inclusive) and Until (exclusive) bound the time; zero means no bound.
	From, Until time.Time
	Page        Page
}

// AuditLogs are the use cases of the audit log.
type AuditLogs struct{ store auditStore }

type auditStore interface {
	AuditEntries(ctx context.Context, filter AuditFilter) ([]AuditEntry, error)
}

// NewAuditLogs returns the use cases on the given store.
func NewAuditLogs(store auditStore) *AuditLogs { return &AuditLogs{store: store} }

// List returns one page of entries, newest first, and the cursor of the next page: empty on the last. Errors:
// CodeUnauthenticated, CodeForbidden.
func (a *AuditLogs) List(ctx context.Context, req Request, filter AuditFilter) ([]AuditEntry, string, error) {
	if _, err := req.authorize(MayListAuditLogs); err != nil {
		return nil, "", err
	}
	return onePage("list audit logs", &filter.Page,
		func() ([]AuditEntry, error) { return a.store.AuditEntries(ctx, filter) },
		func(e AuditEntry) uuid.UUID { return e.ID })
}

// exportPage is the number of entries that an export reads at once. A slow reader holds no more than that in memory,
// and no PostgreSQL connection.
const exportPage = 500

// Export passes entries to take in batches until there are no more or take fails.
type Export func(ctx context.Context, take func([]AuditEntry) error) error

// Export authorizes an export and returns a function that passes the filtered entries to take, newest first and in
// batches. Errors: CodeUnauthenticated, CodeForbidden.
func (a *AuditLogs) Export(req Request, filter AuditFilter) (Export, error) {
	if _, err := req.authorize(MayExportAuditLogs); err != nil {
		return nil, err
	}
	filter.Page.Limit = exportPage
	return func(ctx context.Context, take func([]AuditEntry) error) error {
		for {
			entries, err := a.store.AuditEntries(ctx, filter)
			if err != nil {
				return fmt.Errorf("export audit logs: %w", err)
			}
			if len(entries) > 0 {
				if err := take(entries); err != nil {
					return fmt.Errorf("export audit logs: %w", err)
				}
			}
			if len(entries) < exportPage {
				return nil
			}
			filter.Page.After = entries[len(entries)-1].ID
		}
	}, nil
}

// Seal links an entry into the chain: its hash covers the previous hash and this entry. Changing, inserting or removing
// an entry changes all later hashes.
type Seal struct {
	// Position counts from 1, without gaps.
	Position int64
	EntryID  uuid.UUID
	Hash     [sha256.Size]byte
}

// Next returns the seal of the entry that follows in the chain; the zero Seal precedes the first.
func (s Seal) Next(e AuditEntry) (Seal, error) {
	raw, err := e.Canonical()
	if err != nil {
		return Seal{}, err
	}
	hash := sha256.New()
	hash.Write(s.Hash[:])
	hash.Write(raw)
	return Seal{Position: s.Position + 1, EntryID: e.ID, Hash: [sha256.Size]byte(hash.Sum(nil))}, nil
}
