package daap

import (
	"slices"
	"strings"
)

// PGAuditClass is a kind of statement that pgAudit writes to the log of PostgreSQL, in pgAudit's words.
type PGAuditClass string

// The classes of pgAudit.
const (
	PGAuditDDL      PGAuditClass = "ddl"
	PGAuditRole     PGAuditClass = "role"
	PGAuditRead     PGAuditClass = "read"
	PGAuditWrite    PGAuditClass = "write"
	PGAuditFunction PGAuditClass = "function"
	PGAuditMisc     PGAuditClass = "misc"
	PGAuditMiscSet  PGAuditClass = "misc_set"
	PGAuditAll      PGAuditClass = "all"
)

// alwaysAudited are what the log of every database has: changes of what there is, and of who may do what.
var alwaysAudited = []PGAuditClass{PGAuditDDL, PGAuditRole}

// PGAuditClasses returns all classes, those first that are always logged.
func PGAuditClasses() []PGAuditClass {
	return []PGAuditClass{
		PGAuditDDL, PGAuditRole, PGAuditRead, PGAuditWrite, PGAuditFunction, PGAuditMisc, PGAuditMiscSet, PGAuditAll,
	}
}

// PGAuditText is what PostgreSQL's setting pgaudit.log says for the profile. A profile that names no classes is from
// before tiers had them.
func (p Profile) PGAuditText() string {
	classes := p.PGAuditLog
	if len(classes) == 0 {
		classes = alwaysAudited
	}
	words := make([]string, len(classes))
	for i, class := range classes {
		words[i] = string(class)
	}
	return strings.Join(words, ", ")
}

// pgAudit returns the classes in the order of PGAuditClasses, so that another order is no change; none is what is
// always logged. A tier may only add to that.
func (c *checks) pgAudit(asked []PGAuditClass) []PGAuditClass {
	if len(asked) == 0 {
		return alwaysAudited
	}
	var classes []PGAuditClass
	for _, class := range PGAuditClasses() {
		if slices.Contains(asked, class) {
			classes = append(classes, class)
		}
	}
	if len(classes) != len(asked) || !slices.Equal(classes[:min(len(classes), len(alwaysAudited))], alwaysAudited) {
		c.fail("pgaudit_log", "must be a list of distinct pgAudit classes that includes ddl and role, which are always "+
			"logged")
	}
	return classes
}
