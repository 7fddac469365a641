// Package api is the HTTP edge: it turns requests into calls of the domain's use cases, and their results into the
// responses that openapi.yaml promises. It contains no rules about databases.
package api

import (
	"context"

	"go.uber.org/zap"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// Handler implements the operations of the contract.
type Handler struct {
	databases     *daap.Databases
	operations    *daap.Operations
	tiers         *daap.Tiers
	extensions    *daap.Extensions
	orphans       *daap.Orphans
	apiKeys       *daap.APIKeys
	auditLogs     *daap.AuditLogs
	authenticator authenticator
	auditor       auditor
	dependencies  []daap.Dependency
	version       string
	contract      *contract
	log           *zap.Logger
}

// auditor records requests that change nothing, without blocking them.
type auditor interface{ Add(entry daap.AuditEntry) }

var _ oas.Handler = (*Handler)(nil)

// noError and noData are the empty halves of the envelope.
var (
	noError = oas.NilNoError{Null: true}
	noData  = oas.NilNoData{Null: true}
)

func meta(ctx context.Context) oas.Meta {
	return oas.Meta{RequestID: exchangeOf(ctx).requestID}
}

func pageMeta(ctx context.Context, next string) oas.PageMeta {
	return oas.PageMeta{
		RequestID:  exchangeOf(ctx).requestID,
		NextCursor: nilString(next),
	}
}
