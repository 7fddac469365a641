package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/oas"
)

// refusal is a request that must be refused, and how.
type refusal struct {
	method, path, body string
	// headers are pairs.
	headers []string
	code    oas.ErrorCode
	// fields are field and message, in order; the message of a code without fields is in message.
	fields  []string
	message string
}

const (
	ruleNames = " lower-case letters, digits and single hyphens, beginning with a letter and ending with a letter or digit"
	ruleName  = "must be 3 to 40" + ruleNames
	ruleTeam  = "must be 2 to 40" + ruleNames
	ruleText  = "must be UTF-8 text without control characters"
	ruleKey   = "a key must be 1 to 63 lower-case letters, digits, dots, slashes, hyphens and underscores, " +
		"beginning and ending with a letter or digit"
	ruleState = "must be one of pending, running, needs_attention, cancelling, succeeded, cancelled"
)

func TestBadCreateIsRefusedNamingTheField(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 41)
	rows := map[string]refusal{}
	row := func(name, body string, fields ...string) {
		rows[name] = refusal{method: http.MethodPost, path: "/databases", body: body, fields: fields}
	}
	with := func(field, value string) string {
		base := map[string]string{"name": `"orders"`, "owner_team": `"shop"`, "tier": `"small"`}
		base[field] = value
		var pairs []string
		for k, v := range base {
			pairs = append(pairs, fmt.Sprintf("%q:%s", k, v))
		}
		return "{" + strings.Join(pairs, ",") + "}"
	}
	row("no fields", `{}`, "name", "is required", "tier", "is required")
	row("name missing", `{"tier":"small"}`, "name", "is required")
	for what, value := range map[string]string{"a number": `5`, "null": `null`, "empty": `""`, "not there": `"nowhere"`} {
		row("tier is "+what, with("tier", value), "tier", "must be the name or ID of a tier; GET /tiers lists them")
	}
	for field, rule := range map[string]string{"name": ruleName, "owner_team": ruleTeam} {
		for what, value := range map[string]string{
			"a number": `5`, "a huge number": `1e999`, "true": `true`, "null": `null`, "an object": `{}`,
			"an array": `["abc"]`, "empty": `""`, "short": `"a"`, "long": `"` + long + `"`, "upper case": `"Orders"`,
			"two hyphens":       `"a--b"`,
			"hyphen at the end": `"abc-"`, "hyphen first": `"-abc"`, "digit first": `"1abc"`, "an underscore": `"a_b"`,
			"a newline": `"abc\n"`, "NUL": `"ab\u0000c"`, "a space": `"a b"`,
			"not ASCII": `"ordérs"`, "half a pair": `"ab\ud800"`,
		} {
			row(field+" is "+what, with(field, value), field, rule)
		}
	}
	row("name is two letters", with("name", `"ab"`), "name", ruleName)
	for what, value := range map[string]string{
		"a number": `5`, "null": `null`, "an object": `{}`, "too long": `"` + strings.Repeat("é", 501) + `"`,
	} {
		row("description is "+what, with("description", value), "description", "must be text of at most 500 characters")
	}
	row("description has a control character", with("description", `"a\u0000"`), "description", ruleText)
	row("description is not UTF-8", with("description", "\"a\xff\""), "description", ruleText)
	for what, value := range map[string]string{
		"null": `null`, "a text": `"env=prod"`, "an array": `[]`, "too many": labels(33),
	} {
		row("labels are "+what, with("labels", value), "labels", "must be an object with at most 32 text values")
	}
	for what, value := range map[string]string{
		"a number": `5`, "null": `null`, "an object": `{}`, "too long": `"` + strings.Repeat("v", 129) + `"`,
	} {
		row("label is "+what, with("labels", `{"env":`+value+`}`), "labels.env", "must be text of at most 128 characters")
	}
	row("label has a control character", with("labels", `{"env":"\u001b"}`), "labels.env", ruleText)
	for what, key := range map[string]string{
		"empty": "", "upper case": "Env", "long": strings.Repeat("k", 64), "a dot at the end": "env.", "a space": "a b",
	} {
		row("label key is "+what, with("labels", fmt.Sprintf("{%q:\"\"}", key)),
			"labels", fmt.Sprintf("has the key %q; %s", key, ruleKey))
	}
	row("unknown field", with("size", `5`), "size", "is not a known field")
	row("unknown field in other case", with("Name", `"x"`), "Name", "is not a known field")
	row("unknown fields", `{"name":"orders","tier":"small","b":1,"a":2}`,
		"a", "is not a known field", "b", "is not a known field")
	row("everything", `{"name":"X","owner_team":5,"tier":"small","labels":{"a":1,"b":null},"size":5}`,
		"labels.a", "must be text of at most 128 characters", "labels.b", "must be text of at most 128 characters",
		"name", ruleName, "owner_team", ruleTeam, "size", "is not a known field")
	row("field given twice", `{"name":"orders","name":"carts","tier":"small"}`, "name", "is given more than once")
	row("bad field given twice", `{"name":5,"name":"carts","tier":"small"}`, "name", "is given more than once")
	row("label given twice", with("labels", `{"a":"1","a":"1","a":"1"}`), "labels.a", "is given more than once")
	for what, body := range map[string]string{"array": `[]`, "text": `"{}"`, "null": `null`, "number": `5`} {
		row("body is "+what, body, "body", "must be an object")
	}
	refuseAll(t, rows)
}

// labels is a JSON object of n labels.
func labels(n int) string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprintf(`"k%d":""`, i))
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

func TestBadPatchIsRefusedNamingTheField(t *testing.T) {
	t.Parallel()
	rows := map[string]refusal{}
	row := func(name, body string, fields ...string) {
		for _, mediaType := range []string{"application/json", "application/merge-patch+json"} {
			rows[name+" as "+mediaType] = refusal{
				method: http.MethodPatch, path: "/databases/" + existing.String(), body: body,
				headers: []string{"Content-Type", mediaType}, fields: fields,
			}
		}
	}
	for what, value := range map[string]string{
		"a number": `5`, "an object": `{}`, "too long": `"` + strings.Repeat("é", 501) + `"`,
	} {
		row("description is "+what, `{"description":`+value+`}`,
			"description", "must be text of at most 500 characters, or null")
	}
	row("description has a control character", `{"description":"\u0007"}`, "description", ruleText)
	for what, value := range map[string]string{"a text": `"env"`, "an array": `[]`, "too many": labels(65)} {
		row("labels are "+what, `{"labels":`+value+`}`, "labels", "must be an object with text values, or null")
	}
	row("labels become too many", `{"labels":`+labels(33)+`}`, "labels", "must have at most 32 entries")
	for what, value := range map[string]string{
		"a number": `5`, "an object": `{}`, "too long": `"` + strings.Repeat("v", 129) + `"`,
	} {
		row("label is "+what, `{"labels":{"env":`+value+`}}`, "labels.env", "must be text of at most 128 characters, or null")
	}
	row("label key is bad", `{"labels":{"Env":""}}`, "labels", `has the key "Env"; `+ruleKey)
	row("name cannot be changed", `{"name":"other"}`, "name", "is not a known field")
	row("status cannot be changed", `{"status":"ready"}`, "status", "is not a known field")
	row("field given twice", `{"description":"a","description":null}`, "description", "is given more than once")
	for what, body := range map[string]string{"array": `[]`, "null": `null`} {
		row("body is "+what, body, "body", "must be an object")
	}
	refuseAll(t, rows)
}

func TestBadQueryIsRefusedNamingTheParameter(t *testing.T) {
	t.Parallel()
	rows := map[string]refusal{}
	row := func(pathAndQuery string, fields ...string) {
		rows[pathAndQuery] = refusal{method: http.MethodGet, path: pathAndQuery, fields: fields}
	}
	for _, list := range []string{"/databases", "/operations", "/databases/" + existing.String() + "/events"} {
		for _, limit := range []string{"0", "101", "-1", "x", "", "1.5", "1e1", "99999999999999999999", "%201"} {
			row(list+"?limit="+limit, "limit", "must be a whole number from 1 to 100")
		}
		for _, cursor := range []string{"x", "AAAA", "%3D", strings.Repeat("A", 201), "A+A%2FA", strings.Repeat("A", 23)} {
			row(list+"?cursor="+cursor, "cursor", "must be the next_cursor of an earlier page")
		}
		row(list+"?limit=1&limit=2", "limit", "must be given once")
		row(list+"?nope=1", "nope", "is not a known parameter")
		row(list+"?Limit=1", "Limit", "is not a known parameter")
		row(list+"?b=1&a=2&limit=5", "a", "is not a known parameter", "b", "is not a known parameter")
		row(list+"?limit=0&a=2", "limit", "must be a whole number from 1 to 100", "a", "is not a known parameter")
		row(list+"?limit=%zz", "query", "must be percent-encoded name=value pairs separated by &")
		row(list+"?limit=1;cursor=", "query", "must be percent-encoded name=value pairs separated by &")
		row(list+"?cursor=%00", "cursor", ruleText)
	}
	for _, team := range []string{"", "a", "Shop", "a--b", "shop%0A", "%00", strings.Repeat("a", 41)} {
		row("/databases?team="+team, "team", ruleTeam)
	}
	for _, status := range []string{"", "gone", "READY", "ready%20"} {
		row("/databases?status="+status, "status", "must be one of provisioning, restoring, ready, updating, freezing, frozen, unfreezing, archiving, archived, deleting, deleted, error")
	}
	for _, label := range []string{"", "env", "=prod", strings.Repeat("a", 199) + "=b", "a=b%0Ac"} {
		row("/databases?label="+label, "label", "must be key=value")
	}
	row("/databases?label=env=a&label=env", "label", "must be key=value")
	row("/databases?label=env=a&label=env=b", "label", "key env is given with two different values")
	row("/databases?"+strings.Repeat("label=a=b&", 9)[:89], "label", "must be given at most 8 times")
	row("/databases?label=env=%00", "label", ruleText)
	row("/databases?label=env=%ff", "label", ruleText)
	for _, id := range []string{"", "x", "00000000-0000-0000-0000-00000000000g"} {
		row("/operations?database_id="+id, "database_id", "must be a UUID")
	}
	for _, state := range []string{"", "over"} {
		row("/operations?state="+state, "state", ruleState)
		row("/operations?cause="+state, "cause", ruleCause())
		row("/operations?kind="+state, "kind", "must be one of provision_database, restore_database, update_database, back_up_database, freeze_database, unfreeze_database, archive_database, delete_database, reconcile_database")
	}
	for _, wait := range []string{"", "61s", "30", "1m", "-1s", "1.5s", "01s", "30s%20", "30S", "100s"} {
		row("/operations/"+existing.String()+"?wait="+wait, "wait", "must be whole seconds from 0s to 60s, such as 30s")
	}
	for _, path := range []string{
		"/databases/" + existing.String(), "/databases/" + existing.String() + "/connection", "/health", "/openapi.json",
		"/operations/" + existing.String(),
	} {
		row(path+"?x", "x", "is not a known parameter")
	}
	rows["unknown parameter of a create"] = refusal{
		method: http.MethodPost, path: "/databases?dry=true", body: `{"name":"orders","tier":"small"}`,
		fields: []string{"dry", "is not a known parameter"},
	}
	rows["unknown parameter of a decision"] = refusal{
		method: http.MethodPost, path: "/operations/" + existing.String() + "/retry?force", body: decided,
		fields: []string{"force", "is not a known parameter"},
	}
	refuseAll(t, rows)
}

// ruleCause names the causes in the domain's order.
func ruleCause() string {
	var names []string
	for _, code := range causeCodes() {
		names = append(names, string(code))
	}
	return "must be one of " + strings.Join(names, ", ")
}

func TestUnreadableBodyIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	rows := map[string]refusal{}
	const empty = "The body is empty; it must be a JSON object."
	create := "The body's Content-Type must be application/json."
	patch := "The body's Content-Type must be application/json or application/merge-patch+json."
	for _, request := range []struct{ method, path, mediaTypes string }{
		{http.MethodPost, "/databases", create},
		{http.MethodPatch, "/databases/" + existing.String(), patch},
		{http.MethodPost, "/operations/" + existing.String() + "/skip", create},
	} {
		row := func(name string, code oas.ErrorCode, message, body string, headers ...string) {
			rows[request.method+" "+request.path+" "+name] = refusal{
				method: request.method, path: request.path, body: body, headers: headers, code: code, message: message,
			}
		}
		json := []string{"Content-Type", "application/json"}
		row("no body", oas.ErrorCodeMalformedRequest, empty, "", json...)
		row("white space", oas.ErrorCodeMalformedRequest, notJSON(2), " \n")
		row("not JSON", oas.ErrorCodeMalformedRequest, notJSON(2), `name=orders`)
		row("half a body", oas.ErrorCodeMalformedRequest, notJSON(17), `{"name":"orders",`)
		row("two bodies", oas.ErrorCodeMalformedRequest, notJSON(4), `{} {}`)
		row("trailing comma", oas.ErrorCodeMalformedRequest, notJSON(19), `{"description":"",}`)
		row("a control character", oas.ErrorCodeMalformedRequest, notJSON(17), "{\"description\":\"\n\"}")
		row("a byte order mark", oas.ErrorCodeMalformedRequest, notJSON(1), "\ufeff{}")
		row("deep", oas.ErrorCodeMalformedRequest, notJSON(10001), strings.Repeat("[", 20000))
		row("65 KiB", oas.ErrorCodeRequestTooLarge, "The body is larger than 64 KiB; send a smaller one.",
			`{"description":"`+strings.Repeat("a", 65<<10)+`"}`)
		for _, mediaType := range []string{"text/plain", "application/xml", "application/json; x", "json", "", "*/*"} {
			row("as "+mediaType, oas.ErrorCodeUnsupportedMediaType, request.mediaTypes, `{}`, "Content-Type", mediaType)
		}
	}
	rows["a create as a patch"] = refusal{
		method: http.MethodPost, path: "/databases", body: `{}`,
		headers: []string{"Content-Type", "application/merge-patch+json"},
		code:    oas.ErrorCodeUnsupportedMediaType, message: create,
	}
	refuseAll(t, rows)
}

func notJSON(at int) string {
	return fmt.Sprintf("The body is not valid JSON; the error is at byte %d.", at)
}

// existing is the ID of a database and an operation that each row finds.
var existing = uuid.MustParse("01927b6e-0000-7000-8000-000000000001")

func refuseAll(t *testing.T, rows map[string]refusal) {
	t.Helper()
	s := start(t)
	s.store.PutDatabase(daap.Database{ID: existing, Status: daap.DatabaseReady})
	s.store.PutOperation(daap.Operation{ID: existing, Kind: daap.DeleteDatabase, State: daap.OperationPending})
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			got := s.do(row.method, row.path, row.body, row.headers...)
			if row.code == "" {
				row.code = oas.ErrorCodeValidationFailed
				row.message = messageOf(row.fields)
			}
			if got.Error.Code != row.code || got.Error.Message != row.message {
				t.Errorf("got %s: %s\nwant %s: %s", got.Error.Code, got.Error.Message, row.code, row.message)
			}
			var fields []string
			for _, d := range got.Error.Details {
				fields = append(fields, d.Field, d.Message)
			}
			if strings.Join(fields, "\n") != strings.Join(row.fields, "\n") {
				t.Errorf("got details %q\nwant %q", fields, row.fields)
			}
		})
	}
	if len(s.store.databases()) != 1 || len(s.store.operations()) != 1 || len(s.store.events(existing)) != 0 {
		t.Error("a refused request changed something")
	}
}

func messageOf(fields []string) string {
	if len(fields) == 2 {
		return fields[0] + " " + fields[1] + "."
	}
	return "Several fields of the request are not valid; see details."
}
