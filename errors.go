package daap

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Code names a kind of failure; it is stable, and part of the API.
type Code string

// The codes of the domain. The HTTP edge gives each its status and adds those of HTTP's own.
const (
	CodeInternal         Code = "internal"
	CodeNotFound         Code = "not_found"
	CodeValidationFailed Code = "validation_failed"
	CodeNameTaken        Code = "name_taken"
	CodeDatabaseBusy     Code = "database_busy"
	CodeWrongStatus      Code = "wrong_status"
	CodeUnavailable      Code = "unavailable"
	// CodeDecisionRefused: the operation is not where the decision could be taken.
	CodeDecisionRefused Code = "decision_refused"
	// CodeIdempotencyKeyReused: the key was used for another request.
	CodeIdempotencyKeyReused Code = "idempotency_key_reused"
	// CodeRequestInProgress: a twin of the request is being carried out.
	CodeRequestInProgress Code = "request_in_progress"
	// CodeUnauthenticated: nobody is known to ask.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeForbidden: who asks may not.
	CodeForbidden Code = "forbidden"
	// CodeRateLimited: who asks does so too often.
	CodeRateLimited Code = "rate_limited"
	// CodeQuotaExceeded: the tier's quota has no room.
	CodeQuotaExceeded Code = "quota_exceeded"
	// CodeDeletionProtected: the database is protected from deletion.
	CodeDeletionProtected Code = "deletion_protected"
	// CodeTierInUse: databases have the tier.
	CodeTierInUse Code = "tier_in_use"
	// CodeKeyNotActive: the API key is revoked or has expired.
	CodeKeyNotActive Code = "key_not_active"
)

// Error is a failure made for people: Message says what happened, why, and what to do now.
type Error struct {
	Code    Code
	Message string
	// Details name the fields (or dependencies) at fault, one by one.
	Details []Detail
	// Operation is the operation that holds the database, with CodeDatabaseBusy.
	Operation uuid.UUID
	// RetryAfter is when the same request may fare better, with CodeRateLimited.
	RetryAfter time.Duration
}

// Detail says what is wrong with one field.
type Detail struct {
	Field   string
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// AsError returns the Error in err's chain, or nil where err was not made for people.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// NotFound is the error for a resource that does not exist, such as NotFound("database").
func NotFound(noun string) *Error {
	return &Error{Code: CodeNotFound, Message: "There is no such " + noun + "."}
}

// Invalid is the error for input that breaks rules; details name each field.
func Invalid(details ...Detail) *Error {
	message := "Several fields of the request are not valid; see details."
	if len(details) == 1 {
		message = details[0].Field + " " + details[0].Message + "."
	}
	return &Error{Code: CodeValidationFailed, Message: message, Details: details}
}

// NameTaken is the error for a name that another live database of the team has.
func NameTaken(team, name string) *Error {
	return &Error{
		Code: CodeNameTaken,
		Message: fmt.Sprintf("Team %s already has a database named %s; choose another name, or delete that database "+
			"first.",
			team, name),
		Details: []Detail{{Field: "name", Message: "is already in use"}},
	}
}

// Busy is the error for a database that the given operation holds.
func Busy(op Operation) *Error {
	return &Error{
		Code: CodeDatabaseBusy,
		Message: fmt.Sprintf("Operation %s (%s, %s) holds the database; wait until it is over.",
			op.ID, op.Kind, op.State),
		Operation: op.ID,
	}
}

// BeingRead is the error for a database whose archive the given operation reads.
func BeingRead(op Operation) *Error {
	return &Error{
		Code: CodeDatabaseBusy,
		Message: fmt.Sprintf("Operation %[2]s is restoring database %[1]s from this one; wait until it is over, or "+
			"abort it.", op.DatabaseName, op.ID),
		Operation: op.ID,
	}
}

// WrongStatus is the error for a request that the database's status does not allow.
func WrongStatus(status DatabaseStatus, what string) *Error {
	return &Error{
		Code:    CodeWrongStatus,
		Message: fmt.Sprintf("The database is %s and %s.", status, what),
	}
}

// DeletionProtected is the error for what would take a database away that is protected from that.
func DeletionProtected() *Error {
	return &Error{
		Code: CodeDeletionProtected,
		Message: "The database is protected from deletion; turn the protection off first, with PATCH and " +
			`{"deletion_protection": false}.`,
	}
}

// Unavailable is the error for a request that cannot be served while a dependency is down.
func Unavailable(message string, details ...Detail) *Error {
	return &Error{Code: CodeUnavailable, Message: message, Details: details}
}

// Unauthenticated is the error for a request of which it is not known who asks.
func Unauthenticated(message string) *Error {
	return &Error{Code: CodeUnauthenticated, Message: message}
}

// Forbidden is the error for what who asks may not do, whatever it is about.
func Forbidden(message string, details ...Detail) *Error {
	return &Error{Code: CodeForbidden, Message: message, Details: details}
}

// RateLimited is the error for what was asked too often; it may be asked again after the given time.
func RateLimited(message string, after time.Duration) *Error {
	return &Error{Code: CodeRateLimited, Message: message, RetryAfter: after}
}

// KeyNotActive is the error for a change of a key that is over.
func KeyNotActive(why string) *Error { return &Error{Code: CodeKeyNotActive, Message: why} }

// ErrNoWorkflow says that an operation has no workflow that could be told anything: it is not begun, or over,
// or lost.
var ErrNoWorkflow = errors.New("operation has no open workflow")

// ErrSuperseded says that an operation no longer holds its database: it is over, or another one took the
// database over. Whoever works for it must stop and change nothing more.
var ErrSuperseded = errors.New("operation no longer holds its database")
