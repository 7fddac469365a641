package daap_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// now is when the tests of certificates are.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// ca is the PEM of a CA certificate of the serial number that ends so many days from now.
func ca(t *testing.T, serial int64, days int) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "pg-1"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.AddDate(-10, 0, 0), NotAfter: now.AddDate(0, 0, days),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestBundleStartsWithTheCertificateInUse(t *testing.T) {
	t.Parallel()
	first, second, third, ended := ca(t, 1, 10), ca(t, 2, 3650), ca(t, 3, 3650), ca(t, 4, -1)
	for name, tt := range map[string]struct {
		uses []string
		want string
	}{
		"the first":         {[]string{first}, first},
		"the same again":    {[]string{first, first}, first},
		"another":           {[]string{first, second}, second + first},
		"a third":           {[]string{first, second, third}, third + second + first},
		"the one before":    {[]string{first, second, first}, first + second},
		"after the end":     {[]string{ended, second}, second},
		"one that is ended": {[]string{first, ended}, ended + first},
		"several at once":   {[]string{first, second + third}, second + third + first},
	} {
		var bundle daap.CABundle
		for _, use := range tt.uses {
			var err error
			if bundle, err = bundle.With(use, now); err != nil {
				t.Fatalf("%s: With() = %v", name, err)
			}
		}
		if string(bundle) != tt.want {
			t.Errorf("%s: the bundle is\n%s\nwant\n%s", name, bundle, tt.want)
		}
	}
	for _, text := range []string{"", "PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		if kept, err := daap.CABundle(first).With(text, now); err == nil || string(kept) != first {
			t.Errorf("With(%q) = %q, %v, want an error and the bundle as it was", text, kept, err)
		}
	}
}

func TestBundleOmitsExpiredCertificates(t *testing.T) {
	t.Parallel()
	soon, later := ca(t, 1, 10), ca(t, 2, 20)
	both := daap.CABundle(later + soon)
	for days, want := range map[int]string{9: later + soon, 11: later, 21: later} {
		got, err := both.AsOf(now.AddDate(0, 0, days))
		if err != nil || string(got) != want {
			t.Errorf("At() in %d days = %q, %v, want %q", days, got, err, want)
		}
	}
	if ends, err := both.ExpiresAt(); err != nil || !ends.Equal(now.AddDate(0, 0, 20)) {
		t.Errorf("ExpiresAt() = %s, %v, want the end of the one in use", ends, err)
	}
}

func TestCAChangeIsOneEventWithBothExpiries(t *testing.T) {
	t.Parallel()
	first, second := daap.CABundle(ca(t, 1, 10)), daap.CABundle(ca(t, 2, 3650))
	if _, changed := daap.ChangedCA(uuid.New(), "", first); changed {
		t.Error("the first one counts as a change")
	}
	if _, changed := daap.ChangedCA(uuid.New(), second+first, second); changed {
		t.Error("an expiry counts as a change of the one in use")
	}
	event, changed := daap.ChangedCA(uuid.New(), first, second+first)
	if !changed || !strings.Contains(event.Message, "until 2036-05-29") || !strings.Contains(event.Message, "on 2026-06-11") {
		t.Errorf("ChangedCA() = %+v, %t, want both ends", event, changed)
	}
}

func TestCertificateHealthWarnsBeforeExpiry(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		ends time.Duration
		want daap.CertificateHealth
	}{
		{31 * 24 * time.Hour, daap.CertificateOK},
		{29 * 24 * time.Hour, daap.CertificateExpiring},
		{time.Second, daap.CertificateExpiring},
		{0, daap.CertificateExpired},
		{-time.Hour, daap.CertificateExpired},
	} {
		ends := now.Add(tt.ends)
		db := daap.Database{Status: daap.DatabaseReady, CAExpiresAt: &ends}
		if got, known := db.CertificateHealth(now); got != tt.want || !known {
			t.Errorf("%s before its end it is %q (%t), want %s", tt.ends, got, known, tt.want)
		}
		db.Status = daap.DatabaseArchived
		if got, known := db.CertificateHealth(now); known {
			t.Errorf("an archived database has %q, want none", got)
		}
	}
	if got, known := (daap.Database{Status: daap.DatabaseReady}).CertificateHealth(now); known {
		t.Errorf("an unknown one is %q", got)
	}
}
