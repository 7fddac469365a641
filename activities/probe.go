package activities

import (
	"context"

	"go.temporal.io/sdk/temporal"

	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/objectstore"
)

// Destinations are the activities on places for backups.
type Destinations struct {
	// Store is nil where there is no object store.
	Store *objectstore.Store
	// Reserved is a bucket for the platform alone, such as the audit log's; empty where there is none.
	Reserved string
}

// ProbeDestination finds out whether DAAP can write, list and delete at the destination, whose bucket it makes where
// it is missing. ErrorRefused, with a sentence for people, when it cannot.
func (d *Destinations) ProbeDestination(ctx context.Context, destination string) error {
	if d.Store == nil {
		return refusedDestination("must be empty: the platform has no object store configured")
	}
	if bucket, _ := objectstore.Locate(destination); bucket == d.Reserved {
		return refusedDestination("must not be in bucket " + bucket + ", which the platform uses for itself")
	}
	err := d.Store.Probe(ctx, destination)
	if err == nil || ctx.Err() != nil {
		return err // a store that is slower than the request has time for may be good
	}
	return refusedDestination("cannot be used: " + diagnosis.Safe(err.Error()))
}

func refusedDestination(why string) error {
	return temporal.NewNonRetryableApplicationError(why, ErrorRefused, nil)
}
