package activities

import (
	"context"

	"go.temporal.io/sdk/temporal"

	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/objectstore"
)

// Destinations are the activities that check backup destinations.
type Destinations struct {
	// Store is nil if the platform has no object store.
	Store *objectstore.Store
	// Reserved is a bucket that only the platform may use, such as the audit log's; empty if there is none.
	Reserved string
}

// ProbeDestination checks that DAAP can write, list and delete at the destination. It creates a missing bucket. It
// returns ErrorRefused, with a sentence for people, if DAAP cannot use the destination.
func (d *Destinations) ProbeDestination(ctx context.Context, destination string) error {
	if d.Store == nil {
		return refusedDestination("must be empty: the platform has no object store configured")
	}
	if bucket, _ := objectstore.Locate(destination); bucket == d.Reserved {
		return refusedDestination("must not be in bucket " + bucket + ", which the platform uses for itself")
	}
	err := d.Store.Probe(ctx, destination)
	if err == nil || ctx.Err() != nil {
		return err // a store that is too slow for this request may still be usable
	}
	return refusedDestination("cannot be used: " + diagnosis.Safe(err.Error()))
}

func refusedDestination(why string) error {
	return temporal.NewNonRetryableApplicationError(why, ErrorRefused, nil)
}
