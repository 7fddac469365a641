package objectstore

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
)

// connectTimeout limits the connection to an object store.
const connectTimeout = 5 * time.Second

// DialGuard keeps clients of object stores from addresses of the machine or its cloud, whatever their names resolve to:
// loopback and link-local addresses, and services that hand out the machine's credentials. It allows private networks,
// where object stores usually are.
type DialGuard struct {
	// Allowed are networks that may be dialed despite that, such as 127.0.0.0/8 if everything runs on one machine.
	Allowed []netip.Prefix
	// Resolver resolves names; nil means the machine's own.
	Resolver *net.Resolver
}

// responseTimeout limits the time until an object store begins its response.
const responseTimeout = 30 * time.Second

// guarded are the networks that are not dialed; the first one that contains an address describes it.
var guarded = []struct {
	network netip.Prefix
	what    string
}{
	{netip.MustParsePrefix("169.254.169.254/32"), "a cloud's metadata service"},
	{netip.MustParsePrefix("fd00:ec2::254/128"), "a cloud's metadata service"},  // AWS
	{netip.MustParsePrefix("fd20:ce::254/128"), "a cloud's metadata service"},   // Google
	{netip.MustParsePrefix("100.100.100.200/32"), "a cloud's metadata service"}, // Alibaba
	{netip.MustParsePrefix("192.0.0.192/32"), "a cloud's metadata service"},     // Oracle
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud's metadata service"},   // Azure
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address"},
	{netip.MustParsePrefix("::/96"), "an unspecified address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
	{netip.MustParsePrefix("255.255.255.255/32"), "a broadcast address"},
}

// nat64 is the network whose addresses contain an IPv4 address in their last four bytes (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// Transport returns a guarded transport to object stores. It uses no proxy of the environment, because a proxy would
// resolve names without the guard. secure means TLS.
func (g DialGuard) Transport(secure bool) (*http.Transport, error) {
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, fmt.Errorf("create a transport to the object store: %w", err)
	}
	transport.Proxy = nil
	transport.DialContext = g.dial
	transport.ResponseHeaderTimeout = responseTimeout
	return transport, nil
}

// dial checks the address that is actually dialed, after the name was resolved, so that nothing can change it in
// between.
func (g DialGuard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{
		Timeout:  connectTimeout,
		Resolver: g.Resolver,
		ControlContext: func(_ context.Context, _, dialed string, _ syscall.RawConn) error {
			return g.check(address, dialed)
		},
	}
	return dialer.DialContext(ctx, network, address)
}

// check returns why the host's address is not dialed; nil if it is.
func (g DialGuard) check(host, dialed string) error {
	at, err := netip.ParseAddrPort(dialed)
	if err != nil {
		return fmt.Errorf("dial %s: %q is not an address", host, dialed)
	}
	address := plain(at.Addr())
	for _, network := range g.Allowed {
		if network.Contains(address) {
			return nil
		}
	}
	for _, refused := range guarded {
		if refused.network.Contains(address) {
			return fmt.Errorf("%s resolves to %s, %s, which is refused unless DAAP_S3_ALLOW contains its network",
				host, at.Addr(), refused.what)
		}
	}
	return nil
}

// plain returns the address without its zone; for an IPv6 address that contains an IPv4 address, the IPv4 address.
func plain(address netip.Addr) netip.Addr {
	if nat64.Contains(address) {
		bytes := address.As16()
		return netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return address.Unmap().WithZone("")
}
