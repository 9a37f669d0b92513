package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A mutant is Fluxgate with one change in its source, which breaks a promise.
// Where the source has changed so that the text is not there once, the mutant
// must be told anew.
type mutant struct {
	name     string
	file     string // below the module
	old, new string
	row      row
	want     string // among what is broken
}

var mutants = []mutant{
	{
		name: "the cursor is saved before the write", file: "core/delivery/lane.go",
		old: `
		if l.deliver(c, 0, len(c.batch), false) != nil {
			return
		}
		if l.save(c) != nil {
			return
		}
`,
		new: `
		if c.delivered = len(c.batch); l.save(c) != nil {
			return
		}
		if l.deliver(c, 0, len(c.batch), false) != nil {
			return
		}
`,
		row: row{name: "F1", fault: "kill -9 under load", try: func(r *run) error {
			_, err := killSite(r, plan{sinks: []string{pickles, lines}, redis: true}, 8)
			return err
		}},
		want: " lost",
	},
	{
		name: "what one sink has is recorded before the others have it", file: "core/delivery/stream.go",
		old: "l.required.Load() && at.Number < slowest.Number",
		new: "false && at.Number < slowest.Number",
		row: named("F7", "Carbon refuses"), want: "recorded before delivered: ",
	},
	{
		name: "the same, while Carbon takes connections and reads nothing", file: "core/delivery/stream.go",
		old: "l.required.Load() && at.Number < slowest.Number",
		new: "false && at.Number < slowest.Number",
		row: named("F8", "Carbon accepts and never reads"), want: "recorded before delivered: ",
	},
	{
		name: "the ledger is told before the journal", file: "core/flow/flow.go",
		old: `
	kept, delivered := f.Journal.Append(b)
`,
		new: `
	_ = f.Ledger.(interface {
		Record(context.Context, sdk.Batch) error
	}).Record(context.Background(), b)
	kept, delivered := f.Journal.Append(b)
`,
		row: row{name: "F4", fault: "the journal's budget is spent", try: spend}, want: " lost",
	},
}

// spend is budgetSpent without its limits of time: tests share their processors.
func spend(r *run) error {
	s, err := r.site(plan{load: heavy, settings: limits(16 << 20)})
	if err != nil {
		return err
	}
	if err := s.fakes[pickles].be(refuses); err != nil {
		return err
	}
	if err := s.untilRefused(); err != nil {
		return err
	}
	if err := s.fakes[pickles].be(takes); err != nil {
		return err
	}
	if err := s.progress(len(s.load.writers) * s.load.metrics); err != nil {
		return err
	}
	return s.settle()
}

// named returns a row of the matrix.
func named(name, fault string) row {
	for _, r := range rows() {
		if r.name == name && r.fault == fault {
			return r
		}
	}
	panic("there is no row " + name + " " + fault)
}

func TestRowsSeeMutants(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	sound := t.TempDir()
	if out, err := exec.Command("make", "-s", "-C", root, "build", "BIN="+sound).CombinedOutput(); err != nil {
		t.Fatalf("make build: %v\n%s", err, out)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			s := settings{bin: m.build(t, root, sound), quick: true, scale: 1, seed: 7}
			got := m.row.do(t.Context(), s)
			if got.NotRun != "" {
				if os.Getenv("CI") == "true" {
					t.Fatal(got)
				}
				t.Skip(got)
			}
			t.Log(got)
			if broken := strings.Join(got.Broken, "; "); got.verdict() != "BROKEN" || !strings.Contains(broken, m.want) {
				t.Errorf("want broken: %q, got %s", m.want, got)
			}
		})
	}
}

// build returns a folder like that of a sound build, with the mutant in place of
// fluxgate.
func (m mutant) build(t *testing.T, root, sound string) (bin string) {
	t.Helper()
	bin = t.TempDir()
	path := filepath.Join(root, m.file)
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := m.change(string(source))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) string {
		written := filepath.Join(bin, name)
		if err := os.WriteFile(written, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return written
	}
	replace := map[string]string{path: write("changed.go", []byte(changed))}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-overlay", write("overlay.json", overlay), "-o", filepath.Join(bin, "fluxgate"), "./core")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	if err := os.Symlink(filepath.Join(sound, "plugins"), filepath.Join(bin, "plugins")); err != nil {
		t.Fatal(err)
	}
	return bin
}

// change is the mutation.
func (m mutant) change(source string) (string, error) {
	if n := strings.Count(source, m.old); n != 1 {
		return "", fmt.Errorf("%s holds the text that the mutant replaces %d times, want once: tell the mutant anew\n%s", m.file, n, m.old)
	}
	return strings.Replace(source, m.old, m.new, 1), nil
}

func TestMutantsNeedTheirText(t *testing.T) {
	m := mutant{file: "a.go", old: "b", new: "c"}
	for _, source := range []string{"", "a", "b b"} {
		if _, err := m.change(source); err == nil || !strings.Contains(err.Error(), "a.go") {
			t.Errorf("%q: error %v", source, err)
		}
	}
	if got, err := m.change("a b a"); got != "a c a" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
