package daap

// CanMoveTo reports whether a database of status s may get status to.
func (s DatabaseStatus) CanMoveTo(to DatabaseStatus) bool { return s.canMoveTo(to) }

// Dropped is how many entries were dropped and are not in the log yet.
func (w *AuditWriter) Dropped() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}
