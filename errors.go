package daap

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Code identifies a kind of failure; it is stable and part of the API.
type Code string

// The codes of the domain. The HTTP edge assigns a status to each and adds codes for HTTP itself.
const (
	CodeInternal         Code = "internal"
	CodeNotFound         Code = "not_found"
	CodeValidationFailed Code = "validation_failed"
	CodeNameTaken        Code = "name_taken"
	CodeDatabaseBusy     Code = "database_busy"
	CodeWrongStatus      Code = "wrong_status"
	CodeUnavailable      Code = "unavailable"
	// CodeDecisionRefused: the operation's state does not allow the decision.
	CodeDecisionRefused Code = "decision_refused"
	// CodeIdempotencyKeyReused: the key was used for a different request.
	CodeIdempotencyKeyReused Code = "idempotency_key_reused"
	// CodeRequestInProgress: a request with the same key is in progress.
	CodeRequestInProgress Code = "request_in_progress"
	// CodeUnauthenticated: the caller is unknown.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeForbidden: the caller lacks the permission.
	CodeForbidden Code = "forbidden"
	// CodeRateLimited: the caller sends too many requests.
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

// Error is a failure described for people: Message says what happened, why, and what to do.
type Error struct {
	Code    Code
	Message string
	// Details list the fields or dependencies at fault.
	Details []Detail
	// Operation is the operation that holds the database, with CodeDatabaseBusy.
	Operation uuid.UUID
	// RetryAfter is how long to wait before the same request can succeed, with CodeRateLimited.
	RetryAfter time.Duration
}

// Detail describes the problem with one field.
type Detail struct {
	Field   string
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// AsError returns the Error in err's chain, or nil if there is none.
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

// Invalid is the error for input that breaks rules; details lists the fields.
func Invalid(details ...Detail) *Error {
	message := "Several fields of the request are not valid; see details."
	if len(details) == 1 {
		message = details[0].Field + " " + details[0].Message + "."
	}
	return &Error{Code: CodeValidationFailed, Message: message, Details: details}
}

// NameTaken is the error for a name that another database of the team already has.
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

// DeletionProtected is the error for removing a database that is protected from deletion.
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

// Unauthenticated is the error for a request from an unknown caller.
func Unauthenticated(message string) *Error {
	return &Error{Code: CodeUnauthenticated, Message: message}
}

// Forbidden is the error for a request that the caller may not make.
func Forbidden(message string, details ...Detail) *Error {
	return &Error{Code: CodeForbidden, Message: message, Details: details}
}

// RateLimited is the error for too many requests; the caller may retry after the given time.
func RateLimited(message string, after time.Duration) *Error {
	return &Error{Code: CodeRateLimited, Message: message, RetryAfter: after}
}

// KeyNotActive is the error for changing a key that is revoked or has expired.
func KeyNotActive(why string) *Error { return &Error{Code: CodeKeyNotActive, Message: why} }

// ErrNoWorkflow means that an operation has no open workflow: it has not begun, is over, or its workflow was lost.
var ErrNoWorkflow = errors.New("operation has no open workflow")

// ErrSuperseded means that an operation no longer holds its database: it is over, or another operation took over. Code
// that works for it must stop and change nothing more.
var ErrSuperseded = errors.New("operation no longer holds its database")
