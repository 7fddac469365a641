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

// Extension is one that a PostgreSQL database within a database has. DAAP tells of extensions and never changes them.
type Extension struct {
	DatabaseID uuid.UUID
	// PostgresDatabase is the name of the PostgreSQL database, of which a database may have several.
	PostgresDatabase string
	// Name and Version are as PostgreSQL tells them; a version is any text.
	Name, Version string
	// AvailableVersion is what the image of the database would install; empty where it has none any more.
	AvailableVersion string
	LastCheckedAt    time.Time
}

// The longest name and version of an extension, and name of a PostgreSQL database, in bytes.
const (
	MaxPostgresName     = 63
	MaxExtensionVersion = 80
)

// ExtensionGroup is one version of an extension, and how many databases have it.
type ExtensionGroup struct {
	Name, Version string
	// AvailableVersions are what the images of those databases would install, each once.
	AvailableVersions []string
	// Databases is how many have it, Outdated how many of those could have another version.
	Databases, Outdated int
	// LastCheckedAt is when the one of them was asked that was asked the longest ago.
	LastCheckedAt time.Time
}

// AvailableVersion is the newest that an image of the databases would install; empty where none has any.
func (g ExtensionGroup) AvailableVersion() string {
	if len(g.AvailableVersions) == 0 {
		return ""
	}
	return slices.MaxFunc(g.AvailableVersions, CompareVersions)
}

// dotted is a version of numbers alone.
var dotted = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*$`)

// CompareVersions is negative where the version a is older than b, positive where it is newer, and zero where neither.
// Versions that are numbers with dots between are compared number by number, where one that is not there is zero;
// others as text.
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

// compareNumbers compares numbers of any length in digits.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// ExtensionFilter chooses groups of extensions; the zero value chooses none, as its page holds none.
type ExtensionFilter struct {
	// Name is that of the only extension; empty for all.
	Name string
	// OlderThan leaves the versions that are older than this one; empty for all. It needs Name.
	OlderThan string
	// Versions are the only ones, where OlderThan is given.
	Versions []string
	Page     ExtensionPage
}

// ExtensionPage is a page of groups in order of name and version: at most Limit of those after AfterName and
// AfterVersion, which are empty at the start.
type ExtensionPage struct {
	Limit                   int
	AfterName, AfterVersion string
}

// ParseExtensionPage is ParsePage for groups of extensions.
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
		return page, Invalid(Detail{Field: "cursor", Message: "must be the next_cursor of an earlier page"})
	}
	page.AfterName, page.AfterVersion = name, version
	return page, nil
}

// cursor is that of what comes after the group. Neither text has the character between them.
func (g ExtensionGroup) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(g.Name + "\x00" + g.Version))
}

// check looks at what a client asks for.
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

// Extensions are the use cases of the extensions of many databases.
type Extensions struct{ store extensionStore }

// extensionStore reads the extensions of databases that run and are in scope.
type extensionStore interface {
	// ExtensionGroups returns those that the filter chooses, in order of name and version.
	ExtensionGroups(ctx context.Context, scope Scope, filter ExtensionFilter) ([]ExtensionGroup, error)
	// ExtensionVersions returns all versions there are of the extension.
	ExtensionVersions(ctx context.Context, scope Scope, name string) ([]string, error)
	// UnscannedDatabases returns how many have no whole list of extensions from then or later.
	UnscannedDatabases(ctx context.Context, scope Scope, since time.Time) (int, error)
}

// NewExtensions returns the use cases on the given store.
func NewExtensions(store extensionStore) *Extensions { return &Extensions{store} }

// ExtensionList is one page of groups of extensions.
type ExtensionList struct {
	Groups []ExtensionGroup
	// Next is the cursor of the next page; empty on the last.
	Next string
	// Unscanned is how many databases in scope have no fresh scan: of those the groups tell what was, or nothing.
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
	limit := filter.Page.Limit
	filter.Page.Limit++ // which tells whether there is a next page
	var list ExtensionList
	if list.Groups, err = e.store.ExtensionGroups(ctx, by.Scope, filter); err != nil {
		return ExtensionList{}, fmt.Errorf("list extensions: %w", err)
	}
	if len(list.Groups) > limit {
		list.Groups = list.Groups[:limit]
		list.Next = list.Groups[limit-1].cursor()
	}
	list.Unscanned, err = e.store.UnscannedDatabases(ctx, by.Scope, ScanBelievedSince(time.Now()))
	if err != nil {
		return ExtensionList{}, fmt.Errorf("list extensions: %w", err)
	}
	return list, nil
}
