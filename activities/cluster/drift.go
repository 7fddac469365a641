package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/daap-dev/daap/activities/diagnosis"
	"github.com/daap-dev/daap/activities/manifest"
)

// Foreign is somebody who is none of those who run databases, and what of an object is as that one wrote it.
type Foreign struct {
	// Manager is the name under which Kubernetes knows the writer, as kubectl-edit.
	Manager string
	// Fields are the first of them in order of their names, as spec.instances.
	Fields []string
	// More counts those that Fields has not.
	More int
	// At is when the writer last wrote; zero where Kubernetes does not tell.
	At time.Time
}

// String says it to people.
func (f Foreign) String() string {
	return f.Manager + " changed " + listed(f.Fields, f.More)
}

// listed are the names, and how many more there are, for people.
func listed(names []string, more int) string {
	said := strings.Join(names, ", ")
	if more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	return said
}

// maxForeignFields bounds how many fields of one writer are named, maxFieldName how long each name may be.
const (
	maxForeignFields = 10
	maxFieldName     = 120
)

// ours are the managers that run databases: DAAP itself, and that of CloudNativePG's operator, of its instances and of
// its backup plugin, whose programs all have the same name.
var ours = []string{manifest.FieldOwner, "manager"}

// isForeign says whether the entry may be of somebody who is none of those who run databases. The status is not what an
// object is meant to be, and what a deletion finishes neither.
func isForeign(entry metav1.ManagedFieldsEntry) bool {
	return !slices.Contains(ours, entry.Manager) && entry.FieldsV1 != nil &&
		entry.Subresource != "status" && entry.Subresource != "finalize"
}

// isApplied says whether the entry is of what DAAP applied, which every object has that DAAP made.
func isApplied(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == manifest.FieldOwner && entry.Operation == metav1.ManagedFieldsOperationApply &&
		entry.Subresource == ""
}

// ForeignWriters returns who else wrote what of the object counts, in order of their names; none where all is as DAAP
// and the operator wrote it. A value that DAAP applies again is nobody's, and one that somebody removed neither.
func ForeignWriters(entries []metav1.ManagedFieldsEntry) []Foreign {
	written, at := map[string]*fieldpath.Set{}, map[string]time.Time{}
	for _, entry := range entries {
		fields, err := fieldsOf(entry)
		if !isForeign(entry) || err != nil {
			continue
		}
		counts := counting(fields)
		if counts.Empty() {
			continue
		}
		if before := written[entry.Manager]; before != nil {
			counts = counts.Union(before)
		}
		written[entry.Manager] = counts
		if entry.Time != nil && entry.Time.After(at[entry.Manager]) {
			at[entry.Manager] = entry.Time.Time
		}
	}
	var all []Foreign
	for manager, fields := range written {
		shown, more := fieldNames(fields)
		all = append(all, Foreign{
			Manager: diagnosis.SafeTo(manager, maxFieldName), Fields: shown, More: more, At: at[manager],
		})
	}
	slices.SortFunc(all, func(a, b Foreign) int { return cmp.Compare(a.Manager, b.Manager) })
	return all
}

// removed are those of the fields that DAAP applied that nobody has written any more: somebody removed them. applied
// has their names, as manifest.AnnotationFields; where it has none, or none that can be read, none are known.
func removed(applied string, entries []metav1.ManagedFieldsEntry) *fieldpath.Set {
	gone := fieldpath.NewSet()
	if applied == "" || gone.FromJSON(strings.NewReader(applied)) != nil {
		return fieldpath.NewSet()
	}
	for _, entry := range entries {
		fields, err := fieldsOf(entry)
		if err != nil || entry.Subresource == "status" {
			continue
		}
		left := fieldpath.NewSet()
		for path := range gone.All() {
			if !isWritten(fields, path) {
				left.Insert(path.Copy())
			}
		}
		gone = left
	}
	return gone
}

// isWritten says whether the field, something in it, or what holds it as one is among the fields.
func isWritten(fields *fieldpath.Set, path fieldpath.Path) bool {
	for _, element := range path {
		within, more := fields.Children.Get(element)
		if !more {
			return fields.Members.Has(element)
		}
		fields = within
	}
	return true
}

// fieldsOf reads the paths of the fields that an entry is about.
func fieldsOf(entry metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	fields := fieldpath.NewSet()
	if entry.FieldsV1 == nil {
		return fields, nil
	}
	if err := fields.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
		return nil, fmt.Errorf("decode the fields of manager %s: %w", entry.Manager, err)
	}
	return fields, nil
}

// counting are those of the fields that say how a database runs.
func counting(fields *fieldpath.Set) *fieldpath.Set {
	counts := fieldpath.NewSet()
	for path := range fields.All() {
		if countsAt(path) {
			counts.Insert(path.Copy())
		}
	}
	return counts
}

// countsAt reports whether the field says how a database runs: all of manifest.DesiredFields, the labels by which it is
// known and secured, the annotations by which the operator is told to do otherwise, and the one that names what DAAP
// applied.
func countsAt(path fieldpath.Path) bool {
	name := func(i int) string {
		if i >= len(path) || path[i].FieldName == nil {
			return ""
		}
		return *path[i].FieldName
	}
	if name(0) != "metadata" {
		return slices.Contains(manifest.DesiredFields, name(0))
	}
	switch key := name(2); name(1) {
	case "labels":
		return strings.HasPrefix(key, "daap.io/") || strings.HasPrefix(key, "pod-security.kubernetes.io/enforce")
	case "annotations":
		return key == manifest.AnnotationFields || slices.Contains(manifest.Commands(), key)
	}
	return false
}

// fieldNames are readable names of the first of the fields, in order, without those that only hold others, and how many
// more there are.
func fieldNames(fields *fieldpath.Set) (first []string, more int) {
	var names []string
	for path := range fields.Leaves().All() {
		names = append(names, diagnosis.SafeTo(fieldName(path), maxFieldName))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	first = names[:min(len(names), maxForeignFields)]
	return first, len(names) - len(first)
}

// fieldName is as spec.postgresql.parameters.work_mem; what has dots itself is in brackets. An element of a list is
// named by its key, never by its value, which may be anything.
func fieldName(path fieldpath.Path) string {
	var b strings.Builder
	for _, element := range path {
		switch {
		case element.FieldName == nil && element.Key == nil:
			b.WriteString("[…]")
		case element.FieldName == nil:
			b.WriteString(element.String())
		case strings.ContainsAny(*element.FieldName, "./"):
			b.WriteString("[" + *element.FieldName + "]")
		case b.Len() == 0:
			b.WriteString(*element.FieldName)
		default:
			b.WriteString("." + *element.FieldName)
		}
	}
	return diagnosis.Safe(b.String())
}
