package daap

import "time"

// Receipt is what a deletion or an archiving removes, as it was counted before anything was.
type Receipt struct {
	// Kubernetes is how many objects there were, by kind.
	Kubernetes map[string]int
	// Objects and Bytes are what was in the object store: versions, markers and unfinished uploads too.
	Objects, Bytes int64
	// RelistedAt is when the object store was listed again and had nothing left; nil until then.
	RelistedAt *time.Time
}

// With is the receipt with what was counted again. What was removed meanwhile is there no more, so that the largest
// counts are those of all that was removed.
func (r Receipt) With(counted Receipt) Receipt {
	merged := Receipt{
		Kubernetes: map[string]int{},
		Objects:    max(r.Objects, counted.Objects), Bytes: max(r.Bytes, counted.Bytes), RelistedAt: r.RelistedAt,
	}
	for _, kinds := range []map[string]int{r.Kubernetes, counted.Kubernetes} {
		for kind, n := range kinds {
			merged.Kubernetes[kind] = max(merged.Kubernetes[kind], n)
		}
	}
	if counted.RelistedAt != nil {
		merged.RelistedAt = counted.RelistedAt
	}
	return merged
}
