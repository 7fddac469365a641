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

// Foreign is a writer other than DAAP and CloudNativePG, and the fields of an object that have its values.
type Foreign struct {
	// Manager is the writer's field manager in Kubernetes, such as kubectl-edit.
	Manager string
	// Fields are the first fields in alphabetical order, such as spec.instances.
	Fields []string
	// More is the number of further fields.
	More int
	// At is the time of the writer's last change; zero if Kubernetes does not report it.
	At time.Time
}

// String describes the change for people.
func (f Foreign) String() string {
	return f.Manager + " changed " + listed(f.Fields, f.More)
}

// listed formats the names, and the number of further names, for people.
func listed(names []string, more int) string {
	said := strings.Join(names, ", ")
	if more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	return said
}

// maxForeignFields limits the number of reported fields of one writer, maxFieldName the length of their names in
// characters.
const (
	maxForeignFields = 10
	maxFieldName     = 120
)

// ours are the field managers that run databases: DAAP's, and the one that the programs of CloudNativePG share
// (operator, instance manager and backup plugin).
var ours = []string{manifest.FieldOwner, "manager"}

// isForeign reports whether a managedFields entry may belong to a writer other than DAAP and CloudNativePG. The status
// and finalize subresources do not count, because they are not desired state.
func isForeign(entry metav1.ManagedFieldsEntry) bool {
	return !slices.Contains(ours, entry.Manager) && entry.FieldsV1 != nil &&
		entry.Subresource != "status" && entry.Subresource != "finalize"
}

// isApplied reports whether the entry is the one of DAAP's server-side apply, which every object of DAAP has.
func isApplied(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == manifest.FieldOwner && entry.Operation == metav1.ManagedFieldsOperationApply &&
		entry.Subresource == ""
}

// ForeignWriters returns the other writers of the object's desired state, in alphabetical order; none if all of it is
// as DAAP and the operator wrote it. Values that DAAP has applied again no longer belong to the other writer. Removed
// fields are not included.
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

// removed returns the applied fields without a writer: another writer removed them. applied contains the names of the
// fields that DAAP applied, in the form of manifest.AnnotationFields; if it is empty or cannot be decoded, the result
// is empty.
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

// isWritten reports whether the field, a field in it, or an atomic field that contains it is among the fields.
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

// fieldsOf decodes the paths of an entry's fields.
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

// counting returns those fields that determine how a database runs.
func counting(fields *fieldpath.Set) *fieldpath.Set {
	counts := fieldpath.NewSet()
	for path := range fields.All() {
		if countsAt(path) {
			counts.Insert(path.Copy())
		}
	}
	return counts
}

// countsAt reports whether the field determines how a database runs: all of manifest.DesiredFields, the labels that
// identify and protect the object, the annotations that override the operator's behaviour, and the one with the names
// of the applied fields.
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

// fieldNames returns readable names of the first leaf fields in alphabetical order, and the number of further ones.
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

// fieldName returns a name such as spec.postgresql.parameters.work_mem; elements with dots are in brackets. List
// elements are named by their keys, never by their values, which may be secret.
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
