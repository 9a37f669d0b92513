// Host is a Fluxgate of protocol 1, as far as a sink sees it: it starts the
// program in its first argument with the settings in its second, a JSON object,
// writes the lines of its standard input, each a metric, value and timestamp, in
// one batch, and stops the program. It prints what came of each step.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"fluxgate/testdata/protocol1/sdk"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, program, settings string) error {
	spec := sdk.Spec{Name: "it", Path: program}
	if err := json.Unmarshal([]byte(settings), &spec.Config); err != nil {
		return err
	}
	b, err := read()
	if err != nil {
		return err
	}
	p, err := sdk.StartSink(ctx, spec)
	if err != nil {
		return err
	}
	fmt.Println("opened")
	told("checked", p.Check(ctx))
	told("pinged", p.Ping(ctx))
	told("written", p.Plugin.Write(ctx, b))
	told("stopped", p.Stop(ctx))
	return nil
}

// told prints that something was done, or why not.
func told(done string, err error) {
	if err != nil {
		done = "not " + done + ": " + err.Error()
	}
	fmt.Println(done)
}

func read() (b sdk.Batch, err error) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var d sdk.Datapoint
		if _, err := fmt.Sscan(lines.Text(), &d.Metric, &d.Value, &d.Timestamp); err != nil {
			return nil, err
		}
		b = append(b, d)
	}
	return b, nil
}
