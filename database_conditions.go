package daap

import (
	"fmt"
	"slices"
	"time"
)

// Condition is one thing that is looked at of a database, in Kubernetes' sense of the word.
type Condition struct {
	Type   ConditionType
	Status ConditionStatus
	// Reason is one word in CamelCase that is stable; Message is for people.
	Reason, Message string
	// Since is when the status became what it is, ObservedAt when it was last looked at.
	Since, ObservedAt time.Time
}

// is makes a condition.
func (t ConditionType) is(status ConditionStatus, reason, format string, args ...any) Condition {
	return Condition{Type: t, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// ConditionType names what is looked at.
type ConditionType string

// The conditions of a database. Drift and CertificateExpiry are True where something is wrong, all others False. One
// that does not apply, as those of backups where a tier has none, is not there.
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

// ConditionStatus is Kubernetes' own.
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

// conditionKinds says of each condition with which status something is wrong.
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

// ConditionTypes returns all conditions there are, in the order in which people want them.
func ConditionTypes() []ConditionType {
	all := make([]ConditionType, 0, len(conditionKinds))
	for _, k := range conditionKinds {
		all = append(all, k.kind)
	}
	return all
}

// HealthBelievedFor is for how long what was seen of a database is believed: five of the looks that come each minute.
// The scan of PostgreSQL comes each ten minutes, and is believed for three of them.
const (
	HealthBelievedFor = 5 * time.Minute
	scanBelievedFor   = 30 * time.Minute
)

// HealthBelievedSince returns the time since which something must have been observed to be believed now.
func HealthBelievedSince(now time.Time) time.Time { return now.Add(-HealthBelievedFor) }

// stale reports whether what was observed at the time is not believed any more, and since when.
func stale(observed, now time.Time) (since time.Time, is bool) {
	return observed.Add(HealthBelievedFor), observed.Before(HealthBelievedSince(now))
}

// Conditions are those of one database.
type Conditions []Condition

// At is what of the conditions still tells something: what was not looked at for too long is not known any more.
func (c Conditions) At(now time.Time) Conditions {
	told := slices.Clone(c)
	for i := range told {
		if since, is := stale(told[i].ObservedAt, now); is && told[i].Status != ConditionUnknown {
			told[i].Status, told[i].Since = ConditionUnknown, since
			told[i].Reason, told[i].Message = "Stale", "No check has completed since then."
		}
	}
	return told
}

// Health sums the conditions up: unavailable where clients do not reach the database, unknown while that is not known,
// else degraded where anything is wrong, else healthy.
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

// Then is what was observed, which is all there is by now, with Since kept where the status did not change.
func (c Conditions) Then(observed Conditions) Conditions {
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

// wrong says whether the condition makes a database less than healthy.
func (c Condition) wrong() bool {
	for _, k := range conditionKinds {
		if k.kind == c.Type {
			return k.wrong == c.Status
		}
	}
	return false
}

// wellIf is True where all is well, and False for the reason where it is not.
func (t ConditionType) wellIf(well bool, reason, format string, args ...any) Condition {
	if well {
		return t.is(ConditionTrue, "AsExpected", "")
	}
	return t.is(ConditionFalse, reason, format, args...)
}
