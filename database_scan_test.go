package daap_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

// scanned is a scan of a few minutes before noon that found nothing wrong.
func scanned(changes ...func(*daap.Scan)) daap.Scan {
	at := noon.Add(-3 * time.Minute)
	s := daap.Scan{
		AttemptedAt: at, ScannedAt: &at, ListedAt: &at, UsedBytes: 100 << 20, WALBytes: 32 << 20, Connections: 3, MaxConnections: 100,
	}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func used(mib, wal int64) func(*daap.Scan) {
	return func(s *daap.Scan) { s.UsedBytes, s.WALBytes = mib<<20, wal<<20 }
}

func connected(n, most int) func(*daap.Scan) {
	return func(s *daap.Scan) { s.Connections, s.MaxConnections = n, most }
}

func refused(s *daap.Scan) {
	s.Reason, s.Message, s.ListedAt = "PermissionDenied", "The database app denies access.", new(noon.Add(-2*time.Hour))
}

// since has all of it be that long ago.
func since(d time.Duration) func(*daap.Scan) {
	return func(s *daap.Scan) {
		at := noon.Add(-d)
		s.AttemptedAt, s.ScannedAt, s.ListedAt = at, &at, &at
	}
}

func TestScanDeterminesItsConditions(t *testing.T) {
	t.Parallel()
	const well, more = "True AsExpected", "Use PATCH /databases/{id} to change the database to a tier with more storage"
	for name, tt := range map[string]struct {
		scan daap.Scan
		// storage, connections and extensions are statuses with their reasons; says is in one of the messages.
		storage, connections, extensions, says string
	}{
		"all checks pass":          {scanned(), well, well, well, ""},
		"79 percent of the volume": {scanned(used(818, 100)), well, well, well, ""},
		"80 percent of the volume": {scanned(used(820, 110)), "False FillingUp", well, well, "80 % of the volume of 1Gi is used; 10 % is WAL. " + more},
		"89 percent of the volume": {scanned(used(921, 100)), "False FillingUp", well, well, "89 % of"},
		"90 percent of the volume": {scanned(used(922, 512)), "False AlmostFull", well, well, "90 % of the volume of 1Gi is used; 50 % is WAL."},
		"all of it, WAL is not known": {scanned(used(1024, 0)), "False AlmostFull", well, well, "the share of WAL is " +
			"unknown"},
		"89 of 100 connections":       {scanned(connected(89, 100)), well, well, well, ""},
		"90 of 100 connections":       {scanned(connected(90, 100)), well, "False FewLeft", well, "90 % of the 100 client connections"},
		"no connections are for them": {scanned(connected(1, 0)), well, "Unknown LimitUnknown", well, ""},
		"never":                       {daap.Scan{}, "Unknown NeverScanned", "Unknown NeverScanned", "Unknown NeverScanned", ""},
		"tried and never done":        {daap.Scan{AttemptedAt: noon, Reason: "ConnectFailed", Message: "connection refused"}, "Unknown NeverScanned", "Unknown NeverScanned", "False ConnectFailed", "connection refused"},
		"half an hour ago":            {scanned(since(30 * time.Minute)), well, well, well, ""},
		"longer ago":                  {scanned(since(31 * time.Minute)), "Unknown Stale", "Unknown Stale", "Unknown Stale", "nothing for 30 minutes"},
		"kept out of a database":      {scanned(refused), well, well, "False PermissionDenied", "denies access"},
		"kept out, and filling up":    {scanned(used(850, 10), refused), "False FillingUp", well, "False PermissionDenied", more},
		"fails now, well long ago":    {scanned(since(time.Hour), refused, func(s *daap.Scan) { s.AttemptedAt = noon }), "Unknown Stale", "Unknown Stale", "False PermissionDenied", ""},
		"failed and not repeated":     {scanned(since(time.Hour), refused), "Unknown Stale", "Unknown Stale", "Unknown Stale", ""},
	} {
		o := daap.Observed{Scan: tt.scan}
		o.Profile.StorageSize = resource.MustParse("1Gi")
		got, says := map[daap.ConditionType]string{}, ""
		for _, c := range o.Observe(nil, noon).Now {
			got[c.Type] = string(c.Status) + " " + c.Reason
			says += c.Message + "\n"
		}
		if got["StorageHeadroom"] != tt.storage || got["ConnectionHeadroom"] != tt.connections || got["ExtensionsScanned"] != tt.extensions || !strings.Contains(says, tt.says) {
			t.Errorf("%s: the conditions are %v\n%s", name, got, says)
		}
	}
}

func TestScanMessagesAreStable(t *testing.T) {
	t.Parallel()
	message := func(used, wal int64, n int) string {
		o := daap.Observed{Scan: scanned(func(s *daap.Scan) { s.UsedBytes, s.WALBytes, s.Connections = used, wal, n })}
		o.Profile.StorageSize = resource.MustParse("10Gi")
		var all string
		for _, c := range o.Observe(nil, noon).Now {
			all += c.Message
		}
		return all
	}
	if was, is := message(9<<30, 1<<30, 950), message(9<<30+60<<20, 1<<30+60<<20, 950); was != is {
		t.Errorf("60 MB more are reported as\n%s\nafter\n%s", is, was)
	}
	if was, is := message(9<<30, 1<<30, 950), message(9<<30+200<<20, 1<<30, 950); was == is {
		t.Errorf("200 MB more are reported as before: %s", is)
	}
}

func TestExtensionsAreFreshOnlyAfterACompleteScan(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		scan daap.Scan
		want daap.ExtensionsState
		why  string
	}{
		"just found":      {scanned(), daap.ExtensionsFresh, ""},
		"kept out since":  {scanned(refused), daap.ExtensionsStale, "denies access"},
		"found long ago":  {scanned(since(time.Hour)), daap.ExtensionsStale, "nothing for 30 minutes"},
		"never asked":     {daap.Scan{}, daap.ExtensionsNever, "has reported nothing yet"},
		"never succeeded": {daap.Scan{AttemptedAt: noon, Reason: "ConnectFailed", Message: "connection refused"}, daap.ExtensionsNever, "connection refused"},
	} {
		if got, reason, why := tt.scan.Extensions(noon); got != tt.want || !strings.Contains(why, tt.why) || (why == "") != (tt.why == "") || (reason == "") != (why == "") {
			t.Errorf("%s: the list is %s, %q; want %s, %q", name, got, why, tt.want, tt.why)
		}
	}
}
