package daap

import "slices"

// TakesOver reports whether an operation of kind k may take a database from the open operation that holds it: only from
// one that is not being rolled back, as its work is removed anyway.
func (k OperationKind) TakesOver(held Operation) bool {
	return k.fixed().takesOver && !held.Kind.fixed().takesOver && held.State != OperationCancelling
}

// Cost returns what the operation's database takes of its tier's quota before the operation and once it has succeeded.
func (o Operation) Cost(p Profile) (before, after Cost) {
	return p.CostOf(o.StatusBefore), p.CostOf(o.Kind.After())
}

// OnTheWay is the state of the operation while it is not parked.
func (o Operation) OnTheWay() OperationState { return OnTheWay(o.CancelledBy != "") }

// OnTheWay is the state of an operation that is not parked and goes forward, or is rolled back.
func OnTheWay(rollsBack bool) OperationState {
	if rollsBack {
		return OperationCancelling
	}
	return OperationRunning
}

// Meanwhile is the status of the operation's database while it gets on, forward or back.
func (o Operation) Meanwhile() DatabaseStatus {
	if o.CancelledBy != "" {
		return o.Kind.fixed().undoing
	}
	return o.Kind.During()
}

// AfterCancel is the status a database has when the operation was given up and what it did is undone.
func (o Operation) AfterCancel() DatabaseStatus {
	if o.Kind.Makes() {
		return DatabaseDeleted
	}
	return o.StatusBefore
}

// CancelRefusal says why the operation cannot be given up, whatever its step; empty when it can.
func (o Operation) CancelRefusal() string {
	settled := []DatabaseStatus{DatabaseReady, DatabaseFrozen, DatabaseArchived}
	if o.Kind.fixed().takesOver && !slices.Contains(settled, o.StatusBefore) {
		return "The deletion took the database over from another operation, which was cancelled; such a deletion cannot " +
			"be rolled back."
	}
	return ""
}
