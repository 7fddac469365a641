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
		return "must be classes of pgAudit, each once, ddl and role among them: they are always logged"
	}
	p.PGAuditLog = classes
	return ""
}
