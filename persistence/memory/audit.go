package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// fields are the fields of a change, as the audit log names them.
type fields = map[string]any

// changed returns the fields that differ, with their values before and after.
func changed(was, is fields) (before, after fields) {
	before, after = fields{}, fields{}
	for name, value := range is {
		if !reflect.DeepEqual(was[name], value) {
			before[name], after[name] = was[name], value
		}
	}
	return before, after
}

// log adds an entry of something that happens now.
func (r *rows) log(e daap.AuditEntry) {
	e.ID, e.At = newID(), r.now
	r.addAudit(e)
}

// addAudit adds the entry, unless it is there already. Its fields become JSON, as in PostgreSQL.
func (r *rows) addAudit(e daap.AuditEntry) {
	for i := range r.audit {
		if r.audit[i].ID == e.ID {
			return
		}
	}
	e.At, e.Before, e.After = e.At.UTC().Truncate(time.Microsecond), asJSON(e.Before), asJSON(e.After)
	r.audit = append(r.audit, e)
}

// asJSON returns the fields as JSON has them; nil for none.
func asJSON(f fields) fields {
	if len(f) == 0 {
		return nil
	}
	text, err := json.Marshal(f)
	if err != nil {
		panic(fmt.Sprintf("encode the fields of an audit entry: %v", err))
	}
	var as fields
	_ = json.Unmarshal(text, &as) // it was encoded just now
	return as
}

// AddAuditEntries adds the entries; one that is there stays as it is.
func (s *Store) AddAuditEntries(ctx context.Context, entries []daap.AuditEntry) error {
	return s.change(ctx, func(r *rows) error {
		for _, e := range entries {
			r.addAudit(e)
		}
		return nil
	})
}

// AuditEntries returns the entries that the filter chooses, newest first.
func (s *Store) AuditEntries(ctx context.Context, f daap.AuditFilter) ([]daap.AuditEntry, error) {
	from, until := *precise(&f.From), *precise(&f.Until)
	return read(ctx, s, func(r *rows) ([]daap.AuditEntry, error) {
		all := byID(r.audit, func(e daap.AuditEntry) uuid.UUID { return e.ID })
		chosen := newest(all, f.Page, func(e daap.AuditEntry) bool {
			return (f.Team == "" || e.Team == f.Team) && (f.KeyID == nil || e.KeyID == *f.KeyID) &&
				(f.Action == "" || e.Action == f.Action) && (f.Resource == nil || e.Resource.ID == *f.Resource) &&
				(f.Outcome == "" || e.Outcome == f.Outcome) &&
				(from.IsZero() || !e.At.Before(from)) && (until.IsZero() || e.At.Before(until))
		})
		for i := range chosen {
			chosen[i].Before, chosen[i].After = maps.Clone(chosen[i].Before), maps.Clone(chosen[i].After)
		}
		return chosen, nil
	})
}
