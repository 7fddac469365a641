package main

import "strings"

// hostile are texts that mean something to a shell, a terminal, a template, YAML, SQL, a path or Kubernetes.
var hostile = []string{
	"", " ", "-a", "a-", "a--b", "abc\n", "a\r\nb: c", "---", "---\nkind: Secret\n", "a\n---\nb", "{{ .Values.x }}", "{{", "${HOME}", "`id`",
	"$(id)", "a\x00b", "\u202eabc", "abc\u202d", "a\u2066b", "a\u200db", "\ufeffabc", "\x1b[31m", "a\x7fb", "a\u009bb", "оrders", "ａｂｃ", "a\u2028b",
	"../../etc", "..", "%2f..%2f", "%00", "abc/../..", "/abc", "abc?x=1", "abc#x", "a b c", "a\\b", "kube-system", "default", "null", "~", "true",
	"0", "!!binary abc", "&a abc", "*abc", "|", ">", "{a: b}", "[a]", "abc: def", "# abc", "@abc", "'; DROP TABLE tiers; --", "<script>",
	"a..b", "a.-b", "\xff\xfe", strings.Repeat("a", 63), strings.Repeat("é", 500), strings.Repeat("a", 60<<10),
}

// special are texts that are hostile, or just not, to one kind of field.
var special = map[string][]string{
	"cpu":              {"1e309", "1e99999999", "1e-99999999", "1Ei", "-1", "NaN", "Inf", "1m", "99m", "100m", "100.5m", "0.1001", "128", "129", "1e2", "0x10", "1_0", "１", "1 "},
	"memory":           {"1e309", "1e99999999", "1Ei", "-1Gi", "NaN", "1m", "255Mi", "256Mi", "1G", "300000000001m", "1Ti", "1.5Gi", "1e9", "1gi", "1Gi\n"},
	"storage_size":     {"1e309", "1e99999999", "8Ei", "-1Gi", "NaN", "1m", "0", "1Gi", "64Ti", "65Ti", "1.5Ti", "10E9", "1e10", "1Gi;"},
	"backup_frequency": {"@reboot", "@daily", "@every 1s", "TZ=UTC 0 2 * * *", "CRON_TZ=Mars/X * * * * *", "0 0 2 * * *", "*/99999999999999999999 * * * *", "*/70 * * * *", "0 2 * * *\n", "0\t2 * * *", "0\u00a02 * * *", "0 2 30 2 *", "0 2 ? * *", "0 2 L * *", ", * * * *", "59 23 * * sun", "* * * * *", "0  4 1-7 * *"},
	"object_storage_destination": {
		"s3://backups", "s3://backups/a/b/c/d", "s3://backups/../x", "s3://backups/.", "s3://backups//x", "s3://backups/", "s3://backups/a?b",
		"s3://backups/a#b", "s3://backups/a b", "s3://backups/%2e%2e", "s3://a..b/x", "s3://169.254.169.254/x", "s3://root:pw@127.0.0.1:9000/b",
		"http://169.254.169.254/latest", "file:///etc/passwd", "/s3://backups", "s3://backups\n", "S3://backups", "s3://backups/" + strings.Repeat("p", 63),
	},
	"storage_class": {"fast", "fast.ssd", strings.Repeat("a", 253), strings.Repeat("a.", 127), "-fast", "fast."},
	"target_time": {
		"2026-01-02T15:04:05Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-02T15:04:05.999999999999Z",
		"2026-01-02T25:00:00Z", "2026-01-02T15:04:05+99:99", "latest", "latest ", "now",
	},
	"expires_at":  {"9999-12-31T23:59:59Z", "2026-01-02 15:04:05", "10000-01-01T00:00:00Z", "2026-13-01T00:00:00Z"},
	"pg_version":  {"17", "017", "17.0", "17 ", "99"},
	"label":       {"=", "=b", "a=", "a=b=c", "a=\x00"},
	"wait":        {"0s", "-1s", "1h", "1e9s", "60s\n"},
	"from":        {"2026-01-02T15:04:05Z", "yesterday"},
	"until":       {"9999-12-31T23:59:59Z"},
	"limit":       {"1", "-1", "1e3", "0x10", "18446744073709551616"},
	"cursor":      {"AZJ7bgAAcACAAAAAAAAAAQ", "AZJ7bgAAcACAAAAAAAAAAQ\n", "AZJ7bgAAcACAAAAAAAAAAR"},
	"tier":        {"kept", "other", "Kept", "kept\x00", "00000000-0000-0000-0000-000000000000"},
	"name":        {"abc", strings.Repeat("a", 40), strings.Repeat("a", 41), "xn--abc", "pg-1", "localhost"},
	"step":        {"cluster", "a_b"},
	"description": {"two\nlines", "مرحبا", "👩\u200d💻"},
}

// raw are values of JSON that are not what a field expects, or more than it takes.
var raw = []string{
	`null`, `{}`, `[]`, `[[]]`, `true`, `0`, `2`, `10`, `-1`, `1.5`, `1e309`, `-1e309`, `1e999999999`, `1e-999999999`, `1e-400`, `99999999999999999999999`, `9223372036854775808`,
	`"\ud800"`, `"\u0000"`, `{"a":"b"}`, `{"a":null}`, `{"\u0000":""}`, `["a"]`,
}

// lists are what is put into fields that are lists: of hostile elements, and of such as are taken.
var lists = map[string][]string{
	"pgaudit_log": {
		`["ddl", "role"]`, `["role", "ddl", "read"]`, `["ddl", "role", "misc_set", "function"]`, `["ddl", "role", "all"]`, `["ddl", "role", "role"]`,
		`["ddl"]`, `["ddl", "role", "-ddl"]`, `["ddl", "role", "none"]`, `["ddl, role", "read"]`, `["ddl", "role", "read\nlog_statement = all"]`,
		`["ddl", "role", "{{.}}"]`, `["ddl", "role", "\u0000"]`, `["ddl", "role", null]`, `["ddl", "role", 1]`, `["ddl", "role", ["read"]]`,
	},
}
