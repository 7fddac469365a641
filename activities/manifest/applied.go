package manifest

import (
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// AnnotationFields contains the names of the labels and of the DesiredFields that DAAP applied, in the form of
// managedFields. Kubernetes records who wrote a field, but nothing about a removed field: such a field is named here,
// and has no writer.
const AnnotationFields = "daap.io/applied-fields"

// DesiredFields are the top-level fields that contain the desired state of DAAP's objects, in addition to the metadata.
var DesiredFields = []string{"spec", "subjects", "roleRef"}

var followedKinds = sync.OnceValue(FollowedKinds)

// Sent returns the object as it is sent to Kubernetes: without the status, which DAAP does not own, and with the names
// of its fields if the watch follows its kind.
func Sent(object runtime.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("convert %T: %w", object, err)
	}
	unstructured.RemoveNestedField(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	sent := &unstructured.Unstructured{Object: content}
	if !slices.Contains(followedKinds(), sent.GroupVersionKind()) {
		return sent, nil
	}
	fields := fieldpath.NewSet()
	for _, name := range DesiredFields {
		insertLeaves(fields, fieldpath.MakePathOrDie(name), content[name])
	}
	for label := range sent.GetLabels() {
		fields.Insert(fieldpath.MakePathOrDie("metadata", "labels", label))
	}
	names, err := fields.ToJSON()
	if err != nil {
		return nil, fmt.Errorf("encode the fields of %T: %w", object, err)
	}
	annotations := sent.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AnnotationFields] = string(names)
	sent.SetAnnotations(annotations)
	return sent, nil
}

// insertLeaves inserts the paths of all values other than maps. It treats a list as one value: its schema decides
// whether elements have writers of their own. It skips empty values, which have nothing to remove and may have no
// owner.
func insertLeaves(fields *fieldpath.Set, path fieldpath.Path, value any) {
	switch value := value.(type) {
	case nil:
	case map[string]any:
		for name, within := range value {
			insertLeaves(fields, append(path.Copy(), fieldpath.PathElement{FieldName: &name}), within)
		}
	case []any:
		if len(value) > 0 {
			fields.Insert(path.Copy())
		}
	default:
		fields.Insert(path.Copy())
	}
}
