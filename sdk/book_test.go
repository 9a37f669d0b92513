package sdk_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// deadline is when a test gives up waiting for what should happen at once.
const deadline = 20 * time.Second

// soon is long on a machine under load, and short for what would wait until another
// ends by itself.
const soon = deadline / 2

// A book is a log that tests can read.
type book struct {
	mu      sync.Mutex
	lines   []line
	written chan struct{} // closed, and made anew, with each line
}

type line struct {
	level slog.Level
	text  string
	attrs map[string]any
}

func newBook() *book { return &book{written: make(chan struct{})} }

func (*book) Enabled(context.Context, slog.Level) bool { return true }
func (b *book) WithAttrs([]slog.Attr) slog.Handler     { return b }
func (b *book) WithGroup(string) slog.Handler          { return b }

func (b *book) Handle(_ context.Context, r slog.Record) error {
	l := line{r.Level, r.Message, make(map[string]any)}
	r.Attrs(func(a slog.Attr) bool {
		l.attrs[a.Key] = a.Value.Any()
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, l)
	close(b.written)
	b.written = make(chan struct{})
	return nil
}

func (b *book) read() ([]line, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines, b.written
}

// await returns the lines with this text once there are n of them.
func (b *book) await(t *testing.T, text string, n int) []line {
	t.Helper()
	timeout := time.After(deadline)
	for {
		lines, written := b.read()
		var found []line
		for _, l := range lines {
			if l.text == text {
				found = append(found, l)
			}
		}
		if len(found) >= n {
			return found
		}
		select {
		case <-written:
		case <-timeout:
			t.Fatalf("%d lines %.60q in the log, want %d:\n%.2000s", len(found), text, n, fmt.Sprint(lines))
		}
	}
}

// order returns the texts of the log's lines that are among texts.
func (b *book) order(texts ...string) (found []string) {
	lines, _ := b.read()
	for _, l := range lines {
		for _, text := range texts {
			if l.text == text {
				found = append(found, text)
			}
		}
	}
	return found
}
