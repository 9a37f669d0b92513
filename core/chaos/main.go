// Chaos is the proof of what Fluxgate promises. It starts a Fluxgate with its
// plugins, and real and fake servers around it, sends datapoints that are all
// different, breaks one thing at a time, and settles the books three ways: what
// the senders were answered, what the journal on the disk says, and what the
// sinks hold.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if filepath.Base(os.Args[0]) == floodName {
		floodLog()
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := chaos(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// options are what the flags say.
type options struct {
	settings
	rows        string
	table, json string
	with        string // JSON of an earlier run
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.StringVar(&o.rows, "rows", "", "only these, such as F1,F7; empty: all")
	flags.BoolVar(&o.quick, "subset", false, "so little of each row that all of it takes three minutes")
	flags.Float64Var(&o.scale, "scale", 1, "how much of each row")
	flags.Uint64Var(&o.seed, "seed", rand.Uint64(), "of the schedule")
	flags.StringVar(&o.bin, "bin", "bin", "folder of fluxgate and its plugins")
	flags.StringVar(&o.table, "table", "", "file for the table")
	flags.StringVar(&o.json, "json", "", "file for the results as JSON")
	flags.StringVar(&o.with, "with", "", "results of an earlier run, as JSON, for the rows that are not run now")
	flags.BoolVar(&o.keep, "keep", false, "leave the folders of the rows, with configurations, data and logs")
	flags.Func("env", "NAME=VALUE for fluxgate; may be given again", func(pair string) error {
		o.env = append(o.env, pair)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q: chaos takes flags alone", flags.Arg(0))
	}
	if !(o.scale > 0) {
		return o, fmt.Errorf("-scale %v: must be positive", o.scale)
	}
	if _, err := os.Stat(filepath.Join(o.bin, "fluxgate")); err != nil {
		return o, fmt.Errorf("-bin: %w: run make build", err)
	}
	return o, nil
}

// chosen returns the rows that are asked for.
func (o options) chosen() ([]row, error) {
	all := rows()
	if o.rows == "" {
		return all, nil
	}
	names := strings.Split(o.rows, ",")
	for _, name := range names {
		if !slices.ContainsFunc(all, func(r row) bool { return r.name == name }) {
			return nil, fmt.Errorf("-rows: there is no row %q", name)
		}
	}
	return slices.DeleteFunc(all, func(r row) bool { return !slices.Contains(names, r.name) }), nil
}

// chaos runs the rows and returns the exit code: 0, or 1 when a promise is
// broken or nothing could be tried, 2 when the flags are wrong.
func chaos(ctx context.Context, args []string) (code int, err error) {
	o, err := parse(args)
	if err != nil {
		return 2, err
	}
	chosen, err := o.chosen()
	if err != nil {
		return 2, err
	}
	fmt.Printf("chaos: seed %d, %s\n", o.seed, machine())
	start := time.Now()
	var results []result
	for _, r := range chosen {
		out := r.do(ctx, o.settings)
		if ctx.Err() != nil {
			return 1, fmt.Errorf("interrupted in row %s", r.name)
		}
		fmt.Println(out)
		results = append(results, out)
		if out.verdict() == "BROKEN" {
			code = 1
		}
	}
	fmt.Printf("chaos: %s, in %.0f s\n", tally(results), time.Since(start).Seconds())
	return code, o.write(results)
}

// write keeps the results where the flags say.
func (o options) write(results []result) error {
	results, err := o.completed(results)
	if err != nil {
		return err
	}
	if o.table != "" {
		if err := os.WriteFile(o.table, []byte(table(o.settings, results)), 0o644); err != nil {
			return err
		}
	}
	if o.json == "" {
		return nil
	}
	text, err := json.MarshalIndent(kept{o.seed, results}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(text, '\n'), 0o644)
}

// kept is the results of a run as JSON.
type kept struct {
	Seed    uint64   `json:"seed"`
	Results []result `json:"results"`
}

// completed returns results with those of an earlier run, in the order of the
// matrix.
func (o options) completed(results []result) ([]result, error) {
	if o.with == "" {
		return results, nil
	}
	text, err := os.ReadFile(o.with)
	if err != nil {
		return nil, err
	}
	var earlier kept
	if err := json.Unmarshal(text, &earlier); err != nil {
		return nil, fmt.Errorf("-with %s: %w", o.with, err)
	}
	var all []result
	for _, r := range rows() {
		same := func(other result) bool { return other.Row == r.name && other.Fault == r.fault }
		if i := slices.IndexFunc(results, same); i >= 0 {
			all = append(all, results[i])
		} else if i := slices.IndexFunc(earlier.Results, same); i >= 0 {
			one := earlier.Results[i]
			one.Seed = cmp.Or(one.Seed, earlier.Seed)
			all = append(all, one)
		}
	}
	return all, nil
}
