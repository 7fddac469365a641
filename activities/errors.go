package activities

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/daap-dev/daap"
)

// The types of application errors that workflows tell apart.
const (
	// ErrorSuperseded: the operation is over or lost its database; its workflow ends and changes nothing.
	ErrorSuperseded = "Superseded"
	// ErrorRejected: trying the same again is futile; the operation parks at once.
	ErrorRejected = "Rejected"
	// ErrorNotReady: what an activity waits for is not so yet; it is tried again.
	ErrorNotReady = "NotReady"
)

// classify makes of what an activity met the error that Temporal acts on. Final is only what is provably
// futile; everything else is tried again. It must be the outermost error, where Temporal looks.
func classify(err error) error {
	var already *temporal.ApplicationError
	switch {
	case err == nil, errors.As(err, &already), temporal.IsCanceledError(err):
		return err
	case errors.Is(err, daap.ErrSuperseded):
		return temporal.NewNonRetryableApplicationError(err.Error(), ErrorSuperseded, nil)
	case rejected(err):
		return temporal.NewNonRetryableApplicationError(err.Error(), ErrorRejected, nil)
	default:
		return err
	}
}

// rejected says whether Kubernetes understood the request and refused it for good.
func rejected(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) ||
		apierrors.IsMethodNotSupported(err)
}

// notReady is the error of a wait that ran out of its try. The next try begins at once: a wait sleeps
// within itself.
func notReady(progress string) error {
	return temporal.NewApplicationErrorWithOptions(progress, ErrorNotReady, temporal.ApplicationErrorOptions{
		NextRetryDelay: time.Second,
		Category:       temporal.ApplicationErrorCategoryBenign,
	})
}

// Reason is the sentence at the heart of a failed activity, without the engine's own words around it.
func Reason(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	if err == nil {
		return ""
	}
	return fmt.Sprint(err)
}
