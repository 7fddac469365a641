package manifest

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// AnnotationFields has the names of the fields of spec that DAAP applied, in the form of managedFields. Kubernetes
// keeps who wrote a field, and nothing of one that somebody removed: it is named here, and nobody wrote it.
const AnnotationFields = "daap.io/applied-fields"

// followed are the kinds that are looked at for what others changed.
var followed = []string{"Cluster", "Pooler", "NetworkPolicy"}

// Sent is the object as it goes to Kubernetes: without a status, which is not DAAP's to own, and with the names of its
// fields where it is looked at for what others changed.
func Sent(object runtime.Object) (*unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("convert %T: %w", object, err)
	}
	unstructured.RemoveNestedField(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	sent := &unstructured.Unstructured{Object: content}
	if !slices.Contains(followed, sent.GetKind()) {
		return sent, nil
	}
	fields := fieldpath.NewSet()
	insertLeaves(fields, fieldpath.MakePathOrDie("spec"), content["spec"])
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

// insertLeaves inserts the paths of all that is no map. A list is one: whether its elements are written on their own is
// its schema's to say. What is empty has nothing that somebody could remove, and may have no owner.
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
