package activities

import (
	"context"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/manifest"
)

// certified are the databases that have a CA certificate, and what is known of it.
type certified interface {
	// CertifiedDatabases returns at most limit of them, in order of ID from after on.
	CertifiedDatabases(ctx context.Context, after uuid.UUID, limit int) ([]daap.Database, error)
	// RenewCACertificate records the PEM where it is another one than before.
	RenewCACertificate(ctx context.Context, database uuid.UUID, pem string) error
}

// Certificates are the activities that look at certificates.
type Certificates struct {
	Kubernetes *Kubernetes
	Databases  certified
}

// LookAtCertificates records the CA certificate of every database that has one: the operator renews them when it is
// time. It heartbeats. One that cannot be read is logged and left as it was; the others are looked at all the same.
func (c *Certificates) LookAtCertificates(ctx context.Context) error {
	return lookAtEach(ctx, c.Databases.CertifiedDatabases, func(ctx context.Context, db daap.Database) {
		if err := c.lookAt(ctx, db); err != nil {
			activity.GetLogger(ctx).Warn("The CA certificate of a database cannot be checked.",
				"database_id", db.ID.String(), "error", err)
		}
	})
}

func (c *Certificates) lookAt(ctx context.Context, db daap.Database) error {
	ca, err := c.Kubernetes.secretValue(ctx, daap.Namespace(db.ID), manifest.CASecret(db), manifest.CAKey)
	if apierrors.IsNotFound(err) {
		return nil // its Cluster is gone, or on its way
	}
	if err != nil {
		return err
	}
	return c.Databases.RenewCACertificate(ctx, db.ID, string(ca))
}
