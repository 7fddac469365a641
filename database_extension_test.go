package daap_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

func TestDottedVersionsCompareByNumber(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		older, newer string
		same         bool
	}{
		{older: "1.9", newer: "1.10"},
		{older: "1.9", newer: "2"},
		{older: "1", newer: "1.1"},
		{older: "2.9.99", newer: "2.10.0"},
		{older: "99999999999999999999", newer: "100000000000000000000"},
		{older: "1.10-dev", newer: "1.9-dev"}, // text
		{older: "1.9", newer: "unpackaged"},
		{older: "", newer: "1.0"},
		{older: "1.0", newer: "1", same: true},
		{older: "01.2", newer: "1.02.0", same: true},
		{older: "next", newer: "next", same: true},
	} {
		one, other := daap.CompareVersions(tt.older, tt.newer), daap.CompareVersions(tt.newer, tt.older)
		if tt.same && (one != 0 || other != 0) || !tt.same && (one >= 0 || other <= 0) {
			t.Errorf("%q to %q is %d, and %d the other way", tt.older, tt.newer, one, other)
		}
	}
}

func TestNewestAvailableVersionIsReported(t *testing.T) {
	t.Parallel()
	for want, of := range map[string][]string{"": nil, "1.10": {"1.9", "1.10", "1.2"}} {
		if got := (daap.ExtensionGroup{AvailableVersions: of}).AvailableVersion(); got != want {
			t.Errorf("of %v it is %q, want %q", of, got, want)
		}
	}
}

// newShelf returns a store of eight databases, one of which has the versions of hstore and a scan that is still trusted.
func newShelf(t *testing.T, versions ...string) *store {
	t.Helper()
	s := newStore(t)
	for i := range 8 {
		db, at := daap.Database{ID: uuid.New(), OwnerTeam: "shop", Status: daap.DatabaseReady}, time.Now().Add(-31*time.Minute)
		var extensions []daap.Extension
		if i == 0 {
			at = time.Now().Add(-29 * time.Minute)
			for _, version := range versions {
				extensions = append(extensions, daap.Extension{PostgresDatabase: "with-" + version, Name: "hstore", Version: version})
			}
		}
		s.PutDatabase(db)
		if err := s.SaveScan(t.Context(), db.ID, daap.Scan{AttemptedAt: at, ScannedAt: &at, ListedAt: &at}, extensions); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestExtensionsAreListedPageByPage(t *testing.T) {
	t.Parallel()
	extensions := daap.NewExtensions(newShelf(t, "1.10", "1.2", "1.8", "1.9"))
	for name, tt := range map[string]struct {
		filter daap.ExtensionFilter
		want   []string
	}{
		"all":             {daap.ExtensionFilter{}, []string{"1.10", "1.2", "1.8", "1.9"}},
		"older than 1.9":  {daap.ExtensionFilter{Name: "hstore", OlderThan: "1.9"}, []string{"1.2", "1.8"}},
		"older than 1.10": {daap.ExtensionFilter{Name: "hstore", OlderThan: "1.10"}, []string{"1.2", "1.8", "1.9"}},
		"older than none": {daap.ExtensionFilter{Name: "hstore", OlderThan: "1.2"}, nil},
	} {
		for limit := 1; limit <= 5; limit++ {
			var got []string
			for cursor, first := "", true; first || cursor != ""; first = false {
				page, err := daap.ParseExtensionPage(limit, cursor)
				if err != nil {
					t.Fatal(err)
				}
				tt.filter.Page = page
				list, err := extensions.List(t.Context(), product, tt.filter)
				if err != nil {
					t.Fatal(err)
				}
				for _, g := range list.Groups {
					got = append(got, g.Version)
				}
				if cursor = list.Next; list.Unscanned != 7 || len(list.Groups) > limit {
					t.Errorf("%s: a page of %d of %d, %d are not scanned", name, len(list.Groups), limit, list.Unscanned)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s by %d: %v, want %v", name, limit, got, tt.want)
			}
		}
	}
}

func TestBadExtensionFilterNamesTheField(t *testing.T) {
	t.Parallel()
	for field, filter := range map[string]daap.ExtensionFilter{
		"older_than": {OlderThan: "1.2"}, "name": {Name: "a\x00b"},
	} {
		_, err := daap.NewExtensions(newShelf(t)).List(t.Context(), product, filter)
		wantCode(t, field, err, daap.CodeValidationFailed)
		if e := daap.AsError(err); e != nil && e.Details[0].Field != field {
			t.Errorf("the refusal names %s, want %s", e.Details[0].Field, field)
		}
	}
	for _, cursor := range []string{"x", "aHN0b3Jl", "AGhzdG9yZQ", daap.Cursor([16]byte{1})} {
		_, err := daap.ParseExtensionPage(10, cursor)
		wantCode(t, "cursor "+cursor, err, daap.CodeValidationFailed)
	}
	_, err := daap.ParseExtensionPage(101, "")
	wantCode(t, "limit", err, daap.CodeValidationFailed)
}
