package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/objectstore"
)

func auditCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Check the audit log"}
	cmd.AddCommand(&cobra.Command{
		Use:   "verify",
		Short: "Verify that no audit log entry was changed or removed",
		Long: `Verifies the hash chain over all audit log entries and compares it with the heads in the object store.
Reports the first broken position and then exits with code 1. Changes nothing.

Requires DAAP_DATABASE_URL. Without DAAP_AUDIT_HEADS (and DAAP_S3_…) the removal of the newest entries cannot
be detected.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newService("audit")
			if err != nil {
				return err
			}
			defer s.close()
			return verifyAudit(cmd.Context(), s, cmd.OutOrStdout())
		},
	})
	return cmd
}

// errBroken ends the command after it has printed the break.
var errBroken = errors.New("the audit log is broken")

func verifyAudit(ctx context.Context, s service, out io.Writer) error {
	store, pool, err := s.store(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	heads, err := s.heads()
	if err != nil {
		return err
	}
	if heads == nil {
		fmt.Fprintln(out, "DAAP_AUDIT_HEADS is not set: the removal of the newest entries cannot be detected.")
	}
	found, err := daap.VerifyAudit(ctx, store, heads)
	if err != nil {
		return err
	}
	if b := found.Break; b != nil {
		fmt.Fprintf(out, "Broken at position %d, entry %s: %s\n", b.Position, b.EntryID, b.Why)
		return errBroken
	}
	fmt.Fprintf(out, "The audit log is intact: positions %d to %d, %d heads compared.\n",
		found.First, found.Last, found.Heads)
	return nil
}

// auditHeads keeps heads of the audit log, and gives them back.
type auditHeads interface {
	PutHead(ctx context.Context, head daap.Seal) error
	Heads(ctx context.Context) ([]daap.Seal, error)
}

// heads is where heads of the audit log are kept; nil where the settings name no place.
func (s service) heads() (auditHeads, error) {
	bucket, prefix, named := s.config.HeadsBucket()
	if !named {
		return nil, nil //nolint:nilnil // not to keep them is a setting
	}
	client, err := s.objectStore(s.config.S3)
	if err != nil {
		return nil, err
	}
	return objectstore.AuditHeads{Client: client, Bucket: bucket, Prefix: prefix}, nil
}
