package persistence_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// newCA is the PEM of a CA certificate that ends in so many days.
func newCA(t *testing.T, days int) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, NotAfter: time.Now().AddDate(0, 0, days)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// certificate is what is handed out for the database.
func (f fixture) certificate(id uuid.UUID) string {
	f.t.Helper()
	bundle, err := f.CACertificate(f.t.Context(), daap.EveryTeam, id)
	f.must(err)
	return string(bundle)
}

func (s suite) SaveCACertificateIsFencedByTheDatabaseItsOperationHolds(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.running("shop", "orders")
	other, _ := f.running("shop", "carts")
	want(t, "certificate before", f.certificate(db.ID), "")
	first, second := newCA(t, 10), newCA(t, 100)
	for _, row := range []struct{ saved, kept string }{{first, first}, {second, second + first}, {second, second + first}} {
		f.must(f.SaveCACertificate(t.Context(), op.ID, db.ID, row.saved))
		want(t, "certificate", f.certificate(db.ID), row.kept)
	}
	events, err := f.Events(t.Context(), daap.EveryTeam, daap.EventFilter{DatabaseID: db.ID, Page: daap.Page{Limit: 2}})
	f.must(err)
	want(t, "last event", events[0].Kind, daap.EventCACertificateChanged)
	want(t, "operation of the event", *events[0].OperationID, op.ID)
	want(t, "event before it", events[1].Kind, daap.EventStarted)
	wantSuperseded(t, f.SaveCACertificate(t.Context(), op.ID, other.ID, first))
	want(t, "certificate of the other", f.certificate(other.ID), "")
	if err := f.SaveCACertificate(t.Context(), op.ID, db.ID, "no PEM"); err == nil {
		t.Error("what is no certificate is saved")
	}
	want(t, "certificate after that", f.certificate(db.ID), second+first)
}

func (s suite) RenewedCAIsRecordedAndToldOnce(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.running("shop", "orders")
	first, second := newCA(t, 10), newCA(t, 100)
	f.must(f.SaveCACertificate(t.Context(), op.ID, db.ID, first))
	f.must(f.FinishOperation(t.Context(), op.ID))
	before := f.happened(db.ID)
	for _, pem := range []string{first, second, second} {
		f.must(f.RenewCACertificate(t.Context(), db.ID, pem))
	}
	want(t, "certificate", f.certificate(db.ID), second+first)
	want(t, "days to its end", int(time.Until(*f.database(db.ID).CAExpiresAt).Hours()/24), 99)
	want(t, "events", f.happened(db.ID), append(before, daap.EventCACertificateChanged))
	events, err := f.Events(t.Context(), daap.EveryTeam, daap.EventFilter{DatabaseID: db.ID, Page: daap.Page{Limit: 1}})
	f.must(err)
	want(t, "operation of the event", events[0].OperationID, nil)
}

func (s suite) CertificatesAreLookedAtOfDatabasesThatTakeConnectionsByThem(t *testing.T) {
	t.Parallel()
	f := s.fixture(t)
	db, op := f.running("shop", "orders")
	looked := func() []uuid.UUID {
		dbs, err := f.CertifiedDatabases(t.Context(), uuid.Nil, 10)
		f.must(err)
		var ids []uuid.UUID
		for _, db := range dbs {
			ids = append(ids, db.ID)
		}
		return ids
	}
	want(t, "while it has none", len(looked()), 0)
	f.must(f.SaveCACertificate(t.Context(), op.ID, db.ID, newCA(t, 10)))
	want(t, "once it has one", looked(), []uuid.UUID{db.ID})
	after, err := f.CertifiedDatabases(t.Context(), db.ID, 10)
	f.must(err)
	want(t, "on the page after it", len(after), 0)
	f.must(f.FinishOperation(t.Context(), op.ID))
	f.succeed(f.accepted(daap.FreezeDatabase, db.ID))
	want(t, "while it is frozen", looked(), []uuid.UUID{db.ID})
	f.accepted(daap.DeleteDatabase, db.ID)
	want(t, "while its Cluster goes", len(looked()), 0)
}
