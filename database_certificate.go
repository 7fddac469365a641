package daap

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// CABundle is PEM for sslrootcert: the CA certificate in use, followed by earlier ones. During a renewal, connections
// verify with one of them. The zero value means that none is known.
type CABundle string

// With returns the bundle after the PEM certificates in the text came into use: they come first, and certificates that
// have expired are left out. It fails if the text contains no certificate.
func (b CABundle) With(inUse string, now time.Time) (CABundle, error) {
	first, err := certificatesIn(inUse)
	if err != nil {
		return b, err
	}
	var before []*x509.Certificate
	if b != "" {
		if before, err = certificatesIn(string(b)); err != nil {
			return b, err
		}
	}
	return bundle(first, before, now), nil
}

// AsOf returns the part of the bundle that is handed out: expired certificates are left out, except those in use.
func (b CABundle) AsOf(now time.Time) (CABundle, error) {
	all, err := certificatesIn(string(b))
	if err != nil {
		return "", err
	}
	return bundle(all[:1], all[1:], now), nil
}

// ExpiresAt returns when the certificate in use expires.
func (b CABundle) ExpiresAt() (time.Time, error) {
	all, err := certificatesIn(string(b))
	if err != nil {
		return time.Time{}, err
	}
	return all[0].NotAfter, nil
}

func bundle(inUse, before []*x509.Certificate, now time.Time) CABundle {
	var text strings.Builder
	write := func(c *x509.Certificate) {
		text.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	for _, c := range inUse {
		write(c)
	}
	for _, c := range before {
		if c.NotAfter.After(now) && !slices.ContainsFunc(inUse, c.Equal) {
			write(c)
		}
	}
	return CABundle(text.String())
}

// certificatesIn parses PEM with at least one certificate. Other blocks are ignored.
func certificatesIn(text string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read a CA certificate: %w", err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("read a CA certificate: it is not PEM")
	}
	return all, nil
}

// ChangedCA returns the event for a new CA certificate; false if the certificate in use is unchanged or was unknown
// before.
func ChangedCA(database uuid.UUID, was, is CABundle) (Event, bool) {
	before, err := certificatesIn(string(was))
	if err != nil {
		return Event{}, false
	}
	now, err := certificatesIn(string(is))
	if err != nil || now[0].Equal(before[0]) {
		return Event{}, false
	}
	day := func(c *x509.Certificate) string { return c.NotAfter.UTC().Format(time.DateOnly) }
	return Event{DatabaseID: database, Kind: EventCACertificateChanged, Message: fmt.Sprintf(
		"A new CA certificate is in use, valid until %s. Clients need it before the previous one expires on %s: get the "+
			"connection details again.", day(now[0]), day(before[0]))}, true
}

// CertificateHealth summarizes how long the CA certificate of a database is still valid.
type CertificateHealth string

// The healths of a CA certificate.
const (
	CertificateOK       CertificateHealth = "ok"
	CertificateExpiring CertificateHealth = "expiring"
	CertificateExpired  CertificateHealth = "expired"
)

// CertificateHealths returns all healths of a CA certificate.
func CertificateHealths() []CertificateHealth {
	return []CertificateHealth{CertificateOK, CertificateExpiring, CertificateExpired}
}

// expiringWithin is the remaining validity from which a CA certificate counts as expiring. A certificate that is
// renewed in time never gets there.
const expiringWithin = 30 * 24 * time.Hour

// CertificateHealth returns the health of the CA certificate in use; false if none is known or the database no longer
// accepts connections.
func (db Database) CertificateHealth(now time.Time) (CertificateHealth, bool) {
	switch {
	case db.CAExpiresAt == nil || db.Status == DatabaseArchived || db.Status == DatabaseDeleted:
		return "", false
	case !now.Before(*db.CAExpiresAt):
		return CertificateExpired, true
	case db.CAExpiresAt.Sub(now) < expiringWithin:
		return CertificateExpiring, true
	}
	return CertificateOK, true
}
