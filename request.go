package daap

import (
	"fmt"

	"github.com/google/uuid"
)

// Caller is who asks: the bearer of a verified API key. The zero value is nobody.
type Caller struct {
	KeyID uuid.UUID
	// KeyName is the name that the key was given.
	KeyName string
	Team    string
	Role    Role
}

// Known says whether anybody is known to ask.
func (c Caller) Known() bool { return c.Role != "" }

// String names the caller for people, as team/key; empty for nobody.
func (c Caller) String() string {
	if !c.Known() {
		return ""
	}
	return fmt.Sprintf("%s/%s", c.Team, c.KeyName)
}

// Request is who asks, and by what the request is known.
type Request struct {
	Caller Caller
	// ID names the request in logs and in the audit log.
	ID string
	// Address is where it comes from; empty where that is not known.
	Address string
	// Resource is what the request names in its path; zero where that is nothing yet, or a list.
	Resource Resource
	// Success is the status that the request is answered with when it succeeds, and Accepted where what it asks for
	// takes time.
	Success, Accepted int
	Once              Once
	// DryRun says that the request only asks what it would change: everything is looked at as without it, and
	// nothing is changed.
	DryRun bool
}

// Origin is where the request comes from, as it is kept with what it changes.
func (r Request) Origin() Origin {
	return Origin{
		Actor: r.Caller.String(), KeyID: r.Caller.KeyID, Team: r.Caller.Team, Role: r.Caller.Role,
		RequestID: r.ID, Address: r.Address, Success: r.Success,
	}
}

// Origin is where a change comes from: kept with an operation and with a decision, so that what a workflow
// changes later is in the audit log under the one who asked for it.
type Origin struct {
	// Actor names who asks, for people: team/key for the bearer of a key, free text for a Signal.
	Actor     string    `json:"actor,omitempty"`
	KeyID     uuid.UUID `json:"key_id,omitzero"`
	Team      string    `json:"team,omitempty"`
	Role      Role      `json:"role,omitempty"`
	RequestID string    `json:"request_id,omitempty"`
	Address   string    `json:"address,omitempty"`
	// Success is the status that the request is answered with when it succeeds; 0 for what is no request.
	Success int `json:"success,omitempty"`
}

// Grant is a request that is allowed: what it may do, and to whose rows. Use cases make it by their first line;
// no store takes anything else, so that nothing is changed for a request that was not looked at.
type Grant struct {
	Request
	Permission Permission
	Scope      Scope
}

// authorize allows the request what the table of accesses says. Errors: CodeUnauthenticated, CodeForbidden.
func (r Request) authorize(p Permission) (Grant, error) {
	if !r.Caller.Known() {
		return Grant{}, Unauthenticated("This request requires an API key; send it in the header X-API-Key.")
	}
	grant := Grant{Request: r, Permission: p}
	switch {
	case r.Caller.Role == RolePlatformTeam && p.Access() != AccessNobody:
		grant.Scope = EveryTeam
	case r.Caller.Role == RoleProductTeam && (p.Access() == AccessOwn || p.Access() == AccessAll):
		grant.Scope = OfTeam(r.Caller.Team)
	default:
		return Grant{}, Forbidden("Only the platform team may do this; contact the platform team.")
	}
	return grant, nil
}

// TakesTime is the grant for what an operation carries out.
func (g Grant) TakesTime() Grant {
	g.Success = g.Accepted
	return g
}

// owner is the team that is to own what the request makes: the one it names, or the caller's own. Errors:
// CodeForbidden.
func (g Grant) owner(named string) (string, error) {
	if named == "" {
		return g.Caller.Team, nil
	}
	if !g.Scope.Covers(named) {
		return "", Forbidden("A product team can create databases only for itself: omit owner_team, or name your own "+
			"team.",
			Detail{Field: "owner_team", Message: "must be your own team"})
	}
	return named, nil
}
