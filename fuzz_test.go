package daap_test

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/daap-dev/daap"
)

// hostile are texts that mean something to a shell, a terminal, a template, YAML, SQL or a path.
var hostile = []string{
	"", " ", "a", "-a", "a-", "a--b", "orders\n", "orders\r\n", "orders\x00", "---\nkind: Secret", "{{ .Values }}", "${HOME}", "`id`",
	"$(id)", "\u202eorders", "o\u200drders", "\x1b[31m", "оrders", "../../etc", "%2f..", "kube-system", "a..b", "a.-b", "A",
	strings.Repeat("a", 64<<10), "'; DROP TABLE tiers; --", "null", "~", "!!binary", "&a", "*a", "\xff", "\ufffd", "\u2028",
}

// seed gives the fuzzer what is hostile everywhere, and what is special to the field.
func seed(f *testing.F, special ...string) {
	f.Helper()
	for _, text := range append(special, hostile...) {
		f.Add(text)
	}
}

// backedUp is a tier that patches are tried on.
func backedUp() daap.Tier {
	return daap.Tier{Name: "small", Profile: daap.Profile{
		Instances: 1, CPU: resource.MustParse("1"), Memory: resource.MustParse("1Gi"), StorageSize: resource.MustParse("10Gi"),
		PGVersion: "17", PoolMode: daap.PoolSession, MaxConnections: 100, DestructionStrategy: daap.StrategyFreeze,
		Backups: daap.Backups{
			BackupEnabled: true, WALArchivingEnabled: true, BackupFrequency: "0 2 * * *", BackupRetentionDays: 7,
			ObjectStorageDestination: "s3://backups",
		},
	}}
}

// FuzzSchedule holds for any schedule that is taken: CloudNativePG's parser reads the same in it, and it comes.
func FuzzSchedule(f *testing.F) {
	seed(f, "0 2 * * *", "*/5 * * * *", "0 0 29 2 *", "0 0 30 2 *", "@reboot", "@every 1s", "TZ=UTC 0 2 * * *", "CRON_TZ=", "TZ=",
		"0 0 2 * * *", "*/99999999999999999999 * * * *", "*/9223372036854775807 * * * *", "0 2 ? * *", "0 2 * * MON-FRI", "0\t2 * * *",
		"0 2 * * *\n", "0\u00a02 * * *", ", * * * *", "+1 2 * * *", "-1 2 * * *", "0  2 * * *", "5-1 * * * *", "0 2 * * 7", "60 * * * *")
	operator := cron.NewParser(cron.Second | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	plain := regexp.MustCompile(`^[ -~]+$`)
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		tier, err := daap.TierPatch{"backup_frequency": text}.Apply(backedUp(), catalog)
		if err != nil {
			return
		}
		schedule, err := operator.Parse("0 " + text)
		next := tier.NextBackup(from)
		switch {
		case !plain.MatchString(text):
			t.Errorf("%q is taken", text)
		case err != nil:
			t.Errorf("%q is taken, and refused by the operator: %v", text, err)
		case next == nil:
			t.Errorf("%q is taken and never comes", text)
		case !next.Equal(schedule.Next(from)):
			t.Errorf("%q comes at %s, and to the operator at %s", text, next, schedule.Next(from))
		}
	})
}

// catalog is what the platform of the tests offers.
var catalog = daap.Catalog{"17": "postgresql:17"}

// FuzzQuantities holds for any quantity that is taken: it is within its bounds, written so that Kubernetes reads the same
// in it, and of whole units of those in which it is kept and scheduled.
func FuzzQuantities(f *testing.F) {
	seed(f, "1", "100m", "99m", "0.1", "100.5m", "1e3", "1e309", "1e99999999", "1e-99999999", "0e2147483647", "1e99", "1E", "1Ei", "1Gi", "1.5Gi", "1G", "300000000001m", "64Ti", "65Ti", "-1Gi",
		"+1Gi", "NaN", "Inf", "0", "1m", "0x10", "1_000", "1 Gi", "1gi", "１Gi", "00001", "1e-9", "999999999999999999999Gi", "128", "128.0001")
	f.Fuzz(func(t *testing.T, text string) {
		for _, field := range []string{"cpu", "memory", "storage_size"} {
			tier, err := daap.TierPatch{field: text}.Apply(backedUp(), catalog)
			if err != nil {
				continue
			}
			got := map[string]resource.Quantity{"cpu": tier.CPU, "memory": tier.Memory, "storage_size": tier.StorageSize}[field]
			low := map[string]string{"cpu": "100m", "memory": "256Mi", "storage_size": "1Gi"}[field]
			high := map[string]string{"cpu": "128", "memory": "1Ti", "storage_size": "64Ti"}[field]
			again, err := resource.ParseQuantity(got.String())
			if err != nil || again.Cmp(got) != 0 {
				t.Errorf("%s %q is written %q, which reads as %s: %v", field, text, got.String(), again.String(), err)
			}
			if got.Cmp(resource.MustParse(low)) < 0 || got.Cmp(resource.MustParse(high)) > 0 {
				t.Errorf("%s %q is taken as %s", field, text, got.String())
			}
			whole := resource.NewQuantity(got.Value(), resource.BinarySI)
			if field == "cpu" {
				whole = resource.NewMilliQuantity(got.MilliValue(), resource.DecimalSI)
			}
			if whole.Cmp(got) != 0 {
				t.Errorf("%s %q is %s, not of whole units", field, text, got.String())
			}
		}
	})
}

// FuzzDestination holds for any destination that is taken: its bucket is one to S3, and its prefix leads nowhere else.
func FuzzDestination(f *testing.F) {
	seed(f, "s3://backups", "s3://backups/team", "s3://backups/", "s3://backups//team", "s3://backups/../x", "s3://backups/.x", "s3://a..b",
		"s3://169.254.169.254/x", "s3://0.0.000.0", "s3://user:pw@host:9000/b", "http://host/b", "s3://backups?x", "s3://backups/a#b", "s3://backups/a b", "/s3://b",
		"s3://backups/%2e%2e", "s3://bac-.kups", "s3://bac.-kups", "s3://"+strings.Repeat("a", 64), "S3://backups", "s3://Backups",
		"s3://backups/a/b/c/d/e", "s3://backups/team\n", "file:///etc/passwd", "s3://backups\\team", "s3://xn--a")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := daap.TierPatch{"object_storage_destination": text}.Apply(backedUp(), catalog)
		if err != nil {
			return
		}
		bucket, prefix, _ := strings.Cut(strings.TrimPrefix(text, "s3://"), "/")
		if err := s3utils.CheckValidBucketNameStrict(bucket); err != nil {
			t.Errorf("%q is taken, and its bucket is none: %v", text, err)
		}
		for part := range strings.SplitSeq(prefix, "/") {
			if part == "." || part == ".." || strings.ContainsAny(part, "%?#\\ ") {
				t.Errorf("%q is taken with %q in its prefix", text, part)
			}
		}
		if len(text) > 300 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q is taken", text)
		}
	})
}

// FuzzStorageClass holds for any name of a storage class that is taken: it is one to Kubernetes.
func FuzzStorageClass(f *testing.F) {
	seed(f, "fast", "fast.ssd", "a..b", "a.-b", "a-.b", ".a", "a.", strings.Repeat("a", 253), strings.Repeat("a", 254))
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := (daap.TierPatch{"storage_class": text}).Apply(backedUp(), catalog); err != nil || text == "" {
			return
		}
		if wrong := validation.IsDNS1123Subdomain(text); len(wrong) > 0 {
			t.Errorf("%q is taken: %v", text, wrong)
		}
	})
}

// FuzzCursor holds for any cursor that is taken: it is the one that was given out, to the byte.
func FuzzCursor(f *testing.F) {
	id := daap.Cursor(uuid.MustParse("01927b6e-0000-7000-8000-000000000001"))
	seed(f, id, id+"\n", id[:10]+"\r\n"+id[10:], id[:21]+"B", id+"==", id+"A", strings.ToLower(id))
	f.Fuzz(func(t *testing.T, text string) {
		page, err := daap.ParsePage(0, text)
		if err == nil && text != "" && daap.Cursor(page.After) != text {
			t.Errorf("%q is taken for %s", text, page.After)
		}
	})
}

// FuzzDatabase holds for any names and texts that are taken: names are DNS labels and label values to Kubernetes, and
// texts are such that PostgreSQL can keep and a terminal show them.
func FuzzDatabase(f *testing.F) {
	seed(f, "orders", "kube-system", "xn--orders", strings.Repeat("a", 40), strings.Repeat("a", 41), "1orders", "מסד נתונים")
	f.Fuzz(func(t *testing.T, text string) {
		with := func(change func(*daap.DatabaseSpec)) error {
			spec := daap.DatabaseSpec{Name: "orders", OwnerTeam: "shop", Tier: "small"}
			change(&spec)
			return spec.Validate()
		}
		for field, err := range map[string]error{
			"name":  with(func(s *daap.DatabaseSpec) { s.Name = text }),
			"team":  with(func(s *daap.DatabaseSpec) { s.OwnerTeam = text }),
			"label": with(func(s *daap.DatabaseSpec) { s.Labels = map[string]string{text: ""} }),
		} {
			switch wrong := append(validation.IsDNS1123Label(text), validation.IsValidLabelValue(text)...); {
			case err != nil:
			case field != "label" && len(wrong) > 0:
				t.Errorf("%s %q is taken: %v", field, text, wrong)
			case len(text) > 63 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
				t.Errorf("%s %q is taken", field, text)
			}
		}
		for field, err := range map[string]error{
			"description": with(func(s *daap.DatabaseSpec) { s.Description = text }),
			"label":       with(func(s *daap.DatabaseSpec) { s.Labels = map[string]string{"env": text} }),
		} {
			if err == nil && (!utf8.ValidString(text) || utf8.RuneCountInString(text) > 500 ||
				strings.ContainsAny(text, "\x00\r\x1b\x7f\u0085\u009b\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")) {
				t.Errorf("%s %q is taken", field, text)
			}
		}
	})
}
