package daap

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// AuditVerification is what a look at the whole audit log found.
type AuditVerification struct {
	// First and Last are the positions of the chain that were looked at; both 0 where there is none.
	First, Last int64
	// Heads is how many heads were compared, Unsealed how many entries are not in the chain yet.
	Heads, Unsealed int
	// Break is where it goes wrong first; nil where it does not.
	Break *AuditBreak
}

// AuditBreak is the first place at which the chain does not hold.
type AuditBreak struct {
	Position int64
	EntryID  uuid.UUID
	// Why says for people what is wrong there.
	Why string
}

// SealedEntry is a seal with the entry that it is of; Entry is nil where that is gone.
type SealedEntry struct {
	Seal
	Entry *AuditEntry
}

// chainStore reads the chain.
type chainStore interface {
	// SealedEntries returns at most limit seals after the position, in order, with their entries.
	SealedEntries(ctx context.Context, after int64, limit int) ([]SealedEntry, error)
	// UnsealedEntry returns how many entries that are older than age are in no seal, and one of them.
	UnsealedEntry(ctx context.Context, age time.Duration) (int, uuid.UUID, error)
}

// headReader gives back what a headStore keeps.
type headReader interface {
	// Heads returns all heads that are kept, in order of position.
	Heads(ctx context.Context) ([]Seal, error)
}

const (
	verifyPage = 1000
	// sealedWithin is how old an entry may be that is not sealed yet: the sealer lags by seconds.
	sealedWithin = time.Minute
)

// VerifyAudit walks the whole chain and compares it with the heads that were given away; heads may be nil. The
// first seal there is may be without its entry: what comes after the entries that were kept for their time.
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

// verifier is where a walk along the chain is.
type verifier struct {
	at    Seal
	kept  []Seal
	found AuditVerification
}

func (v *verifier) breaks(sealed Seal, format string, args ...any) {
	v.found.Break = &AuditBreak{Position: sealed.Position, EntryID: sealed.EntryID, Why: fmt.Sprintf(format, args...)}
}

// next looks at the seal that comes next.
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

// compare holds a head that was given away against the chain.
func (v *verifier) compare(head, sealed Seal) {
	if head.Position < sealed.Position {
		return // of the part that was let go of
	}
	v.found.Heads++
	if head.Hash != sealed.Hash {
		v.breaks(sealed, "The chain differs from the head that was exported at this position.")
	}
}

// end looks at what the walk did not come by.
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
