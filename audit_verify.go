package daap

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// AuditVerification is the result of verifying the whole audit log.
type AuditVerification struct {
	// First and Last are the first and last verified position of the chain; both 0 if it is empty.
	First, Last int64
	// Heads is the number of compared heads, Unsealed the number of entries that are not in the chain yet.
	Heads, Unsealed int
	// Break is the first break; nil if the chain is intact.
	Break *AuditBreak
}

// AuditBreak is the first broken position of the chain.
type AuditBreak struct {
	Position int64
	EntryID  uuid.UUID
	// Why explains the break, for people.
	Why string
}

// SealedEntry is a seal with its entry; Entry is nil if the entry is missing.
type SealedEntry struct {
	Seal
	Entry *AuditEntry
}

// chainStore reads the chain.
type chainStore interface {
	// SealedEntries returns at most limit seals after the position, in order, with their entries.
	SealedEntries(ctx context.Context, after int64, limit int) ([]SealedEntry, error)
	// UnsealedEntry returns the number of entries older than age that are not sealed, and one of them.
	UnsealedEntry(ctx context.Context, age time.Duration) (int, uuid.UUID, error)
}

// headReader reads the heads of a headStore.
type headReader interface {
	// Heads returns all stored heads in order of position.
	Heads(ctx context.Context) ([]Seal, error)
}

const (
	verifyPage = 1000
	// sealedWithin is the age from which an entry must be sealed: the sealer lags by seconds.
	sealedWithin = time.Minute
)

// VerifyAudit verifies the whole chain and compares it with the exported heads; heads may be nil. The first seal may
// lack its entry: it is the anchor that remains when expired entries are removed.
func VerifyAudit(ctx context.Context, store chainStore, heads headReader) (AuditVerification, error) {
	var kept []Seal
	if heads != nil {
		var err error
		if kept, err = heads.Heads(ctx); err != nil {
			return AuditVerification{}, fmt.Errorf("read the heads of the audit log: %w", err)
		}
	}
	v := verifier{kept: kept}
	for {
		page, err := store.SealedEntries(ctx, v.found.Last, verifyPage)
		if err != nil {
			return AuditVerification{}, fmt.Errorf("read the audit log: %w", err)
		}
		for _, sealed := range page {
			if err := v.next(sealed); err != nil {
				return AuditVerification{}, err
			}
			if v.found.Break != nil {
				return v.found, nil
			}
		}
		if len(page) < verifyPage {
			break
		}
	}
	return v.end(ctx, store)
}

// verifier is the state of a walk along the chain.
type verifier struct {
	at    Seal
	kept  []Seal
	found AuditVerification
}

func (v *verifier) breaks(sealed Seal, format string, args ...any) {
	v.found.Break = &AuditBreak{Position: sealed.Position, EntryID: sealed.EntryID, Why: fmt.Sprintf(format, args...)}
}

// next verifies the next seal.
func (v *verifier) next(sealed SealedEntry) error {
	anchor := v.found.Last == 0 && sealed.Entry == nil && sealed.Position >= 1
	switch {
	case v.found.Last == 0 && !anchor && sealed.Position != 1:
		v.breaks(sealed.Seal, "The chain begins here: earlier seals are missing.")
	case v.found.Last != 0 && sealed.Position != v.found.Last+1:
		v.breaks(sealed.Seal, "The seals between %d and this one are missing.", v.found.Last)
	case anchor:
	case sealed.Entry == nil:
		v.breaks(sealed.Seal, "The entry is missing.")
	default:
		want, err := v.at.Next(*sealed.Entry)
		if err != nil {
			return err
		}
		if want.Hash != sealed.Hash {
			v.breaks(sealed.Seal, "This entry or the one before it was changed after it was sealed.")
		}
	}
	if v.found.First == 0 {
		v.found.First = sealed.Position
	}
	v.found.Last, v.at = sealed.Position, sealed.Seal
	for v.found.Break == nil && len(v.kept) > 0 && v.kept[0].Position <= sealed.Position {
		v.compare(v.kept[0], sealed.Seal)
		v.kept = v.kept[1:]
	}
	return nil
}

// compare compares an exported head with the chain.
func (v *verifier) compare(head, sealed Seal) {
	if head.Position < sealed.Position {
		return // in the expired part of the chain
	}
	v.found.Heads++
	if head.Hash != sealed.Hash {
		v.breaks(sealed, "The chain differs from the head that was exported at this position.")
	}
}

// end checks for heads beyond the chain and for unsealed entries.
func (v *verifier) end(ctx context.Context, store chainStore) (AuditVerification, error) {
	if len(v.kept) > 0 {
		v.breaks(v.kept[0], "The chain ends at %d, but it once reached at least %d.",
			v.found.Last, v.kept[len(v.kept)-1].Position)
		return v.found, nil
	}
	unsealed, entry, err := store.UnsealedEntry(ctx, sealedWithin)
	if err != nil {
		return AuditVerification{}, fmt.Errorf("read what is not sealed: %w", err)
	}
	if v.found.Unsealed = unsealed; unsealed > 0 {
		v.breaks(Seal{EntryID: entry}, "%d entries are not sealed, including this one; check that a worker is running.",
			unsealed)
	}
	return v.found, nil
}
