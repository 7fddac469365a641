package activities

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/daap-dev/daap"
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
// provably futile; everything else is tried again. It must be the outermost error, where Temporal looks. Its details
// are the cause, where one is known.
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
			return withCause(e, because(daap.CausePlatformPostgresDown, "%s", e.Message))
		}
		return err
	}
	cause := causeOf(err)
	if cause == nil {
		return err
	}
	return temporal.NewApplicationErrorWithOptions(err.Error(), string(cause.Code), temporal.ApplicationErrorOptions{
		NonRetryable: futile(err) && (cause.Code != daap.CauseForbidden || attempt >= grantTries),
		Details:      []any{*cause},
	})
}

// futile says whether Kubernetes understood the request and refuses it for good: the same again is refused again,
// until a person mends something.
func futile(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err) ||
		apierrors.IsForbidden(err) && !terminating(err)
}

// terminating says whether an object is refused because its namespace is being deleted, which passes.
func terminating(err error) bool { return apierrors.HasStatusCause(err, "NamespaceTerminating") }

// causeOf finds in an error of Kubernetes or of the network why a call did not succeed; nil where it does not tell.
func causeOf(err error) *daap.Cause {
	var code daap.CauseCode
	switch text := err.Error(); {
	case strings.Contains(text, "failed calling webhook"): // the API server has no reason of its own for it
		code = daap.CauseOperatorDown
	case apierrors.IsForbidden(err) && strings.Contains(text, "exceeded quota"): // nor for this
		code = daap.CauseQuota
	case apierrors.IsForbidden(err) && strings.Contains(text, "cannot "): // RBAC: "User … cannot create …"
		code = daap.CauseForbidden
	case futile(err):
		code = daap.CauseRejected
	case unanswered(err):
		code = daap.CauseConnectFailed
	case unreachable(err):
		code = daap.CauseKubernetesDown
	default:
		return nil
	}
	return because(code, "%s", err.Error())
}

// unreachable says whether Kubernetes did not answer, or said that it cannot just now.
func unreachable(err error) bool {
	if apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) {
		return true
	}
	var network *net.OpError
	return errors.As(err, &network)
}

// final is the error of what is futile until a person mends its cause.
func final(cause *daap.Cause) error {
	return temporal.NewApplicationErrorWithOptions(cause.Message, string(cause.Code), temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{*cause},
	})
}

// isGone says whether the error is that the Cluster is gone.
func isGone(err error) bool {
	cause := knownCause(err)
	return cause != nil && cause.Code == daap.CauseClusterGone
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
