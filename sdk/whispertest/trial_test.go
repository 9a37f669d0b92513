package whispertest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A trial is a test inside a test, that may fail.
type trial struct {
	testing.TB
	fatal    string // what ended it
	errors   []string
	logs     []string
	cleanups []func()
}

// try runs a test and its cleanups.
func try(t *testing.T, test func(testing.TB)) *trial {
	t.Helper()
	tr := &trial{TB: t}
	run := func(f func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		<-done
	}
	run(func() { test(tr) })
	for i := len(tr.cleanups) - 1; i >= 0; i-- {
		run(tr.cleanups[i])
	}
	return tr
}

func (tr *trial) Helper()                   {}
func (tr *trial) Cleanup(f func())          { tr.cleanups = append(tr.cleanups, f) }
func (tr *trial) Failed() bool              { return tr.fatal != "" || len(tr.errors) > 0 }
func (tr *trial) Logf(f string, a ...any)   { tr.logs = append(tr.logs, fmt.Sprintf(f, a...)) }
func (tr *trial) Errorf(f string, a ...any) { tr.errors = append(tr.errors, fmt.Sprintf(f, a...)) }
func (tr *trial) Fatalf(f string, a ...any) {
	tr.fatal = fmt.Sprintf(f, a...)
	runtime.Goexit()
}

// says fails t unless text has all of words.
func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("got %q, want in it %q", text, w)
		}
	}
}
