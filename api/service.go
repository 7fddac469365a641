package api

import (
	"context"

	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// GetHealth returns the state of the service and its dependencies; 503 if it can accept no request. GET /health
func (h *Handler) GetHealth(ctx context.Context) (*oas.HealthResponse, error) {
	checks := daap.Health(ctx, h.dependencies)
	h.logDown(ctx, checks)
	if down := requiredDown(checks); len(down) > 0 {
		return nil, daap.Unavailable("A dependency that the service needs is down; see details.", down...)
	}
	return &oas.HealthResponse{Data: healthToOAS(h.version, checks), Error: noError, Meta: meta(ctx)}, nil
}

// GetOpenAPI returns the contract as JSON. GET /openapi.json
func (h *Handler) GetOpenAPI(context.Context) (oas.GetOpenAPIOK, error) {
	return h.contract.document, nil
}

func requiredDown(checks []daap.HealthCheck) []daap.Detail {
	var down []daap.Detail
	for _, check := range checks {
		if check.Required && check.Err != nil {
			down = append(down, daap.Detail{Field: check.Name, Message: "is down"})
		}
	}
	return down
}

// logDown logs why a dependency is down; clients learn only that it is.
func (h *Handler) logDown(ctx context.Context, checks []daap.HealthCheck) {
	for _, check := range checks {
		if check.Err != nil {
			h.log.Warn("dependency is down",
				zap.String("dependency", check.Name),
				zap.Bool("required", check.Required),
				zap.String("request_id", exchangeOf(ctx).requestID),
				zap.Error(check.Err))
		}
	}
}
