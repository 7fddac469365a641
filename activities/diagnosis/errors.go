package diagnosis

import (
	"errors"
	"net"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/daap-dev/daap"
)

// FromError returns the cause of an error of Kubernetes or of the network; nil if it shows none.
func FromError(err error) *daap.Cause {
	var code daap.CauseCode
	switch text := err.Error(); {
	case webhookWords.in(text):
		code = daap.CauseOperatorDown
	case apierrors.IsForbidden(err) && exceededWords.in(text): // the API server has no specific reason for it
		code = daap.CauseQuota
	case apierrors.IsForbidden(err) && rbacWords.in(text):
		code = daap.CauseForbidden
	case Futile(err):
		code = daap.CauseRejected
	case unreachable(err):
		code = daap.CauseKubernetesDown
	default:
		return nil
	}
	return Cause(code, "%s", err.Error())
}

// Futile reports whether Kubernetes understood the request and refuses it permanently: a retry is refused too, until a
// person fixes the cause.
func Futile(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err) ||
		apierrors.IsForbidden(err) && !terminating(err)
}

// terminating reports whether an object is refused because its namespace is being deleted, which is temporary.
func terminating(err error) bool { return apierrors.HasStatusCause(err, "NamespaceTerminating") }

// unreachable reports whether Kubernetes did not respond, or responded that it cannot serve the request for now.
func unreachable(err error) bool {
	if apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) {
		return true
	}
	var network *net.OpError
	return errors.As(err, &network)
}
