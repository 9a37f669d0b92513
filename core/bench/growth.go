package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"fluxgate/core/load"
)

// measureGrowth compares servers that have seen more and more metrics.
func measureGrowth(ctx context.Context, b *bench, out *section) {
	const least, most = 1_000, 1_000_000
	rounds, requests, sizes := 3, 12_000, []int{least, 100_000, most}
	if b.quick {
		rounds, requests = 1, 4_000
	}
	name := func(metrics int) string { return strconv.Itoa(metrics) + " metrics" }
	peak := func(metrics int) float64 {
		return median(out.values(name(metrics), func(s sample) float64 { return float64(s.corePeak) }))
	}
	out.load = []string{"--metrics-per-request", strconv.Itoa(acquaintPart), "--connections", "4", "--requests", strconv.Itoa(requests), "--names", "N"}
	out.rounds = medians(rounds, fmt.Sprintf("%d requests", requests))
	for _, metrics := range sizes {
		out.order = append(out.order, name(metrics))
	}
	lost := make(map[string]bool)
	for round := range rounds {
		for _, metrics := range turned(sizes, round) {
			if lost[name(metrics)] {
				continue
			}
			one, err := b.grown(ctx, metrics, requests)
			if err != nil {
				out.fail(name(metrics), err)
				lost[name(metrics)] = true
				continue
			}
			out.add(name(metrics), one)
		}
	}
	for _, metrics := range sizes[1:] {
		out.judgeBeside("CPU per datapoint with "+name(metrics)+", of that with "+name(least), between(0.85, 1.15, ""), name(metrics), name(least), sample.perMillion, ratio)
	}
	out.lines = append(out.lines, fmt.Sprintf("peak memory of the core, with the pages of its files: %s MB with %s, %s MB with %s",
		number(peak(least)/1e6), name(least), number(peak(most)/1e6), name(most)))
	out.judgeBeside("memory of the core under load for each of "+name(most), atMost(250, " bytes"), name(most), name(least),
		func(s sample) float64 { return float64(s.anonymous) },
		func(a, b float64) float64 { return (a - b) / (most - least) })
}

// grown measures a new server that has seen so many metrics once.
func (b *bench) grown(ctx context.Context, metrics, requests int) (one sample, err error) {
	s, err := b.open(ctx, durable)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	const prefix = "bench.growth"
	if err := b.acquaint(ctx, s, prefix, metrics); err != nil {
		return one, err
	}
	return s.sample(ctx, func() (load.Result, error) {
		return b.send(ctx, s, []string{"--prefix", prefix, "--metrics-per-request", strconv.Itoa(acquaintPart), "--names", strconv.Itoa(metrics),
			"--connections", "4", "--requests", strconv.Itoa(requests)})
	})
}

// measureIdle looks at a server that nobody sends to.
func measureIdle(ctx context.Context, b *bench, out *section) {
	span := 20 * time.Second
	if b.quick {
		span = 5 * time.Second
	}
	s, err := b.open(ctx, road{name: "at rest", settings: pickles[:len(pickles)-1] + `, lines: {plugin: fluxgate-sink-plaintext, config: {address: "{{carbon}}"}}, ` +
		`files: {plugin: fluxgate-sink-whisper, config: {path: "{{folder}}", retentions: "60s:1d"}}}`})
	if err != nil {
		out.fail("at rest", err)
		return
	}
	defer func() { out.fail("at rest", s.close()) }()
	pids, err1 := s.processes()
	err2 := s.calm(ctx)
	if err := errors.Join(err1, err2); err != nil {
		out.fail("at rest", err)
		return
	}
	resident, err1 := memory("status", "VmRSS", pids...)
	pss, err2 := memory("smaps_rollup", "Pss", pids...)
	before, err3 := processorTime(pids...)
	err4 := load.Pause(ctx, span)
	after, err5 := processorTime(pids...)
	if err := errors.Join(err1, err2, err3, err4, err5, s.still(pids)); err != nil {
		out.fail("at rest", err)
		return
	}
	out.rounds = fmt.Sprintf("One look, over %v.", span)
	out.lines = append(out.lines, fmt.Sprintf("%d processes, resident size added up %s MB, PSS %s MB", len(pids), number(float64(resident)/1e6), number(float64(pss)/1e6)))
	out.mark("at rest, with four plugins: resident size, added up", atMost(110, " MB"), []float64{float64(resident) / 1e6})
	out.mark("at rest, with four plugins: CPU", atMost(0.5, " %"), []float64{100 * (after - before).Seconds() / span.Seconds()})
}
