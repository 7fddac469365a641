package cluster

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// edited are the managedFields of a Cluster that DAAP applied, that the operator processes, and that people changed
// with kubectl edit, annotate and scale.
const edited = `[
	{"manager": "daap", "operation": "Apply", "apiVersion": "postgresql.cnpg.io/v1", "time": "2026-01-01T10:00:00Z",
	 "fieldsType": "FieldsV1", "fieldsV1": {
		"f:metadata": {"f:labels": {"f:daap.io/managed-by": {}, "f:daap.io/tier": {}}},
		"f:spec": {"f:imageName": {}, "f:postgresql": {"f:parameters": {"f:max_connections": {}}},
			"f:managed": {"f:roles": {"k:{\"name\":\"daap\"}": {".": {}, "f:name": {}}}}}}},
	{"manager": "manager", "operation": "Update", "apiVersion": "postgresql.cnpg.io/v1", "time": "2026-01-01T10:01:00Z",
	 "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {".": {}, "f:phase": {}}}, "subresource": "status"},
	{"manager": "manager", "operation": "Update", "apiVersion": "postgresql.cnpg.io/v1", "time": "2026-01-01T10:01:00Z",
	 "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": {"f:cnpg.io/fencedInstances": {}}}}},
	{"manager": "kubectl-edit", "operation": "Update", "apiVersion": "postgresql.cnpg.io/v1",
	 "time": "2026-01-02T10:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {
		"f:metadata": {"f:labels": {"f:daap.io/team": {}, "f:cost-center": {}}},
		"f:spec": {"f:postgresql": {"f:parameters": {"f:work_mem": {}, "f:pgaudit.log": {}}},
			"f:managed": {"f:roles": {"k:{\"name\":\"root\"}": {".": {}, "f:superuser": {}}}}}}},
	{"manager": "kubectl", "operation": "Update", "apiVersion": "postgresql.cnpg.io/v1", "time": "2026-01-03T10:00:00Z",
	 "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:instances": {}}}, "subresource": "scale"},
	{"manager": "kubectl-annotate", "operation": "Update", "apiVersion": "postgresql.cnpg.io/v1",
	 "time": "2026-01-04T10:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {
		"f:metadata": {"f:annotations": {".": {}, "f:cnpg.io/hibernation": {}, "f:daap.io/applied-fields": {}, "f:note": {}}}}},
	{"manager": "kubectl-cnpg", "operation": "Update", "apiVersion": "postgresql.cnpg.io/v1",
	 "time": "2026-01-04T11:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {
		"f:metadata": {"f:annotations": {"f:kubectl.kubernetes.io/restartedAt": {}}}}},
	{"manager": "watcher", "operation": "Update", "apiVersion": "postgresql.cnpg.io/v1",
	 "fieldsType": "FieldsV1", "fieldsV1": {"f:status": {"f:phase": {}}}, "subresource": "status"}
]`

func managed(t *testing.T, text string) []metav1.ManagedFieldsEntry {
	t.Helper()
	var entries []metav1.ManagedFieldsEntry
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestForeignWritersAreNamedWithTheirFields(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return time.Date(2026, 1, n, 10, 0, 0, 0, time.UTC) }
	want := []Foreign{
		{Manager: "kubectl", Fields: []string{"spec.instances"}, At: day(3)},
		{Manager: "kubectl-annotate", Fields: []string{
			"metadata.annotations[cnpg.io/hibernation]", "metadata.annotations[daap.io/applied-fields]",
		}, At: day(4)},
		{Manager: "kubectl-edit", Fields: []string{
			"metadata.labels[daap.io/team]", `spec.managed.roles[name="root"].superuser`,
			"spec.postgresql.parameters.work_mem", "spec.postgresql.parameters[pgaudit.log]",
		}, At: day(2)},
	}
	got := ForeignWriters(managed(t, edited))
	for i := range got {
		got[i].At = got[i].At.UTC()
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("ForeignWriters writers:\n%v\nwant\n%v", got, want)
	}
	if said := got[0].String(); said != "kubectl changed spec.instances" {
		t.Errorf("the text is: %s", said)
	}
}

func TestFieldWithoutAWriterWasRemoved(t *testing.T) {
	t.Parallel()
	const applied = `{"f:spec":{"f:imageName":{},"f:postgresql":{"f:parameters":{"f:max_connections":{},"f:work_mem":{}}},` +
		`"f:managed":{"f:roles":{}}}}`
	for name, tt := range map[string]struct{ applied, entries, want string }{
		"every field has a writer": {applied, edited, ""},
		"a value":                  {`{"f:spec":{"f:plugins":{},"f:imageName":{}}}`, edited, "spec.plugins"},
		"one value of several": {
			`{"f:spec":{"f:postgresql":{"f:parameters":{"f:max_connections":{},"f:shared_buffers":{}}}}}`, edited,
			"spec.postgresql.parameters.shared_buffers",
		},
		"a value in a field that another writer replaced": {
			applied, `[{"manager": "kubectl-edit", "fieldsV1": {"f:spec": {"f:imageName": {}, "f:managed": {"f:roles": {}},
				"f:postgresql": {"f:parameters": {".": {}, "f:work_mem": {}}}}}}]`, "spec.postgresql.parameters.max_connections",
		},
		"a value in an atomic field": {
			`{"f:spec":{"f:podSelector":{"f:matchLabels":{"f:app":{}}}}}`,
			`[{"manager": "daap", "fieldsV1": {"f:spec": {"f:podSelector": {}}}}]`, "",
		},
		"a field that only the status has": {
			`{"f:spec":{"f:imageName":{}}}`,
			`[{"manager": "daap", "subresource": "status", "fieldsV1": {"f:spec": {"f:imageName": {}}}}]`, "spec.imageName",
		},
		"no field has a writer": {applied, `[]`, "spec.imageName, spec.managed.roles, " +
			"spec.postgresql.parameters.max_connections, spec.postgresql.parameters.work_mem"},
		"applied before the names were recorded": {"", `[]`, ""},
		"invalid names":                          {`{"f:spec":`, `[]`, ""},
	} {
		lost := removed(tt.applied, managed(t, tt.entries))
		if got := listed(fieldNames(lost)); got != tt.want {
			t.Errorf("%s: %q was removed, want %q", name, got, tt.want)
		}
	}
}

func TestOnlyAFewOfManyFieldsAreNamed(t *testing.T) {
	t.Parallel()
	var fields []string
	for i := range 25 {
		fields = append(fields, fmt.Sprintf(`"f:p%02d": {}`, i))
	}
	fields = append(fields, `"f:`+strings.Repeat("long", 100)+`": {}`)
	got := ForeignWriters(managed(t, `[{"manager": "kubectl-edit", "operation": "Update", "fieldsType": "FieldsV1",
		"fieldsV1": {"f:spec": {"f:postgresql": {"f:parameters": {`+strings.Join(fields, ",")+`}}}}}]`))
	if len(got) != 1 || len(got[0].Fields) != maxForeignFields || got[0].More != 16 {
		t.Fatalf("foreign writers: %v", got)
	}
	if first := got[0].Fields[0]; len([]rune(first)) > maxFieldName+1 || !strings.HasSuffix(first, "…") {
		t.Errorf("a long name is shown as: %s", first)
	}
}

func TestValuesOfListsAreNotShown(t *testing.T) {
	t.Parallel()
	got := ForeignWriters(managed(t, `[{"manager": "kubectl-edit", "operation": "Update", "fieldsType": "FieldsV1",
		"fieldsV1": {"f:spec": {"f:names": {"v:\"hunter2\"": {}}}}}]`))
	if len(got) != 1 || got[0].Fields[0] != "spec.names[…]" {
		t.Errorf("foreign writers: %v", got)
	}
}

func TestTakeOverTransfersOnlyDesiredState(t *testing.T) {
	t.Parallel()
	const version = "postgresql.cnpg.io/v1"
	before := managed(t, edited)
	after, taken, err := takenOver(before, version)
	if err != nil || !taken {
		t.Fatalf("taken over: %v, error %v", taken, err)
	}
	if left := ForeignWriters(after); len(left) != 0 {
		t.Errorf("foreign writers left: %v", left)
	}
	all := map[string]string{}
	for _, entry := range after {
		all[entry.Manager+"/"+entry.Subresource] += entry.FieldsV1.GetRawString()
	}
	for _, field := range []string{
		"f:max_connections", "f:work_mem", "f:pgaudit.log", "f:superuser", "f:instances", "f:cnpg.io/hibernation",
		"f:daap.io/team",
	} {
		if !strings.Contains(all["daap/"], field) {
			t.Errorf("DAAP does not own %s: %s", field, all["daap/"])
		}
	}
	for manager, field := range map[string]string{
		"kubectl-edit/": "f:cost-center", "kubectl-annotate/": "f:note", "kubectl-cnpg/": "f:kubectl.kubernetes.io/restartedAt",
		"manager/": "f:cnpg.io/fencedInstances", "manager/status": "f:phase", "watcher/status": "f:phase",
	} {
		if !strings.Contains(all[manager], field) {
			t.Errorf("%s lost %s: %s", manager, field, all[manager])
		}
	}
	if _, scaled := all["kubectl/scale"]; scaled {
		t.Error("a writer without fields still has an entry")
	}
	if again, taken, err := takenOver(after, version); taken || err != nil || !reflect.DeepEqual(again, after) {
		t.Errorf("taken over again: %v, error %v", taken, err)
	}
}

func TestObjectDAAPNeverAppliedCanBeTakenOver(t *testing.T) {
	t.Parallel()
	after, taken, err := takenOver(managed(t, `[{"manager": "kubectl-create", "operation": "Update",
		"apiVersion": "networking.k8s.io/v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:policyTypes": {}}}}]`),
		"networking.k8s.io/v1")
	if err != nil || !taken || len(after) != 1 {
		t.Fatalf("taken over: %v %v, error %v", taken, after, err)
	}
	got := after[0]
	if got.Manager != "daap" || got.Operation != metav1.ManagedFieldsOperationApply ||
		got.FieldsV1.GetRawString() != `{"f:spec":{"f:policyTypes":{}}}` {
		t.Errorf("entry: %+v %s", got, got.FieldsV1.GetRawString())
	}
}
