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
	// exportLimit is how long an export may take in all.
	exportLimit = 15 * time.Minute
	// exportChunk is what an export hands on at once, and standstill how long a client may take for one.
	exportChunk = 32 << 10
	standstill  = 30 * time.Second
)

// stream reads the export a chunk ahead of its reader. What fails before the first line is an error, which can be
// answered; what fails later is one of Read. The reader must be closed, or ctx end.
func (h *Handler) stream(ctx context.Context, export daap.Export) (io.Reader, error) {
	if exchangeOf(ctx).method == http.MethodHead {
		return http.NoBody, nil // nobody would be given what is read
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

// writeLines writes each entry as a line. A panic is an error: nobody above would keep it from ending the process.
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

// moving moves the deadline of the answer along: the client has another while for each chunk that is read for it.
type moving struct {
	io.Reader
	io.Closer
	deadlines *http.ResponseController
}

func (m moving) Read(chunk []byte) (int, error) {
	n, err := m.Reader.Read(chunk)
	_ = m.deadlines.SetWriteDeadline(time.Now().Add(standstill)) // a writer without deadlines has none to move
	return n, err
}
