package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
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
		if elsewhere := n == 11 || n == 13; have[n] == elsewhere {
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
	results := []result{
		{Row: "F1", Fault: "kill", Seed: 42, Runs: 5, settlement: settlement{Acknowledged: 10, Duplicated: 2}, Notes: []string{"ready | soon"}},
		{Row: "F1", Fault: "much waiting", Broken: []string{"1 lost"}, settlement: settlement{Acknowledged: 10, Lost: 1}},
		{Row: "F2", Fault: "steps", NotRun: "no tests"},
	}
	page := table(settings{scale: 0.5}, results)
	for _, want := range []string{
		"1 kept, 1 broken, 1 not run", "Scale 0.5", "| 42 | ready", "| kept | 5 | 10 | 0 | 0 | 2 | 0 | 0 |", `ready \| soon`,
		"| BROKEN | 0 | 10 | 1 |", "1 lost |", "| not run | 0 | | | | | | | 0.0 |", "no tests |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the table lacks %q:\n%s", want, page)
		}
	}
	for _, line := range strings.Split(page, "\n") {
		if strings.HasPrefix(line, "| F") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 15 {
			t.Errorf("a line with %d bars: %s", strings.Count(line, "|"), line)
		}
	}
}

// The results of an earlier run stand where there is none of this one.
func TestResultsOfAnEarlierRun(t *testing.T) {
	all := rows()
	result1 := func(r row, runs int) result { return result{Row: r.name, Fault: r.fault, Runs: runs} }
	file := filepath.Join(t.TempDir(), "earlier.json")
	earlier := options{json: file, settings: settings{seed: 7}}
	if err := earlier.write([]result{result1(all[0], 1), result1(all[2], 1)}); err != nil {
		t.Fatal(err)
	}
	got, err := options{with: file}.completed([]result{result1(all[2], 2), result1(all[1], 2)})
	want := []result{result1(all[0], 1), result1(all[1], 2), result1(all[2], 2)}
	want[0].Seed = 7
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// In a subset a row is tried once more, unless datapoints are lost or made up.
func TestSubsetTriesAgain(t *testing.T) {
	for _, tt := range []struct{ lost, tries int }{{0, 2}, {1, 1}} {
		tries := 0
		r := row{name: "F1", fault: "late", try: func(r *run) error {
			tries++
			r.Lost = tt.lost
			r.breaks("%d", tries)
			return nil
		}}
		out := r.do(t.Context(), settings{quick: true})
		if tries != tt.tries || out.verdict() != "BROKEN" {
			t.Errorf("with %d lost it was tried %d times, and is %s", tt.lost, tries, out.verdict())
		}
	}
}
