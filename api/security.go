package api

import (
	"context"
	"errors"

	"github.com/ogen-go/ogen/ogenerrors"
	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// authenticator authenticates the bearer of a key at an address. With an error it still returns what it knows about the
// caller, for the audit log.
type authenticator interface {
	Authenticate(ctx context.Context, presented, address string) (daap.Caller, error)
}

var _ oas.SecurityHandler = (*Handler)(nil)

// HandleApiKey authenticates the header X-API-Key.
func (h *Handler) HandleApiKey(ctx context.Context, _ oas.OperationName, key oas.ApiKey) (context.Context, error) {
	return ctx, h.authenticate(ctx, key.APIKey)
}

// HandleBearer authenticates the header Authorization.
func (h *Handler) HandleBearer(ctx context.Context, _ oas.OperationName, key oas.Bearer) (context.Context, error) {
	return ctx, h.authenticate(ctx, key.Token)
}

// authenticate authenticates the request. The same key in both headers is checked once; two different keys are refused.
func (h *Handler) authenticate(ctx context.Context, presented string) error {
	x := exchangeOf(ctx)
	switch {
	case presented != "" && x.presented == presented:
		return nil
	case x.presented != "" || x.manyKeys:
		return daap.Unauthenticated("The request has more than one API key; send one.")
	}
	x.presented = presented
	caller, err := h.authenticator.Authenticate(ctx, presented, x.address)
	if caller.Known() {
		x.caller = caller
		x.note(zap.Stringer("key_id", caller.KeyID), zap.String("team", caller.Team))
	}
	return err
}

// withoutKey reports whether the generated server refused a request for lack of a key.
func withoutKey(err error) bool {
	var security *ogenerrors.SecurityError
	return errors.As(err, &security) && errors.Is(err, ogenerrors.ErrSecurityRequirementIsNotSatisfied)
}
