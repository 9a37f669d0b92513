// Bench measures Fluxgate as it ships: programs of their own, driven by `fluxgate
// bench` over loopback, in turns with a server that does nothing, and writes the page
// of numbers. Ratios are taken within one run, since the machine's own speed is not
// that of the next run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if os.Getenv(floorEnv) != "" {
		floor()
	}
	os.Unsetenv("GOGC") // servers run as they ship
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	os.Exit(code)
}

// options are what the flags say.
type options struct {
	bin, page, data string
	rows            string
	quick           bool
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.bin, "bin", "bin", "folder of fluxgate and its plugins")
	flags.StringVar(&o.page, "page", "", "file for the page; empty: standard output")
	flags.StringVar(&o.data, "data", os.TempDir(), "folder on a disk, for what the servers keep meanwhile")
	flags.StringVar(&o.rows, "rows", "", "only these, such as get,post; empty: all")
	flags.BoolVar(&o.quick, "quick", false, "fewer rounds, and shorter ones: numbers to look at, not to keep")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q: bench takes flags alone", flags.Arg(0))
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return o, err
	}
	if _, err := os.Stat(filepath.Join(o.bin, "fluxgate")); err != nil {
		return o, fmt.Errorf("-bin: %w: run make build", err)
	}
	if kind := fileSystem(o.data); kind == "tmpfs" {
		return o, fmt.Errorf("-data %s: is in memory, where a sync costs nothing: give a folder on a disk", o.data)
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

// run measures, writes the page, and returns the exit code: 1 when something could not
// be measured. A mark that is missed is told on the page alone.
func run(ctx context.Context, args []string) (code int, err error) {
	o, err := parse(args)
	if err != nil {
		return 2, err
	}
	chosen, err := o.chosen()
	if err != nil {
		return 2, err
	}
	b, err := newBench(o)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	p := page{machine: machine(o.data), versions: b.versions(ctx), quick: o.quick, began: time.Now()}
	for _, r := range chosen {
		began := time.Now()
		s := b.measure(ctx, r)
		if ctx.Err() != nil {
			return 1, fmt.Errorf("interrupted in the row %s", r.name)
		}
		p.sections = append(p.sections, s)
		fmt.Fprintf(os.Stderr, "bench: %s, in %.0f s\n%s", r.name, time.Since(began).Seconds(), s.summary())
		if len(s.failed) > 0 {
			code = 1
		}
	}
	if o.page == "" {
		_, err = fmt.Print(p.markdown())
		return code, err
	}
	return code, os.WriteFile(o.page, []byte(p.markdown()), 0o644)
}
