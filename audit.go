package daap

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// AuditEntry is one line of the audit log: who did what to what, and what came of it. Entries are only ever added;
// see Seal for how it is noticed when one is changed or gone.
type AuditEntry struct {
	// ID is a UUIDv7, so that order by ID is order of time.
	ID uuid.UUID
	At time.Time
	Origin
	// Action is the operationId of the contract; of what a workflow changes, <kind of operation>.<what>.
	Action   string
	Resource Resource
	Outcome  Outcome
	// Status is the HTTP status of the answer; 0 for what a workflow changes.
	Status int
	// Before and After are the fields that the action changed; nil where it changed none.
	Before, After map[string]any
}

// Resource is what an action is about; the zero value is nothing in particular.
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

// Outcome is what came of an action.
type Outcome string

// The outcomes. A replayed request was carried out before and got its answer again; a refused one was at fault
// itself, and at a failed one the service was.
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

// OutcomeOf is the outcome of a request that was answered with the HTTP status.
func OutcomeOf(status int) Outcome {
	switch {
	case status < 400:
		return OutcomeSucceeded
	case status < 500:
		return OutcomeRefused
	}
	return OutcomeFailed
}

// Changed is the entry of the change that the request makes to the resource: the fields as they were before and
// as they are after it.
func (g Grant) Changed(what Resource, before, after map[string]any) AuditEntry {
	return AuditEntry{
		Origin: g.Origin(), Action: string(g.Permission), Resource: what,
		Outcome: OutcomeSucceeded, Status: g.Success, Before: before, After: after,
	}
}

// Replayed is the entry of a request that was carried out before.
func (g Grant) Replayed() AuditEntry {
	return AuditEntry{
		Origin: g.Origin(), Action: string(g.Permission), Resource: g.Resource,
		Outcome: OutcomeReplayed, Status: g.Success,
	}
}

// Answered is the entry of a request that changed nothing, whoever sent it.
func (r Request) Answered(action string, status int) AuditEntry {
	e := AuditEntry{
		Origin: r.Origin(), Action: action, Resource: r.Resource, Outcome: OutcomeOf(status), Status: status,
	}
	if r.DryRun {
		e.After = map[string]any{"dry_run": true}
	}
	return e
}

// AuditedDecision is the entry of a decision that is carried out: its action is that of the request.
func (o Operation) AuditedDecision(d Decision) AuditEntry {
	return AuditEntry{
		Origin: d.Origin, Action: string(mayDecide[d.Action]), Resource: Resource{ResourceOperation, o.ID},
		Outcome: OutcomeSucceeded, Status: d.Success,
	}
}

// Audited is the entry of what the operation's workflow changed, by the one who asked for the operation, and
// whether the event is such a change. What people ask for has entries of its own.
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

// Canonical is the entry as it is hashed: JSON of fixed order, with the keys of maps sorted and times in UTC with
// microseconds, which is what PostgreSQL keeps.
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

// AuditFilter chooses entries; the zero value chooses all.
type AuditFilter struct {
	// Team is that of the one who acted.
	Team  string
	KeyID *uuid.UUID
	// Action is the whole action, such as createDatabase.
	Action string
	// Resource is the ID of what was acted on.
	Resource *uuid.UUID
	Outcome  Outcome
	// From and Until bound the time: From is in, Until is out. Zero is no bound.
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

// exportPage is how many entries an export reads at once: it holds no more in memory, and no connection to
// PostgreSQL while its reader is slow.
const exportPage = 500

// Export gives entries to take, some at a time, until there are no more or take fails.
type Export func(ctx context.Context, take func([]AuditEntry) error) error

// Export allows the request an export and returns what gives all entries that the filter chooses to take, newest
// first and some at a time. Errors: CodeUnauthenticated, CodeForbidden.
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

// Seal is the place of an entry in the chain: its hash is over the hash of the entry before and over this one, so
// that none can be changed, added in between or taken out without all later hashes being others.
type Seal struct {
	// Position counts from 1, without gaps.
	Position int64
	EntryID  uuid.UUID
	Hash     [sha256.Size]byte
}

// Next is the seal of the entry that follows in the chain; the zero Seal is before the first.
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
