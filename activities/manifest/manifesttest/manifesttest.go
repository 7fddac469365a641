// Package manifesttest changes profiles field by field, so that tests find a tier field that nothing applies.
package manifesttest

import (
	"encoding/json"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

// Changed returns the profile with another value of the tier field. The test fails if this package does not know the
// type of the value.
func Changed(tb testing.TB, p daap.Profile, field string) daap.Profile {
	tb.Helper()
	values := map[string]json.RawMessage{}
	for name, value := range p.Values() {
		if name == field {
			value = another(value)
		}
		raw, err := json.Marshal(value)
		if err != nil {
			tb.Fatal(err)
		}
		values[name] = raw
	}
	changed, err := daap.ProfileOf(values)
	if err != nil || reflect.DeepEqual(changed.Values()[field], p.Values()[field]) {
		tb.Fatalf("no other value of field %s is known: %v", field, err)
	}
	return changed
}

func another(value any) any {
	switch value := value.(type) {
	case int:
		return value + 1
	case bool:
		return !value
	case []daap.PGAuditClass:
		return append([]daap.PGAuditClass{daap.PGAuditMisc}, value...)
	}
	v := reflect.ValueOf(value)
	if v.Kind() != reflect.String {
		return value
	}
	if q, err := resource.ParseQuantity(v.String()); err == nil {
		q.Add(q)
		return q.String()
	}
	return v.String() + "x"
}
