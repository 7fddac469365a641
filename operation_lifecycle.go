package daap

import "slices"

// TakesOver reports whether an operation of kind k may take a database from the open operation that holds it: only from
// one that is not rolling back, because its work is removed anyway.
func (k OperationKind) TakesOver(held Operation) bool {
	return k.fixed().takesOver && !held.Kind.fixed().takesOver && held.State != OperationCancelling
}

// Cost returns the database's quota use before the operation and after it has succeeded.
func (o Operation) Cost(p Profile) (before, after Cost) {
	return p.CostOf(o.StatusBefore), p.CostOf(o.Kind.After())
}

// OnTheWay returns the state of the operation while it does not need attention.
func (o Operation) OnTheWay() OperationState { return OnTheWay(o.CancelledBy != "") }

// OnTheWay returns the state of an operation that does not need attention: running forward or rolling back.
func OnTheWay(rollsBack bool) OperationState {
	if rollsBack {
		return OperationCancelling
	}
	return OperationRunning
}

// StatusDuring is the status of the operation's database while the operation is not parked.
func (o Operation) StatusDuring() DatabaseStatus {
	if o.CancelledBy != "" {
		return o.Kind.fixed().undoing
	}
	return o.Kind.During()
}

// AfterCancel returns the database's status after the operation was rolled back.
func (o Operation) AfterCancel() DatabaseStatus {
	if o.Kind.Makes() {
		return DatabaseDeleted
	}
	return o.StatusBefore
}

// CancelRefusal explains why the operation cannot be cancelled at any step; empty if it can.
func (o Operation) CancelRefusal() string {
	settled := []DatabaseStatus{DatabaseReady, DatabaseFrozen, DatabaseArchived}
	if o.Kind.fixed().takesOver && !slices.Contains(settled, o.StatusBefore) {
		return "The deletion took the database over from another operation, which was cancelled; such a deletion cannot " +
			"be rolled back."
	}
	return ""
}
