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

// requestOf is the request of ctx as the domain knows it.
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

// resourceOf is what the request's path names; zero where it names none.
func resourceOf(x *exchange, op operation) daap.Resource {
	for _, arg := range x.route.Args() {
		if id, err := uuid.Parse(arg); err == nil {
			return daap.Resource{Kind: op.resource, ID: id}
		}
	}
	return daap.Resource{}
}

// addressOf is where the request comes from: the other end of the connection, or, where that is a trusted proxy,
// the last address in X-Forwarded-For that is none.
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
			break // what is left of it, the proxy did not write
		}
		address = before
	}
	return address.Unmap().WithZone("").String()
}

// parseHop reads an address, which some proxies write with its port.
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
