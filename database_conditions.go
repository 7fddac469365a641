package daap

import (
	"fmt"
	"slices"
	"time"
)

// Condition is the result of one check of a database, as in Kubernetes.
type Condition struct {
	Type   ConditionType
	Status ConditionStatus
	// Reason is a stable word in CamelCase; Message is for people.
	Reason, Message string
	// Since is when the condition got its status, ObservedAt when its data was collected.
	Since, ObservedAt time.Time
}

// is returns a condition of the type.
func (t ConditionType) is(status ConditionStatus, reason, format string, args ...any) Condition {
	return Condition{Type: t, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// ConditionType identifies a check.
type ConditionType string

// The conditions of a database. Drift and CertificateExpiry indicate a problem if True, all others if False. Conditions
// that do not apply are absent, such as those of backups for a tier without backups.
const (
	ConditionReady                ConditionType = "Ready"
	ConditionPrimaryReachable     ConditionType = "PrimaryReachable"
	ConditionReplication          ConditionType = "Replication"
	ConditionContinuousArchiving  ConditionType = "ContinuousArchiving"
	ConditionBackupFresh          ConditionType = "BackupFresh"
	ConditionStorageHeadroom      ConditionType = "StorageHeadroom"
	ConditionCertificateExpiry    ConditionType = "CertificateExpiry"
	ConditionConnectionHeadroom   ConditionType = "ConnectionHeadroom"
	ConditionNetworkPolicyPresent ConditionType = "NetworkPolicyPresent"
	ConditionDrift                ConditionType = "Drift"
	ConditionQuotaConsistent      ConditionType = "QuotaConsistent"
	ConditionExtensionsScanned    ConditionType = "ExtensionsScanned"
)

// ConditionStatus has the values of Kubernetes.
type ConditionStatus string

// The statuses of a condition.
const (
	ConditionTrue    ConditionStatus = "True"
	ConditionFalse   ConditionStatus = "False"
	ConditionUnknown ConditionStatus = "Unknown"
)

// ConditionStatuses returns all statuses of a condition.
func ConditionStatuses() []ConditionStatus {
	return []ConditionStatus{ConditionTrue, ConditionFalse, ConditionUnknown}
}

// conditionKinds lists the status of each condition that indicates a problem.
var conditionKinds = []struct {
	kind  ConditionType
	wrong ConditionStatus
}{
	{ConditionReady, ConditionFalse},
	{ConditionPrimaryReachable, ConditionFalse},
	{ConditionReplication, ConditionFalse},
	{ConditionContinuousArchiving, ConditionFalse},
	{ConditionBackupFresh, ConditionFalse},
	{ConditionStorageHeadroom, ConditionFalse},
	{ConditionConnectionHeadroom, ConditionFalse},
	{ConditionCertificateExpiry, ConditionTrue},
	{ConditionNetworkPolicyPresent, ConditionFalse},
	{ConditionDrift, ConditionTrue},
	{ConditionQuotaConsistent, ConditionFalse},
	{ConditionExtensionsScanned, ConditionFalse},
}

// ConditionTypes returns all conditions, in the order in which they are shown.
func ConditionTypes() []ConditionType {
	all := make([]ConditionType, 0, len(conditionKinds))
	for _, k := range conditionKinds {
		all = append(all, k.kind)
	}
	return all
}

// HealthValidFor is how long an observation is valid: five of the checks that run every minute. The scan of
// PostgreSQL runs every ten minutes, and its result is valid for three intervals.
const (
	HealthValidFor = 5 * time.Minute
	scanValidFor   = 30 * time.Minute
)

// HealthValidSince returns the oldest time of an observation that is valid now.
func HealthValidSince(now time.Time) time.Time { return now.Add(-HealthValidFor) }

// stale reports whether an observation at the time is no longer valid, and since when.
func stale(observed, now time.Time) (since time.Time, is bool) {
	return observed.Add(HealthValidFor), observed.Before(HealthValidSince(now))
}

// Conditions are the conditions of one database.
type Conditions []Condition

// AsOf returns the conditions at the given time: conditions that were not observed for too long are Unknown.
func (c Conditions) AsOf(now time.Time) Conditions {
	told := slices.Clone(c)
	for i := range told {
		if since, is := stale(told[i].ObservedAt, now); is && told[i].Status != ConditionUnknown {
			told[i].Status, told[i].Since = ConditionUnknown, since
			told[i].Reason, told[i].Message = "Stale", "No check has completed since then."
		}
	}
	return told
}

// Health summarizes the conditions: unavailable if clients cannot reach the database, unknown if that is not known,
// else degraded if any condition indicates a problem, else healthy.
func (c Conditions) Health() DatabaseHealth {
	switch {
	case c.status(ConditionPrimaryReachable) == ConditionFalse:
		return HealthUnavailable
	case c.status(ConditionPrimaryReachable) == ConditionUnknown || c.status(ConditionReady) == ConditionUnknown:
		return HealthUnknown
	case slices.ContainsFunc(c, Condition.wrong):
		return HealthDegraded
	}
	return HealthHealthy
}

func (c Conditions) status(kind ConditionType) ConditionStatus {
	for _, condition := range c {
		if condition.Type == kind {
			return condition.Status
		}
	}
	return ConditionUnknown
}

// MergeSince returns observed, keeping Since for conditions whose status is unchanged from c.
func (c Conditions) MergeSince(observed Conditions) Conditions {
	all := slices.Clone(observed)
	for i := range all {
		all[i].Since = all[i].ObservedAt
		for _, was := range c {
			if was.Type == all[i].Type && was.Status == all[i].Status {
				all[i].Since = was.Since
			}
		}
	}
	return all
}

// wrong reports whether the condition indicates a problem.
func (c Condition) wrong() bool {
	for _, k := range conditionKinds {
		if k.kind == c.Type {
			return k.wrong == c.Status
		}
	}
	return false
}

// wellIf returns True if well, else False with the reason.
func (t ConditionType) wellIf(well bool, reason, format string, args ...any) Condition {
	if well {
		return t.is(ConditionTrue, "AsExpected", "")
	}
	return t.is(ConditionFalse, reason, format, args...)
}
