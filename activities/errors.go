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

// The types of application errors that workflows tell apart, beside the codes of causes.
const (
	// ErrorSuperseded: the operation is over, lost its database or goes the other way; whoever works for it
	// changes nothing more.
	ErrorSuperseded = "Superseded"
	// ErrorRefused: a decision cannot be taken; the message is the sentence that says why.
	ErrorRefused = "Refused"
	// ErrorNotReady: what an activity waits for is not so yet; it is tried again.
	ErrorNotReady = "NotReady"
)

// grantTries is for how many tries a missing right may be one that is there: each API server sees a RoleBinding in its
// own time, and one that has just started knows of none. With the pauses between them that is half a minute.
const grantTries = 7

// classify makes of what the attempt of an activity met the error that Temporal acts on. Final is only what is
// provably diagnosis.Futile; everything else is tried again. It must be the outermost error, where Temporal looks. Its
// details are the cause, where one is known.
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
		if e.Code == daap.CodeUnavailable { // of DAAP's own rows; what the driver says of it is for the log
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

// causeOf returns why a call of an activity failed, where its error tells; nil where it does not.
func causeOf(err error) *daap.Cause {
	if postgres.Unanswered(err) {
		return diagnosis.Cause(daap.CauseConnectFailed, "%s", err.Error())
	}
	return diagnosis.FromError(err)
}

// fromBelow returns the error that Temporal acts on for one of the packages below that has a cause of its own; nil for
// all others.
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

// final is the error of what is diagnosis.Futile until a person mends its cause.
func final(cause *daap.Cause) error {
	return temporal.NewApplicationErrorWithOptions(cause.Message, string(cause.Code), temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{*cause},
	})
}

// withCause gives an error of an activity the cause that was found for it; it is tried again.
func withCause(err error, cause *daap.Cause) error {
	if err == nil || cause == nil {
		return err
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), string(cause.Code),
		temporal.ApplicationErrorOptions{Details: []any{*cause}})
}

// notReady is the error of a wait that ran out of its try. The next try begins at once: a wait sleeps
// within itself. After the last try of a step the next one would come after its deadline, so that the step ends.
func notReady(progress string, cause *daap.Cause, last bool) error {
	options := temporal.ApplicationErrorOptions{
		NextRetryDelay: time.Second,
		Category:       temporal.ApplicationErrorCategoryBenign,
	}
	if last {
		options.NextRetryDelay = 2 * lastWords
	}
	if cause == nil {
		return temporal.NewApplicationErrorWithOptions(progress, ErrorNotReady, options)
	}
	options.Details = []any{*cause}
	return temporal.NewApplicationErrorWithOptions(progress, string(cause.Code), options)
}

// Cause says to people why an activity failed for good or until its deadline. title names its step.
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

// Reason is the sentence at the heart of a failed activity, without the engine's own words around it.
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
