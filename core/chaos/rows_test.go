package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// withImpostor returns how rows are tried with an impostor instead of Fluxgate.
func withImpostor(t *testing.T, fault string) settings {
	t.Helper()
	bin := t.TempDir()
	if err := copySelf(filepath.Join(bin, "fluxgate")); err != nil {
		t.Fatal(err)
	}
	return settings{bin: bin, env: []string{faultEnv + "=" + fault}, quick: true, scale: 1, seed: 7}
}

var (
	quietRow = row{name: "F0", fault: "nothing", try: underLoad(plan{sinks: []string{lines}}, func(s *site) error {
		return s.run.wait(300 * time.Millisecond)
	})}
	killedRow = row{name: "F0", fault: "kill -9", try: func(r *run) error {
		_, err := killSite(r, plan{sinks: []string{lines}}, 8)
		return err
	}}
)

func TestRowsSeeWhatIsBroken(t *testing.T) {
	tests := []struct {
		fault string
		row   row
		want  string // among what is broken; empty: the promise is kept
	}{
		{"", quietRow, ""},
		{"", killedRow, ""},
		{"loses", quietRow, " lost"},
		{"makes up", quietRow, " phantom"},
		{"changes", quietRow, " lost"},
		{"reorders", quietRow, " reordered"},
		{"duplicates", quietRow, ""},
		{"refuses", quietRow, "are answered 4xx"},
		{"unbalanced", quietRow, `fluxgate_accounting_imbalance{sink="lines"} was 1`},
		{"silent gauge", quietRow, "fluxgate_accounting_imbalance is not shown"},
		{"counts twice", quietRow, "were sent"},
		{"disk books short", quietRow, "are acknowledged"},
		{"disk books unbalanced", quietRow, "imbalance 1, told 0"},
		{"disk books of nothing", quietRow, "printed no books"},
		{"leaves with 1", quietRow, "left with exit status 1"},
		{"answers from memory", quietRow, ""},
		{"answers from memory", killedRow, " lost"},
		{"remembers before it delivers", quietRow, ""},
		{"remembers before it delivers", killedRow, " lost"},
		{"has a journal", killedRow, ""},
		{"moves on before it writes", quietRow, ""},
		{"moves on before it writes", killedRow, " lost"},
	}
	results := make([]result, len(tests))
	var tries errgroup.Group
	tries.SetLimit(4)
	for i, tt := range tests {
		s := withImpostor(t, tt.fault)
		tries.Go(func() error {
			results[i] = tt.row.do(t.Context(), s)
			return nil
		})
	}
	_ = tries.Wait() // the results tell
	for i, tt := range tests {
		t.Run(fmt.Sprintf("%q, %s", tt.fault, tt.row.fault), func(t *testing.T) {
			got := results[i]
			broken := strings.Join(got.Broken, "; ")
			if tt.want == "" && broken != "" || !strings.Contains(broken, tt.want) || got.NotRun != "" {
				t.Errorf("want broken: %q, got %s", tt.want, got)
			}
			if tt.want == "" && got.verdict() != "kept" || tt.want != "" && got.verdict() != "BROKEN" {
				t.Errorf("verdict %q", got.verdict())
			}
			if (got.Duplicated > 0) != (tt.fault == "duplicates") && tt.row.fault != "kill -9" {
				t.Errorf("%d duplicated", got.Duplicated)
			}
		})
	}
}

func TestMatrixIsWhole(t *testing.T) {
	have := map[int]bool{}
	for _, r := range rows() {
		if n := r.number(); n == 0 || r.name != fmt.Sprintf("F%d", n) || r.fault == "" || r.promise == "" || r.try == nil {
			t.Errorf("row %+v", r)
		}
		have[r.number()] = true
	}
	for n := 1; n <= 33; n++ {
		if elsewhere := n == 11 || n == 13 || n == 30; have[n] == elsewhere {
			t.Errorf("F%d: %v", n, have[n])
		}
	}
}

func TestFlags(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "fluxgate"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"-rows F1,F7":   "",
		"-rows F1,F99":  `no row "F99"`,
		"-rows F1 F7":   `"F7": chaos takes flags alone`,
		"-scale 0":      "must be positive",
		"-bin /nowhere": "run make build",
	} {
		o, err := parse(append([]string{"-bin", bin}, strings.Fields(args)...))
		if err == nil {
			_, err = o.chosen()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", args, err, want)
		}
	}
	o, err := parse([]string{"-bin", bin, "-rows", "F1"})
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := o.chosen()
	if err != nil || len(chosen) != 2 || chosen[0].name != "F1" {
		t.Errorf("chosen %v, %v", chosen, err)
	}
}

func TestOneScheduleForASeed(t *testing.T) {
	schedule := func(seed uint64, name string) (drawn string) {
		r := row{name: name, try: func(r *run) error {
			for range 5 {
				drawn += fmt.Sprint(r.between(0, time.Hour), " ")
			}
			return nil
		}}
		r.do(t.Context(), settings{seed: seed})
		return drawn
	}
	first, again := schedule(1, "F1"), schedule(1, "F1")
	if first != again || schedule(1, "F1") == schedule(2, "F1") || schedule(1, "F1") == schedule(1, "F2") {
		t.Error("the schedule does not come from the seed and the row")
	}
}

func TestTableTellsEveryRow(t *testing.T) {
	all := rows()[:3]
	results := []result{
		{Row: "F1", Fault: "kill", Runs: 5, settlement: settlement{Acknowledged: 10, Duplicated: 2}, Notes: []string{"ready | soon"}},
		{Row: "F1", Fault: "much waiting", Broken: []string{"1 lost"}, settlement: settlement{Acknowledged: 10, Lost: 1}},
		{Row: "F2", Fault: "steps", NotRun: "no tests"},
	}
	page := table(settings{seed: 42, scale: 0.5}, all, results)
	for _, want := range []string{
		"1 kept, 1 broken, 1 not run", "Seed 42, scale 0.5", "| kept | 5 | 10 | 0 | 0 | 2 | 0 | 0 |", `ready \| soon`,
		"| BROKEN | 0 | 10 | 1 |", "1 lost |", "| not run | 0 | | | | | | | 0.0 |", "no tests |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the table lacks %q:\n%s", want, page)
		}
	}
	for _, line := range strings.Split(page, "\n") {
		if strings.HasPrefix(line, "| F") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 14 {
			t.Errorf("a line with %d bars: %s", strings.Count(line, "|"), line)
		}
	}
}
