package daap

import (
	"encoding/base64"
	"fmt"

	"github.com/google/uuid"
)

// DefaultLimit and MaxLimit bound the number of items in a page.
const (
	DefaultLimit = 50
	MaxLimit     = 100
)

// Page selects a part of a list: newest first, at most Limit items, all older than After.
type Page struct {
	// Limit is from 1 to MaxLimit.
	Limit int
	// After is the ID of the last item of the previous page; the zero UUID is the start of the list.
	After uuid.UUID
}

// Cursor returns After in the form for clients, which is opaque to them.
func Cursor(after uuid.UUID) string {
	return base64.RawURLEncoding.EncodeToString(after[:])
}

// ParsePage returns the page that a client requests, or an Error of CodeValidationFailed that names the field. A limit
// of 0 means DefaultLimit; an empty cursor is the start of the list.
func ParsePage(limit int, cursor string) (Page, error) {
	if limit == 0 {
		limit = DefaultLimit
	}
	if limit < 1 || limit > MaxLimit {
		return Page{}, Invalid(Detail{Field: "limit", Message: "must be a whole number from 1 to 100"})
	}
	if cursor == "" {
		return Page{Limit: limit}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) != len(uuid.UUID{}) || Cursor(uuid.UUID(raw)) != cursor {
		return Page{}, invalidCursor()
	}
	return Page{Limit: limit, After: uuid.UUID(raw)}, nil
}

func invalidCursor() *Error {
	return Invalid(Detail{Field: "cursor", Message: "must be the next_cursor of an earlier page"})
}

// onePage reads a page in order of IDs and returns it with the cursor of the next one, empty on the last. read reads
// the page that it is given a pointer to.
func onePage[T any](
	doing string, page *Page, read func() ([]T, error), id func(T) uuid.UUID,
) ([]T, string, error) {
	return pageOf(doing, &page.Limit, read, func(item T) string { return Cursor(id(item)) })
}

// pageOf is onePage for any order. It raises the limit by one item, which shows whether there is a next page; cursor
// returns the cursor of the items after the given one.
func pageOf[T any](
	doing string, most *int, read func() ([]T, error), cursor func(T) string,
) ([]T, string, error) {
	limit := *most
	*most++
	items, err := read()
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", doing, err)
	}
	if len(items) <= limit {
		return items, "", nil
	}
	return items[:limit], cursor(items[limit-1]), nil
}
