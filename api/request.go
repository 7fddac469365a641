package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// requestOf returns the domain's view of the request in ctx.
func (h *Handler) requestOf(ctx context.Context) daap.Request {
	return h.request(exchangeOf(ctx))
}

// beginDryRun marks the exchange as one that only asks what it would change, for the audit log too, and returns its
// request.
func (h *Handler) beginDryRun(ctx context.Context) daap.Request {
	x := exchangeOf(ctx)
	x.dryRun = true
	return h.request(x)
}

func (h *Handler) request(x *exchange) daap.Request {
	op := h.contract.operations[x.route.OperationID()]
	return daap.Request{
		Caller: x.caller, ID: x.requestID, Address: x.address, Resource: resourceOf(x, op),
		Success: op.success, Accepted: http.StatusAccepted, Once: x.once, DryRun: x.dryRun,
	}
}

// resourceOf returns the resource in the request's path; zero if there is none.
func resourceOf(x *exchange, op operation) daap.Resource {
	for _, arg := range x.route.Args() {
		if id, err := uuid.Parse(arg); err == nil {
			return daap.Resource{Kind: op.resource, ID: id}
		}
	}
	return daap.Resource{}
}

// addressOf returns the client's address: the connection's peer or, behind trusted proxies, the last address in
// X-Forwarded-For that is not a trusted proxy.
func addressOf(r *http.Request, trusted []netip.Prefix) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(forwarded) {
		if !isIn(address, trusted) {
			break
		}
		before, known := parseHop(strings.TrimSpace(hop))
		if !known {
			break // the rest was not written by the proxy
		}
		address = before
	}
	return address.Unmap().WithZone("").String()
}

// parseHop parses an address, which some proxies write with a port.
func parseHop(hop string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(hop); err == nil {
		return withPort.Addr(), true
	}
	address, err := netip.ParseAddr(hop)
	return address, err == nil
}

func isIn(address netip.Addr, networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address.Unmap()) })
}
