package daap

import (
	"slices"
	"strings"
)

// PGAuditClass is a statement class of pgAudit.
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

// alwaysAudited are the classes that every database logs: changes of the schema and of privileges.
var alwaysAudited = []PGAuditClass{PGAuditDDL, PGAuditRole}

// PGAuditClasses returns all classes, those that are always logged first.
func PGAuditClasses() []PGAuditClass {
	return []PGAuditClass{
		PGAuditDDL, PGAuditRole, PGAuditRead, PGAuditWrite, PGAuditFunction, PGAuditMisc, PGAuditMiscSet, PGAuditAll,
	}
}

// PGAuditText returns the value of PostgreSQL's setting pgaudit.log for the profile. Profiles without classes predate
// the field.
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

// pgAudit returns the classes in the order of PGAuditClasses, so that reordering is not a change; none means the
// classes that are always logged. A tier can only add classes.
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
