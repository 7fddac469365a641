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

// PGAuditText is the value of PostgreSQL's setting pgaudit.log for the profile.
func (p Profile) PGAuditText() string { return joined(p.pgAuditClasses()) }

// pgAuditClasses are the classes of the profile. One that names none is from before tiers had them.
func (p Profile) pgAuditClasses() []PGAuditClass {
	if len(p.PGAuditLog) == 0 {
		return alwaysAudited
	}
	return p.PGAuditLog
}

func joined(classes []PGAuditClass) string {
	words := make([]string, len(classes))
	for i, class := range classes {
		words[i] = string(class)
	}
	return strings.Join(words, ", ")
}

// checkPGAudit sorts the classes as PGAuditClasses does, so that another order is no change; none is what is always
// logged. A tier may only add to that.
func checkPGAudit(p *Profile, _ Catalog) string {
	asked := p.pgAuditClasses()
	var classes []PGAuditClass
	for _, class := range PGAuditClasses() {
		if slices.Contains(asked, class) {
			classes = append(classes, class)
		}
	}
	if len(classes) != len(asked) || !slices.Equal(classes[:min(len(classes), len(alwaysAudited))], alwaysAudited) {
		return "must be a list of distinct pgAudit classes that includes ddl and role, which are always logged"
	}
	p.PGAuditLog = classes
	return ""
}
