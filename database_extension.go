package daap

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Extension is an extension in one of the PostgreSQL databases of a database. DAAP lists extensions and never changes
// them.
type Extension struct {
	DatabaseID uuid.UUID
	// PostgresDatabase is the name of the PostgreSQL database; a database may contain several.
	PostgresDatabase string
	// Name and Version are PostgreSQL's values; a version can be any text.
	Name, Version string
	// AvailableVersion is the version that the database's image would install; empty if the image has none.
	AvailableVersion string
	LastCheckedAt    time.Time
}

// The maximum length in bytes of an extension's name and version, and of a PostgreSQL database's name.
const (
	MaxPostgresName     = 63
	MaxExtensionVersion = 80
)

// ExtensionGroup is one version of an extension, with the number of databases that have it.
type ExtensionGroup struct {
	Name, Version string
	// AvailableVersions are the distinct versions that the images of these databases would install.
	AvailableVersions []string
	// Databases is the number of databases with this version, Outdated the number of these that could have another one.
	Databases, Outdated int
	// LastCheckedAt is the time of the oldest scan among these databases.
	LastCheckedAt time.Time
}

// AvailableVersion returns the newest version that an image of the databases would install; empty if there is none.
func (g ExtensionGroup) AvailableVersion() string {
	if len(g.AvailableVersions) == 0 {
		return ""
	}
	return slices.MaxFunc(g.AvailableVersions, CompareVersions)
}

// dotted matches versions that consist of numbers separated by dots.
var dotted = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

// CompareVersions returns a negative number if version a is older than b, a positive one if it is newer, and 0
// otherwise. Dotted versions are compared number by number, with missing numbers as 0; other versions as text.
func CompareVersions(a, b string) int {
	if !dotted.MatchString(a) || !dotted.MatchString(b) {
		return cmp.Compare(a, b)
	}
	left, right := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(left), len(right)) {
		if c := compareNumbers(at(left, i), at(right, i)); c != 0 {
			return c
		}
	}
	return 0
}

func at(parts []string, i int) string {
	if i >= len(parts) {
		return ""
	}
	return parts[i]
}

// compareNumbers compares decimal numbers of any length.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// ExtensionFilter selects groups of extensions; the zero value selects none, as its page is empty.
type ExtensionFilter struct {
	// Name selects one extension; empty selects all.
	Name string
	// OlderThan selects versions older than this one; empty selects all. It requires Name.
	OlderThan string
	// Versions is the resulting set of versions, if OlderThan is given.
	Versions []string
	Page     ExtensionPage
}

// ExtensionPage is a page of groups in order of name and version: at most Limit groups after AfterName and
// AfterVersion, which are empty at the start.
type ExtensionPage struct {
	Limit                   int
	AfterName, AfterVersion string
}

// ParseExtensionPage is the ParsePage of extension groups.
func ParseExtensionPage(limit int, cursor string) (ExtensionPage, error) {
	first, err := ParsePage(limit, "")
	page := ExtensionPage{Limit: first.Limit}
	if err != nil || cursor == "" {
		return page, err
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	name, version, found := strings.Cut(string(raw), "\x00")
	after := ExtensionGroup{Name: name, Version: version}
	if err != nil || !found || name == "" || !printable(name+version) || after.cursor() != cursor {
		return page, invalidCursor()
	}
	page.AfterName, page.AfterVersion = name, version
	return page, nil
}

// cursor returns the cursor of the page after the group. Neither text contains the separator.
func (g ExtensionGroup) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(g.Name + "\x00" + g.Version))
}

// check validates a client's filter.
func (f ExtensionFilter) check() error {
	var c checks
	for _, field := range []struct {
		name, value string
		most        int
	}{{"name", f.Name, MaxPostgresName}, {"older_than", f.OlderThan, MaxExtensionVersion}} {
		if len(field.value) > field.most || !printable(field.value) {
			c.fail(field.name, "must be text of at most %d bytes without control characters", field.most)
		}
	}
	if f.OlderThan != "" && f.Name == "" {
		c.fail("older_than", "requires name: versions of different extensions cannot be compared")
	}
	return c.err()
}

// Extensions are the use cases of extensions across databases.
type Extensions struct{ store extensionStore }

// extensionStore reads the extensions of running databases in scope.
type extensionStore interface {
	// ExtensionGroups returns the groups that the filter selects, in order of name and version.
	ExtensionGroups(ctx context.Context, scope Scope, filter ExtensionFilter) ([]ExtensionGroup, error)
	// ExtensionVersions returns all installed versions of the extension.
	ExtensionVersions(ctx context.Context, scope Scope, name string) ([]string, error)
	// UnscannedDatabases returns the number of databases without a complete list of extensions since the given time.
	UnscannedDatabases(ctx context.Context, scope Scope, since time.Time) (int, error)
}

// NewExtensions returns the use cases on the given store.
func NewExtensions(store extensionStore) *Extensions { return &Extensions{store} }

// ExtensionList is one page of groups of extensions.
type ExtensionList struct {
	Groups []ExtensionGroup
	// Next is the cursor of the next page; empty on the last.
	Next string
	// Unscanned is the number of databases in scope without a fresh scan: the groups may be out of date for them.
	Unscanned int
}

// List returns one page of groups of extensions, in order of name and version. Errors: CodeUnauthenticated,
// CodeForbidden, CodeValidationFailed.
func (e *Extensions) List(ctx context.Context, req Request, filter ExtensionFilter) (ExtensionList, error) {
	by, err := req.authorize(MayListExtensions)
	if err != nil {
		return ExtensionList{}, err
	}
	if err := filter.check(); err != nil {
		return ExtensionList{}, err
	}
	if filter.OlderThan != "" {
		all, err := e.store.ExtensionVersions(ctx, by.Scope, filter.Name)
		if err != nil {
			return ExtensionList{}, fmt.Errorf("list extensions: %w", err)
		}
		filter.Versions = slices.DeleteFunc(all, func(v string) bool { return CompareVersions(v, filter.OlderThan) >= 0 })
	}
	var list ExtensionList
	list.Groups, list.Next, err = pageOf("list extensions", &filter.Page.Limit,
		func() ([]ExtensionGroup, error) { return e.store.ExtensionGroups(ctx, by.Scope, filter) }, ExtensionGroup.cursor)
	if err != nil {
		return ExtensionList{}, err
	}
	list.Unscanned, err = e.store.UnscannedDatabases(ctx, by.Scope, ScanValidSince(time.Now()))
	if err != nil {
		return ExtensionList{}, fmt.Errorf("list extensions: %w", err)
	}
	return list, nil
}
