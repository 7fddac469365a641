package daap

import (
	"fmt"

	"github.com/google/uuid"
)

// Caller is the bearer of a verified API key. The zero value is an unknown caller.
type Caller struct {
	KeyID uuid.UUID
	// KeyName is the name of the key.
	KeyName string
	Team    string
	Role    Role
}

// Known reports whether the caller is authenticated.
func (c Caller) Known() bool { return c.Role != "" }

// String returns the caller as team/key, for people; empty for an unknown caller.
func (c Caller) String() string {
	if !c.Known() {
		return ""
	}
	return fmt.Sprintf("%s/%s", c.Team, c.KeyName)
}

// Request identifies a request and its caller.
type Request struct {
	Caller Caller
	// ID identifies the request in logs and in the audit log.
	ID string
	// Address is the client's address; empty if unknown.
	Address string
	// Resource is the resource in the request's path; zero if there is none, as for a list.
	Resource Resource
	// Success is the status of the response if the request succeeds, and Accepted if it takes time.
	Success, Accepted int
	Once              Once
	// DryRun means that the request only asks for its effect: all checks apply, and nothing changes.
	DryRun bool
}

// Origin returns the origin of the request, which is stored with its changes.
func (r Request) Origin() Origin {
	return Origin{
		Actor: r.Caller.String(), KeyID: r.Caller.KeyID, Team: r.Caller.Team, Role: r.Caller.Role,
		RequestID: r.ID, Address: r.Address, Success: r.Success,
	}
}

// Origin is where a change comes from. It is stored with operations and decisions, so that the audit log records later
// changes by a workflow under the caller who requested them.
type Origin struct {
	// Actor names the caller, for people: team/key for the bearer of a key, free text for a Signal.
	Actor     string    `json:"actor,omitempty"`
	KeyID     uuid.UUID `json:"key_id,omitzero"`
	Team      string    `json:"team,omitempty"`
	Role      Role      `json:"role,omitempty"`
	RequestID string    `json:"request_id,omitempty"`
	Address   string    `json:"address,omitempty"`
	// Success is the status of the response if the request succeeds; 0 if there is no request.
	Success int `json:"success,omitempty"`
}

// Grant is an authorized request: its permission and the rows it may use. Use cases create it first, and stores accept
// nothing else, so no change happens without authorization.
type Grant struct {
	Request
	Permission Permission
	Scope      Scope
}

// authorize checks the request against the table of accesses. Errors: CodeUnauthenticated, CodeForbidden.
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

// AsAccepted returns the grant for a request that an operation carries out.
func (g Grant) AsAccepted() Grant {
	g.Success = g.Accepted
	return g
}

// owner returns the team that will own the new resource: the named one, or the caller's. Errors: CodeForbidden.
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
