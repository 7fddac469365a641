package persistence

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

var update = flag.Bool("update", false, "write today's rows into testdata/rows, under the newest migration")

// rowForm is one form of a row, with a value of the domain in which every field is set.
type rowForm struct {
	full any
	row  any
	// read returns the value of the domain in a stored row, and the row of that value.
	read func(raw []byte) (domain, row any, err error)
}

func form[D, R any](to func(D) R, from func(R) D) rowForm {
	full := filled[D]()
	return rowForm{full, to(full), func(raw []byte) (domain, row any, err error) {
		var r R
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, nil, err
		}
		return from(r), to(from(r)), nil
	}}
}

// answerForm is the form of a type of answers.
func answerForm[D any](t *testing.T) rowForm {
	t.Helper()
	full := filled[D]()
	row, err := answerRow(full)
	if err != nil {
		t.Fatal(err)
	}
	return rowForm{full, row, func(raw []byte) (domain, row any, err error) {
		var d D
		if err := decodeAnswer(raw, &d); err != nil {
			return nil, nil, err
		}
		row, err = answerRow(d)
		return d, row, err
	}}
}

// rowForms are all forms of JSON in PostgreSQL, by the names of their golden files.
func rowForms(t *testing.T) map[string]rowForm {
	t.Helper()
	at := filled[daap.Conditions]()[0].ObservedAt
	return map[string]rowForm{
		"database_health.conditions": form(toConditionRows,
			func(r []conditionRow) daap.Conditions { return conditionsOf(r, at) }),
		"databases.profile": form(
			func(p daap.Profile) profileRow { return profileRow(p) },
			func(r profileRow) daap.Profile { return daap.Profile(r) }),
		"databases.source": form(
			func(s daap.Source) sourceRow { return sourceRow(s) },
			func(r sourceRow) daap.Source { return daap.Source(r) }),
		"operations.origin": form(
			func(o daap.Origin) originRow { return originRow(o) },
			func(r originRow) daap.Origin { return daap.Origin(r) }),
		"operations.receipt": form(
			func(r daap.Receipt) receiptRow { return receiptRow(r) },
			func(r receiptRow) daap.Receipt { return daap.Receipt(r) }),
		"operations.tier": form(
			func(t daap.Tier) *tierRow { return toTierRow(&t) },
			func(r *tierRow) daap.Tier { return *r.tier() }),
		"idempotency_keys.answer.accepted":  answerForm[accepted](t),
		"idempotency_keys.answer.api_key":   answerForm[daap.APIKey](t),
		"idempotency_keys.answer.operation": answerForm[daap.Operation](t),
		"idempotency_keys.answer.orphan":    answerForm[daap.Orphan](t),
		"idempotency_keys.answer.quota":     answerForm[daap.QuotaUse](t),
		"idempotency_keys.answer.tier":      answerForm[daap.Tier](t),
	}
}

// filled returns a value in which every field, and whatever is below it, is set to a value that no other has. It goes by
// the order of fields and not by their names.
func filled[T any]() T {
	var value T
	n := 0
	fill(reflect.ValueOf(&value).Elem(), &n)
	return value
}

func fill(v reflect.Value, n *int) {
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, *n, 0, time.UTC)))
		return
	case uuid.UUID:
		v.Set(reflect.ValueOf(uuid.UUID{0: 1, 15: byte(*n)}))
		return
	case resource.Quantity:
		v.Set(reflect.ValueOf(resource.MustParse(fmt.Sprintf("%dGi", *n))))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), n)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic(fmt.Sprintf("fill: a field is of type %s", v.Type()))
	}
}

// It does not run in parallel: with -update it writes what the others read.
func TestRowsAreWrittenInTodaysForm(t *testing.T) {
	forms, newest := rowForms(t), newestRows(t)
	if *update {
		newest = filepath.Join("testdata/rows", newestMigration(t))
		if err := os.MkdirAll(newest, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	for name, form := range forms {
		file := filepath.Join(newest, name+".json")
		written := indented(t, form.row)
		if *update {
			if err := os.WriteFile(file, written, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(written, golden) {
			t.Errorf("%s is written as\n%s\nand should be (%v)\n%s\nWhere a new form is meant, it needs a migration; then run "+
				"go test ./persistence -run Rows -update", name, written, err, golden)
		}
	}
	files, err := os.ReadDir(newest)
	if err != nil || len(files) != len(forms) {
		t.Errorf("%s has %d files, %v; want %d", newest, len(files), err, len(forms))
	}
}

func TestRowsOfEveryVersionAreRead(t *testing.T) {
	t.Parallel()
	forms, newest := rowForms(t), newestRows(t)
	files, err := filepath.Glob("testdata/rows/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("golden rows: %v, %v; want some", files, err)
	}
	for _, file := range files {
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		form, known := forms[strings.TrimSuffix(filepath.Base(file), ".json")]
		if !known {
			t.Errorf("%s: nothing reads it", file)
			continue
		}
		domain, again, err := form.read(golden)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if lost := lost("", decoded(t, golden), decoded(t, indented(t, again))); len(lost) > 0 {
			t.Errorf("%s: these are not read: %v", file, lost)
		}
		if got, want := indented(t, domain), indented(t, form.full); filepath.Dir(file) == newest && !bytes.Equal(got, want) {
			t.Errorf("%s is read as\n%s\nwant\n%s", file, got, want)
		}
	}
}

func TestRowWithoutAProfileIsRefused(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		`{}`, `null`, `[]`, `{"Instances": 1, "PGVersion": "17"}`, `{"instances": 1}`, `{"instances": "1", "pg_version": "17"}`,
		`{"instances": 1, "pg_version": "17", "cpu": 1}`, `{"instances": 1, "pg_version": "17", "memory": "1e99999999"}`,
	} {
		var row profileRow
		if err := json.Unmarshal([]byte(raw), &row); err == nil && raw != `null` || row.Instances != 0 {
			t.Errorf("%s is read as %+v, %v; want an error", raw, row, err)
		}
	}
}

// lost are the keys whose values in the golden row are not in the row that was read and written again.
func lost(at string, golden, again any) []string {
	var all []string
	switch golden := golden.(type) {
	case map[string]any:
		again, _ := again.(map[string]any)
		for key, value := range golden {
			all = append(all, lost(at+"."+key, value, again[key])...)
		}
	case []any:
		again, _ := again.([]any)
		for i, value := range golden {
			if i >= len(again) {
				return append(all, at)
			}
			all = append(all, lost(fmt.Sprintf("%s[%d]", at, i), value, again[i])...)
		}
	default:
		if golden != again {
			all = append(all, at)
		}
	}
	slices.Sort(all)
	return all
}

func decoded(t *testing.T, raw []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func indented(t *testing.T, value any) []byte {
	t.Helper()
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(raw, '\n')
}

// newestRows is the directory with the rows of the newest version.
func newestRows(t *testing.T) string {
	t.Helper()
	versions, err := filepath.Glob("testdata/rows/*")
	if err != nil || len(versions) == 0 {
		return ""
	}
	return slices.Max(versions)
}

// newestMigration is its number.
func newestMigration(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("../migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("migrations: %v, %v; want some", files, err)
	}
	number, _, _ := strings.Cut(filepath.Base(slices.Max(files)), "_")
	return number
}
