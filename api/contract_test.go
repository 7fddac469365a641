package api_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodOptions, http.MethodTrace, "PROPFIND",
}

func TestServedRoutesAreExactlyTheContracts(t *testing.T) {
	t.Parallel()
	s := start(t)
	doc, _ := contract()
	for template, item := range doc.Paths.Map() {
		for _, method := range methods {
			path := strings.ReplaceAll(template, "{id}", uuid.NewString())
			t.Run(method+" "+template, func(t *testing.T) {
				got := s.do(method, path, "")
				promised := item.GetOperation(strings.Replace(method, http.MethodHead, http.MethodGet, 1)) != nil
				switch {
				case method == http.MethodOptions:
					if got.status != http.StatusNoContent || got.header.Get("Allow") != allow(item) {
						t.Errorf("got %d, Allow %q, want %q", got.status, got.header.Get("Allow"), allow(item))
					}
				case promised == (got.status == http.StatusMethodNotAllowed):
					t.Errorf("got %d", got.status)
				case !promised && got.header.Get("Allow") != allow(item):
					t.Errorf("got Allow %q, want %q", got.header.Get("Allow"), allow(item))
				}
			})
		}
	}
}

// allow is what Allow says of a path.
func allow(item *openapi3.PathItem) string {
	var all []string
	for method := range item.Operations() {
		all = append(all, method)
	}
	slices.Sort(all)
	if item.Get != nil {
		all = append(all, http.MethodHead)
	}
	return strings.Join(append(all, http.MethodOptions), ", ")
}

func TestUnknownRouteIsNotFound(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, path := range []string{
		"/", "/database", "/databasesx", "/operations/" + existing.String() + "/x", "/databases/" + existing.String() + "/",
		"//databases", "/Databases", "/openapi.yaml", "/health/", "/databases/" + existing.String() + "/connection/x",
	} {
		for _, method := range methods {
			got := s.do(method, path, "")
			if got.status != http.StatusNotFound {
				t.Errorf("%s %s: got %d", method, path, got.status)
			}
			if method != http.MethodHead && method != http.MethodOptions && got.Error.Message != "There is no such route." {
				t.Errorf("%s %s: got %s", method, path, got.body)
			}
		}
	}
}

func TestMalformedIDLooksMissing(t *testing.T) {
	t.Parallel()
	s := start(t)
	doc, _ := contract()
	for template, item := range doc.Paths.Map() {
		if !strings.Contains(template, "{id}") {
			continue
		}
		for method := range item.Operations() {
			request := func(id string) answer {
				body := map[string]string{http.MethodPatch: `{}`, http.MethodPut: `{}`, http.MethodPost: decided}[method]
				switch {
				case strings.HasSuffix(template, "/rotate"):
					body = `{}`
				case strings.HasSuffix(template, "/restore"):
					body = `{"name":"again","target_time":"latest"}`
				}
				return s.do(method, strings.ReplaceAll(template, "{id}", id), body, "X-Request-Id", "same")
			}
			missing := request(uuid.NewString())
			for _, id := range []string{"x", "%00", "%ff", "%2F", "..%2f", strings.Repeat("a", 5000), existing.String() + "0"} {
				got := request(id)
				if got.status != http.StatusNotFound || string(got.body) != string(missing.body) {
					t.Errorf("%s %s with %.20s: got %d %s", method, template, id, got.status, got.body)
				}
			}
		}
	}
}

func TestRulesOfTheContractAreTheDomains(t *testing.T) {
	t.Parallel()
	doc, _ := contract()
	create := doc.Components.Schemas["CreateDatabaseRequest"].Value.Properties
	for name, row := range map[string]struct {
		schema *openapi3.Schema
		rule   daap.Rule
	}{
		"name":       {create["name"].Value, daap.NameRule},
		"owner_team": {create["owner_team"].Value, daap.TeamRule},
		"TeamName":   {doc.Components.Schemas["TeamName"].Value, daap.TeamRule},
	} {
		if got := row.schema.Extensions["x-rule"]; got != row.rule.Text {
			t.Errorf("%s: x-rule is %q, the domain says %q", name, got, row.rule.Text)
		}
		if row.schema.Pattern != row.rule.Pattern.String() {
			t.Errorf("%s: pattern is %q, the domain has %q", name, row.schema.Pattern, row.rule.Pattern)
		}
		longest := row.schema.MaxLength
		if int(row.schema.MinLength) != row.rule.Min || longest == nil || int(*longest) != row.rule.Max {
			t.Errorf("%s: length is not from %d to %d", name, row.rule.Min, row.rule.Max)
		}
	}
	limit := doc.Components.Parameters["Limit"].Value.Schema.Value
	if *limit.Max != daap.MaxLimit || *limit.Min != 1 || limit.Default != float64(daap.DefaultLimit) {
		t.Errorf("limit is from %v to %v, %v by default", *limit.Min, *limit.Max, limit.Default)
	}
}

func TestEveryRequestFieldHasARule(t *testing.T) {
	t.Parallel()
	doc, _ := contract()
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			at := method + " " + path
			for _, p := range append(slices.Clone(item.Parameters), op.Parameters...) {
				wantRules(t, at+" "+p.Value.Name, p.Value.Schema.Value)
			}
			if op.RequestBody == nil {
				continue
			}
			for _, content := range op.RequestBody.Value.Content {
				wantRules(t, at, content.Schema.Value)
			}
		}
	}
}

func wantRules(t *testing.T, at string, schema *openapi3.Schema) {
	t.Helper()
	if rule, _ := schema.Extensions["x-rule"].(string); !strings.HasPrefix(rule, "must be ") {
		t.Errorf("%s has no x-rule", at)
	}
	for name, property := range schema.Properties {
		wantRules(t, at+"."+name, property.Value)
	}
	if schema.AdditionalProperties.Schema != nil {
		wantRules(t, at+".*", schema.AdditionalProperties.Schema.Value)
	}
	if schema.Items != nil {
		wantRules(t, at+"[]", schema.Items.Value)
	}
}

func TestEnumsOfTheContractAreTheDomains(t *testing.T) {
	t.Parallel()
	states := append(daap.OpenStates(), daap.OperationSucceeded, daap.OperationCancelled)
	codes := []daap.Code{
		daap.CodeInternal, daap.CodeNotFound, daap.CodeValidationFailed, daap.CodeNameTaken, daap.CodeDatabaseBusy,
		daap.CodeWrongStatus, daap.CodeUnavailable, daap.CodeDecisionRefused, daap.CodeIdempotencyKeyReused,
		daap.CodeRequestInProgress, daap.CodeUnauthenticated, daap.CodeForbidden, daap.CodeRateLimited, daap.CodeKeyNotActive, daap.CodeTierInUse, daap.CodeQuotaExceeded,
		daap.CodeDeletionProtected,
		"malformed_request", "method_not_allowed", "request_too_large", "unsupported_media_type", // HTTP's own
	}
	wantEnum(t, "DatabaseStatus", daap.DatabaseStatuses())
	wantEnum(t, "OperationState", states)
	wantEnum(t, "DatabaseHealth", daap.DatabaseHealths())
	wantEnum(t, "ConditionType", daap.ConditionTypes())
	wantEnum(t, "ConditionStatus", daap.ConditionStatuses())
	wantEnum(t, "BackupHealth", daap.BackupHealths())
	wantEnum(t, "StorageState", daap.StorageStates())
	wantEnum(t, "ExtensionsState", daap.ExtensionsStates())
	wantEnum(t, "CertificateHealth", daap.CertificateHealths())
	wantEnum(t, "OperationKind", daap.OperationKinds())
	wantEnum(t, "StepState", []daap.StepState{
		daap.StepPending, daap.StepRunning, daap.StepDone, daap.StepFailed, daap.StepSkipped, daap.StepUndoing,
		daap.StepUndone,
	})
	wantEnum(t, "PoolMode", daap.PoolModes())
	wantEnum(t, "DestructionStrategy", daap.DestructionStrategies())
	wantEnum(t, "PGAuditClass", daap.PGAuditClasses())
	wantEnum(t, "Role", daap.Roles())
	wantEnum(t, "AuditOutcome", daap.Outcomes())
	wantEnum(t, "EventKind", daap.EventKinds())
	wantEnum(t, "CauseCode", causeCodes())
	wantEnum(t, "ErrorCode", codes)
	for _, code := range codes {
		if documentedStatuses()[string(code)] == 0 {
			t.Errorf("the table of codes has no %s", code)
		}
	}
}

func causeCodes() []daap.CauseCode {
	var codes []daap.CauseCode
	for _, cause := range daap.Causes() {
		codes = append(codes, cause.Code)
	}
	return codes
}

func TestTablesOfTheContractExplainEveryValue(t *testing.T) {
	t.Parallel()
	doc, _ := contract()
	table := doc.Components.Schemas["CauseCode"].Value.Description
	for _, cause := range daap.Causes() {
		if row := fmt.Sprintf("| `%s` | %s |\n", cause.Code, cause.Meaning); !strings.Contains(table, row) {
			t.Errorf("the table of causes has no row %s", row)
		}
	}
	for _, kind := range daap.EventKinds() {
		if !strings.Contains(doc.Components.Schemas["EventKind"].Value.Description, "| `"+string(kind)+"` | ") {
			t.Errorf("the table of events has no %s", kind)
		}
	}
}

func TestTableOfConditionsNamesTheProblemStatus(t *testing.T) {
	t.Parallel()
	doc, _ := contract()
	table := doc.Components.Schemas["ConditionType"].Value.Description
	for _, kind := range daap.ConditionTypes() {
		well := daap.Conditions{
			{Type: daap.ConditionReady, Status: daap.ConditionTrue}, {Type: daap.ConditionPrimaryReachable, Status: daap.ConditionTrue},
		}
		for _, status := range []daap.ConditionStatus{daap.ConditionTrue, daap.ConditionFalse} {
			wrong := append(daap.Conditions{{Type: kind, Status: status}}, well...).Health() != daap.HealthHealthy
			told := regexp.MustCompile("\\| `" + string(kind) + "` \\| [^|]+ \\| " + string(status) + " \\|\n").MatchString(table)
			if wrong != told {
				t.Errorf("%s: that %s is wrong is %t, the table says %t", kind, status, wrong, told)
			}
		}
	}
}

func wantEnum[T ~string](t *testing.T, name string, want []T) {
	t.Helper()
	doc, _ := contract()
	var got []string
	for _, value := range doc.Components.Schemas[name].Value.Enum {
		got = append(got, text(t, value))
	}
	var all []string
	for _, value := range want {
		all = append(all, string(value))
	}
	slices.Sort(got)
	slices.Sort(all)
	if rule := doc.Components.Schemas[name].Value.Extensions["x-rule"]; rule != nil {
		for _, value := range all {
			if !regexp.MustCompile(`[ ,]` + value + `(,|$)`).MatchString(text(t, rule)) {
				t.Errorf("%s: the rule does not name %s", name, value)
			}
		}
	}
	if !slices.Equal(got, all) {
		t.Errorf("%s: the contract has %v, the domain %v", name, got, all)
	}
}

func TestExamplesOfTheContractAreAccepted(t *testing.T) {
	t.Parallel()
	s := start(t)
	doc, _ := contract()
	create := doc.Components.Schemas["CreateDatabaseRequest"].Value
	req := &oas.CreateDatabaseRequest{
		Tier:        text(t, create.Properties["tier"].Value.Example),
		Name:        text(t, create.Properties["name"].Value.Example),
		OwnerTeam:   oas.NewOptTeamName(oas.TeamName(text(t, create.Properties["owner_team"].Value.Example))),
		Description: oas.NewOptString(text(t, create.Properties["description"].Value.Example)),
		Labels:      oas.NewOptLabels(oas.Labels{}),
	}
	labels, _ := create.Properties["labels"].Value.Example.(map[string]any)
	for key, value := range labels {
		req.Labels.Value[key] = text(t, value)
	}
	key := text(t, doc.Components.Parameters["IdempotencyKey"].Value.Example)
	params := oas.CreateDatabaseParams{IdempotencyKey: oas.NewOptString(key)}
	res := accepted(t, s.client.CreateDatabase, req, params)
	id := res.Response.Meta.OperationID.String()
	s.store.succeed(res.Response.Meta.OperationID)
	for path, item := range doc.Paths.Map() {
		if item.Get == nil {
			continue
		}
		for _, p := range item.Get.Parameters {
			values, many := p.Value.Example.([]any)
			if !many {
				values = []any{p.Value.Example}
			}
			for _, value := range values {
				if value == nil {
					continue
				}
				at := strings.ReplaceAll(path, "{id}", id) + "?" + p.Value.Name + "=" + text(t, value)
				if got := s.do(http.MethodGet, at, ""); got.status != http.StatusOK {
					t.Errorf("%s: got %d %s", at, got.status, got.body)
				}
			}
		}
	}
}

// text is a value of the contract that must be a text.
func text(t *testing.T, value any) string {
	t.Helper()
	s, ok := value.(string)
	if !ok {
		t.Fatalf("%v is no text", value)
	}
	return s
}
