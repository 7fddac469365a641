package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/daap-dev/daap"
)

const (
	// exportLimit bounds the duration of an export.
	exportLimit = 15 * time.Minute
	// exportChunk is the size of one write of an export, standstill the time a client may take for it.
	exportChunk = 32 << 10
	standstill  = 30 * time.Second
)

// stream reads the export one chunk ahead of its reader. A failure before the first line is returned as an error, which
// can still be sent as a response; a later failure is returned by Read. Close the reader or end ctx to free it.
func (h *Handler) stream(ctx context.Context, export daap.Export) (io.Reader, error) {
	if exchangeOf(ctx).method == http.MethodHead {
		return http.NoBody, nil // the reader is gone
	}
	taken, given := io.Pipe()
	context.AfterFunc(ctx, func() { _ = given.CloseWithError(ctx.Err()) })
	go func() { _ = given.CloseWithError(h.writeLines(ctx, export, given)) }()
	lines := bufio.NewReader(taken)
	if _, err := lines.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return moving{lines, taken, http.NewResponseController(exchangeOf(ctx).writer)}, nil
}

// writeLines writes each entry as a line. It returns a panic as an error, because no caller would recover it.
func (h *Handler) writeLines(ctx context.Context, export daap.Export, to io.Writer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = h.panicked(ctx, p)
		}
	}()
	lines := bufio.NewWriterSize(to, exportChunk)
	err = export(ctx, func(entries []daap.AuditEntry) error { return writeEntries(lines, entries) })
	if err != nil {
		return err
	}
	return lines.Flush()
}

func writeEntries(to io.Writer, entries []daap.AuditEntry) error {
	for _, e := range entries {
		entry := auditEntryToOAS(e)
		line, err := entry.MarshalJSON()
		if err != nil {
			return fmt.Errorf("encode audit entry %s: %w", e.ID, err)
		}
		if _, err := to.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// moving extends the deadline of the response for each chunk.
type moving struct {
	io.Reader
	io.Closer
	deadlines *http.ResponseController
}

func (m moving) Read(chunk []byte) (int, error) {
	n, err := m.Reader.Read(chunk)
	_ = m.deadlines.SetWriteDeadline(time.Now().Add(standstill)) // a writer without deadlines has none to extend
	return n, err
}
