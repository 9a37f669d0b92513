package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

// A row is one fault, what is promised about it, and how that is tried.
type row struct {
	name    string
	fault   string
	promise string
	try     func(*run) error
}

// rows is the whole matrix, in the order of the table.
func rows() []row {
	all := slices.Concat(crashRows(), journalRows(), carbonRows(), redisRows(), pluginRows(), hostRows(), doorRows(), populateRows(), otherRows())
	slices.SortStableFunc(all, func(a, b row) int { return a.number() - b.number() })
	return all
}

// number is the number of the fault: two rows may try one fault.
func (r row) number() (n int) {
	_, _ = fmt.Sscanf(r.name, "F%d", &n) // all names have one, which a test sees to
	return n
}

// Settings are how the rows are tried.
type settings struct {
	bin   string
	env   []string // for fluxgate besides
	scale float64
	quick bool // only as long as a subset may take
	seed  uint64
	keep  bool // the folders of the rows
}

// A result is what came out of a row.
type result struct {
	settlement
	Row    string        `json:"row"`
	Fault  string        `json:"fault"`
	Seed   uint64        `json:"seed"`
	Runs   int           `json:"runs"` // how often the fault was injected
	Broken []string      `json:"broken,omitempty"`
	Notes  []string      `json:"notes,omitempty"`
	NotRun string        `json:"not_run,omitempty"` // why it was not run
	Took   time.Duration `json:"took"`
}

// verdict is one word, or two.
func (r result) verdict() string {
	switch {
	case r.NotRun != "":
		return "not run"
	case len(r.Broken) > 0:
		return "BROKEN"
	}
	return "kept"
}

// String is the line for a person.
func (r result) String() string {
	line := fmt.Sprintf("%-4s %s: %s", r.Row, r.Fault, r.verdict())
	if r.NotRun != "" {
		return line + "  " + r.NotRun
	}
	if r.Acknowledged > 0 {
		line += fmt.Sprintf("  acknowledged %d lost %d phantom %d duplicated %d reordered %d indeterminate %d",
			r.Acknowledged, r.Lost, r.Phantom, r.Duplicated, r.Reordered, r.Indeterminate)
	}
	line += fmt.Sprintf("  runs %d  %.1fs", r.Runs, r.Took.Seconds())
	if len(r.Notes) > 0 {
		line += "  (" + strings.Join(r.Notes, "; ") + ")"
	}
	for _, b := range r.Broken {
		line += "\n     broken: " + strings.ReplaceAll(b, "\n", " ")
	}
	return line
}

// A run is one try of a row.
type run struct {
	settings
	*result
	ctx  context.Context
	rng  *rand.Rand
	dir  string // its folder; its path is short
	ends []func()
}

// notRun is why a row cannot be tried here.
type notRun string

func (n notRun) Error() string { return string(n) }

// do tries the row and judges it. In a subset a promise about time alone may be
// tried once more: the machine may have had something else to do.
func (r row) do(ctx context.Context, s settings) result {
	out := r.once(ctx, s)
	if !s.quick || len(out.Broken) == 0 || out.Lost+out.Phantom+out.Reordered > 0 || ctx.Err() != nil {
		return out
	}
	again := r.once(ctx, s)
	again.Notes = append(again.Notes, "tried again after: "+strings.Join(out.Broken, "; "))
	return again
}

func (r row) once(ctx context.Context, s settings) result {
	start := time.Now()
	out := &result{Row: r.name, Fault: r.fault, Seed: s.seed}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(r.name)) // never fails
	dir, err := os.MkdirTemp("", "chaos-")
	if err == nil {
		t := &run{settings: s, result: out, ctx: ctx, rng: rand.New(rand.NewPCG(s.seed, hash.Sum64())), dir: dir}
		err = errors.Join(r.try(t), t.end())
	}
	var why notRun
	switch {
	case errors.As(err, &why):
		out.NotRun = string(why)
	case err != nil:
		out.Broken = append(out.Broken, err.Error())
	}
	out.Took = time.Since(start)
	return *out
}

// end ends all that the run has started, the newest first.
func (r *run) end() error {
	for _, end := range slices.Backward(r.ends) {
		end()
	}
	if r.keep {
		return nil
	}
	return os.RemoveAll(r.dir)
}

// atEnd has f called when the run ends.
func (r *run) atEnd(f func()) { r.ends = append(r.ends, f) }

func (r *run) breaks(format string, args ...any) {
	r.Broken = append(r.Broken, fmt.Sprintf(format, args...))
}

func (r *run) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// wait returns after d.
func (r *run) wait(d time.Duration) error { return pause(r.ctx, d) }

// between returns a random time between a and b.
func (r *run) between(a, b time.Duration) time.Duration {
	return a + time.Duration(r.rng.Int64N(int64(b-a)))
}

// count returns how often to do what is done full times at scale 1, and quick
// times in the subset.
func (r *run) count(full, quick int) int {
	if r.quick {
		return quick
	}
	return max(1, int(r.scale*float64(full)))
}

// span is like count, for times.
func (r *run) span(full, quick time.Duration) time.Duration {
	if r.quick {
		return quick
	}
	return max(quick, time.Duration(r.scale*float64(full)))
}
