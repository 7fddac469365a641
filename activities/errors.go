package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/cluster"
	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/objectstore"
	"github.com/daap-dev/daap/activities/postgres"
)

// The types of application errors that workflows distinguish, in addition to the codes of causes.
const (
	// ErrorSuperseded: the operation is over, lost its database or changed direction; its activities must not change
	// anything any more.
	ErrorSuperseded = "Superseded"
	// ErrorRefused: a decision cannot be carried out; the message is a sentence that says why.
	ErrorRefused = "Refused"
	// ErrorNotReady: the condition that an activity waits for is not met yet; the activity is retried.
	ErrorNotReady = "NotReady"
)

// grantTries is the number of attempts in which a missing right may still appear: each API server observes a
// RoleBinding with its own delay, and a newly started one has not loaded any. With the pauses between the attempts,
// that is half a minute.
const grantTries = 7

// classify turns the error of an activity's attempt into the error that Temporal acts on. Only diagnosis.Futile errors
// are final; all others are retried. The result must be the outermost error, as Temporal reads only that. Its details
// are the cause, if one is known.
func classify(err error, attempt int) error {
	var already *temporal.ApplicationError
	switch {
	case err == nil, errors.As(err, &already), temporal.IsCanceledError(err):
		return err
	case errors.Is(err, daap.ErrSuperseded):
		return temporal.NewNonRetryableApplicationError(err.Error(), ErrorSuperseded, nil)
	}
	if e := daap.AsError(err); e != nil {
		if e.Code == daap.CodeDecisionRefused {
			return temporal.NewNonRetryableApplicationError(e.Message, ErrorRefused, nil)
		}
		if e.Code == daap.CodeUnavailable { // DAAP's own database; the driver's text is for the log only
			return withCause(e, diagnosis.Cause(daap.CausePlatformPostgresDown, "%s", e.Message))
		}
		return err
	}
	if known := fromBelow(err); known != nil {
		return known
	}
	cause := causeOf(err)
	if cause == nil {
		return err
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), string(cause.Code), temporal.ApplicationErrorOptions{
		NonRetryable: diagnosis.Futile(err) && (cause.Code != daap.CauseForbidden || attempt >= grantTries),
		Details:      []any{*cause},
	})
}

// causeOf returns why a call of an activity failed, if its error shows that; otherwise nil.
func causeOf(err error) *daap.Cause {
	if postgres.Unanswered(err) {
		return diagnosis.Cause(daap.CauseConnectFailed, "%s", err.Error())
	}
	return diagnosis.FromError(err)
}

// fromBelow returns the error that Temporal acts on for the errors of the packages below that have a cause of their
// own; nil for all others.
func fromBelow(err error) error {
	var gone *cluster.GoneError
	var ofStore *objectstore.Error
	switch {
	case errors.As(err, &gone):
		return final(diagnosis.Cause(daap.CauseClusterGone, "%s", gone.Error()))
	case errors.Is(err, objectstore.ErrNoStore):
		return final(diagnosis.Cause(daap.CauseS3Denied,
			"The database has backups, but the worker has no object store: DAAP_BACKUP_ENDPOINT is not set"))
	case errors.As(err, &ofStore) && diagnosis.ObjectLocked(ofStore.Error()):
		return final(diagnosis.Cause(daap.CauseObjectLocked, "%s", ofStore.Error()))
	case errors.As(err, &ofStore):
		return withCause(err, diagnosis.Cause(daap.CauseS3Denied, "%s", ofStore.Error()))
	}
	return nil
}

// final returns an error that is not retried: it is diagnosis.Futile until a person fixes its cause.
func final(cause *daap.Cause) error {
	return temporal.NewApplicationErrorWithOptions(cause.Message, string(cause.Code), temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{*cause},
	})
}

// withCause adds the cause to an activity's error, which is retried.
func withCause(err error, cause *daap.Cause) error {
	if err == nil || cause == nil {
		return err
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), string(cause.Code),
		temporal.ApplicationErrorOptions{Details: []any{*cause}})
}

// notReady is the error of a wait whose attempt timed out. The next attempt begins at once, as a wait sleeps within
// itself. After the last attempt of a step, the next one would begin after the step's deadline, so that the step ends.
func notReady(progress string, cause *daap.Cause, last bool) error {
	options := temporal.ApplicationErrorOptions{
		NextRetryDelay: time.Second,
		Category:       temporal.ApplicationErrorCategoryBenign,
	}
	if last {
		options.NextRetryDelay = 2 * finalReport
	}
	if cause == nil {
		return temporal.NewApplicationErrorWithOptions(progress, ErrorNotReady, options)
	}
	options.Details = []any{*cause}
	return temporal.NewApplicationErrorWithOptions(progress, string(cause.Code), options)
}

// Cause explains to people why an activity failed for good or missed its deadline. title names its step.
func Cause(err error, title string) daap.Cause {
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.HasDetails() {
		var cause daap.Cause
		if app.Details(&cause) == nil && cause.Code != "" {
			return cause
		}
	}
	return daap.NewCause(daap.CauseDeadline, "%s: did not finish in time; most recently: %s", title, clip(Reason(err)))
}

// Reason returns the message of a failed activity without the text that Temporal adds.
func Reason(err error) string {
	var app *temporal.ApplicationError
	var late *temporal.TimeoutError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &app):
		return app.Message()
	case errors.As(err, &late):
		var progress string
		if late.HasLastHeartbeatDetails() && late.LastHeartbeatDetails(&progress) == nil {
			return "no worker finished an attempt; the last one reported: " + progress
		}
		return "no worker finished an attempt; check that a worker is running"
	case errors.Is(err, context.DeadlineExceeded):
		return "the attempt did not finish in time"
	}
	return fmt.Sprint(err)
}
