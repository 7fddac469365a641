package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// The codes of HTTP itself, which the domain does not have.
const (
	codeMalformedRequest     daap.Code = "malformed_request"
	codeMethodNotAllowed     daap.Code = "method_not_allowed"
	codeRequestTooLarge      daap.Code = "request_too_large"
	codeUnsupportedMediaType daap.Code = "unsupported_media_type"
)

var statusOf = map[daap.Code]int{
	codeMalformedRequest:          http.StatusBadRequest,
	daap.CodeUnauthenticated:      http.StatusUnauthorized,
	daap.CodeForbidden:            http.StatusForbidden,
	daap.CodeNotFound:             http.StatusNotFound,
	codeMethodNotAllowed:          http.StatusMethodNotAllowed,
	daap.CodeNameTaken:            http.StatusConflict,
	daap.CodeDatabaseBusy:         http.StatusConflict,
	daap.CodeWrongStatus:          http.StatusConflict,
	daap.CodeDecisionRefused:      http.StatusConflict,
	daap.CodeRequestInProgress:    http.StatusConflict,
	daap.CodeQuotaExceeded:        http.StatusUnprocessableEntity,
	daap.CodeTierInUse:            http.StatusConflict,
	daap.CodeDeletionProtected:    http.StatusConflict,
	daap.CodeKeyNotActive:         http.StatusConflict,
	codeRequestTooLarge:           http.StatusRequestEntityTooLarge,
	codeUnsupportedMediaType:      http.StatusUnsupportedMediaType,
	daap.CodeValidationFailed:     http.StatusUnprocessableEntity,
	daap.CodeIdempotencyKeyReused: http.StatusUnprocessableEntity,
	daap.CodeRateLimited:          http.StatusTooManyRequests,
	daap.CodeInternal:             http.StatusInternalServerError,
	daap.CodeUnavailable:          http.StatusServiceUnavailable,
}

// retryAfterOf lists the codes for which waiting is the remedy, with the seconds to wait.
var retryAfterOf = map[daap.Code]int{
	daap.CodeRequestInProgress: 2,
	daap.CodeUnavailable:       5,
}

// NewError is the only place where an error gets a status. An error that is not made for people is logged and returned
// as an internal failure with the request ID.
func (h *Handler) NewError(ctx context.Context, err error) *oas.ErrorStatusCodeWithHeaders {
	x := exchangeOf(ctx)
	e := forPeople(err, x.requestID)
	status := statusOf[e.Code]
	if status >= http.StatusInternalServerError {
		level := zap.ErrorLevel
		if errors.Is(err, context.Canceled) { // the client disconnected, or the service is stopping
			level = zap.InfoLevel
		}
		h.log.Log(level, "request failed",
			zap.String("request_id", x.requestID), zap.String("route", x.route.OperationID()), zap.Error(err))
	}
	return &oas.ErrorStatusCodeWithHeaders{
		StatusCode:      status,
		RetryAfter:      retryAfterTo(e),
		WWWAuthenticate: oas.OptString{Value: challenge, Set: status == http.StatusUnauthorized},
		Response:        errorToOAS(e, x.requestID),
	}
}

// challenge names the authentication scheme (RFC 6750).
const challenge = `Bearer realm="daap"`

// retryAfterTo returns the number of whole seconds to wait, if waiting is the remedy.
func retryAfterTo(e *daap.Error) oas.OptInt {
	if e.RetryAfter > 0 {
		return oas.NewOptInt(int((e.RetryAfter + time.Second - 1) / time.Second))
	}
	seconds, may := retryAfterOf[e.Code]
	return oas.OptInt{Value: seconds, Set: may}
}

// forPeople returns the error for people in err's chain, or creates one.
func forPeople(err error, requestID string) *daap.Error {
	if e := daap.AsError(err); e != nil && statusOf[e.Code] != 0 {
		return e
	}
	var tooLarge *http.MaxBytesError
	switch {
	case withoutKey(err):
		return daap.Unauthenticated("This request requires an API key; send it in the header X-API-Key.")
	case errors.As(err, &tooLarge):
		return &daap.Error{Code: codeRequestTooLarge, Message: "The body is larger than 64 KiB; send a smaller one."}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return daap.Unavailable("The service did not answer in time; try again.")
	}
	return &daap.Error{
		Code:    daap.CodeInternal,
		Message: "The service failed; try again, or give the platform team request ID " + requestID + ".",
	}
}

// refuse responds to requests that the generated server could not decode, and replaces responses that it could not
// encode.
func (h *Handler) refuse(_ context.Context, w http.ResponseWriter, r *http.Request, err error) {
	h.fail(w, r, h.contract.explain(r, err))
}

func (h *Handler) noRoute(w http.ResponseWriter, r *http.Request) {
	h.fail(w, r, daap.NotFound("route"))
}

// wrongMethod responds to OPTIONS, and to methods that the route does not support.
func (h *Handler) wrongMethod(w http.ResponseWriter, r *http.Request, allowed string) {
	methods := strings.ReplaceAll(allowed, ",", ", ")
	if strings.Contains(allowed, http.MethodGet) {
		methods += ", " + http.MethodHead
	}
	methods += ", " + http.MethodOptions
	w.Header().Set("Allow", methods)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h.fail(w, r, &daap.Error{
		Code:    codeMethodNotAllowed,
		Message: "This route does not support the method; it supports " + methods + ".",
	})
}

// fail responds with err. A response that has begun can only be cut off.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	if x := exchangeOf(r.Context()); x.answered() {
		x.cutOff = true
		h.log.Info("answer cut off", zap.String("request_id", x.requestID), zap.Error(err))
		panic(http.ErrAbortHandler)
	}
	answer := h.NewError(r.Context(), err)
	body, err := answer.Response.MarshalJSON()
	if err != nil {
		h.log.Error("encode an error", zap.Error(err))
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if challenge, is := answer.WWWAuthenticate.Get(); is {
		w.Header().Set("WWW-Authenticate", challenge)
	}
	if seconds, may := answer.RetryAfter.Get(); may {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(body) // a disconnected client needs no response
}
