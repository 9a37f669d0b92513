package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fluxgate/core/load"
)

// Roads that several rows have.
const (
	pickles = `sinks: {carbon: {plugin: fluxgate-sink-pickle, config: {address: "{{carbon}}"}}}`
	lines   = `sinks: {carbon: {plugin: fluxgate-sink-plaintext, config: {address: "{{carbon}}"}}}`
	local   = "redis: {address: \"{{redis}}\"}\nledger: {mode: local}\n"
	shared  = "redis: {address: \"{{redis}}\"}\nledger: {mode: shared}\n"
)

var (
	theFloor   = road{name: "floor", program: nothing}
	durable    = road{name: "durable", settings: pickles}
	inMemory   = road{name: "durable, journal in memory", settings: pickles, memory: true}
	asLines    = road{name: "durable, line sink", settings: lines}
	oneProcess = road{name: "in one process", settings: pickles, program: direct}
	redisLocal = road{name: "durable, Redis, local", settings: local + pickles}
	redisEach  = road{name: "durable, Redis, shared", settings: shared + pickles}
)

func requestRate(s sample) float64   { return s.RequestsPerSecond }
func datapointRate(s sample) float64 { return s.DatapointsPerSecond }
func p99(s sample) float64           { return s.Latency.P99 }

// manyNames are more metrics than a load has requests: each is sent once.
const manyNames = "1000000"

func getContest(b *bench) contest {
	return contest{
		flags: []string{"--connections", "128", "--duration", b.duration()}, span: b.duration(),
		roads: []road{theFloor, durable, inMemory, redisLocal, redisEach},
	}
}

func paceContest(b *bench) contest {
	return contest{
		flags: []string{"--rate", "10000", "--connections", "128", "--duration", b.duration()}, span: b.duration(),
		roads: []road{theFloor, durable},
	}
}

// ofKnown has a contest be about metrics that have been seen before.
func (c contest) ofKnown() contest {
	c.known, c.flags = true, append(c.flags, "--names", strconv.Itoa(known))
	return c
}

// ofNew has a contest be about metrics that have not.
func (c contest) ofNew() contest {
	c.flags = append(c.flags, "--names", manyNames)
	return c
}

func measureGet(ctx context.Context, b *bench, out *section) {
	b.compare(ctx, out, getContest(b).ofKnown())
	for _, m := range []struct {
		road  road
		least float64
	}{{durable, 0.60}, {inMemory, 0.80}, {redisEach, 0.45}} {
		out.judgeBeside("GET, 128 connections, "+m.road.name+": requests/s, of the floor's", atLeast(m.least, ""), m.road.name, theFloor.name, requestRate, ratio)
	}
	out.judgeBeside("GET, 128 connections, durable: CPU of all processes, of the floor's", atMost(2, ""), durable.name, theFloor.name, sample.perRequest, ratio)
}

func measureGetNew(ctx context.Context, b *bench, out *section) {
	c := getContest(b).ofNew()
	b.compare(ctx, out, c)
	for _, r := range c.roads[1:] {
		out.tellBeside(r.name+": requests/s, of the floor's", r.name, theFloor.name, requestRate, ratio)
	}
}

func measurePace(ctx context.Context, b *bench, out *section) {
	b.compare(ctx, out, paceContest(b).ofKnown())
	out.judgeBeside("GET at 10,000/s, durable: p99 above the floor's", atMost(1.5, " ms"), durable.name, theFloor.name, p99, difference)
}

func measurePaceNew(ctx context.Context, b *bench, out *section) {
	b.compare(ctx, out, paceContest(b).ofNew())
	out.tellBeside("p99 above the floor's, in ms", durable.name, theFloor.name, p99, difference)
}

func measurePost(ctx context.Context, b *bench, out *section) {
	const metrics = 450
	flags := []string{"--metrics-per-request", fmt.Sprint(metrics), "--connections", "32", "--duration", b.duration()}
	body := load.Body(theKey, metrics)
	var decoding []float64
	decode := func() error {
		took, err := decodeTime(body, metrics)
		decoding = append(decoding, took)
		return err
	}
	roads := []road{theFloor, oneProcess, durable, asLines, inMemory, redisLocal, redisEach}
	b.compare(ctx, out, contest{flags: flags, span: b.duration(), roads: roads, between: decode})
	out.lines = append(out.lines, fmt.Sprintf("encoding/json decodes the same body, and does nothing else, in %s ns a datapoint", number(median(decoding))))
	for _, r := range []road{durable, asLines} {
		out.judge("POST of 450, "+r.name+": CPU s per million datapoints, all processes", atMost(0.60, ""), r.name, sample.perMillion)
	}
	out.judgeBeside("POST of 450, durable: datapoints/s, of those with the journal in memory", atLeast(0.7, ""), durable.name, inMemory.name, datapointRate, ratio)
	out.judgeBeside("POST of 450, durable: datapoints/s, of those in one process", atLeast(0.60, ""), durable.name, oneProcess.name, datapointRate, ratio)
	out.mark("POST of 450: CPU of encoding/json decoding alone, of the whole road's, durable", atLeast(2.5, ""), joined(decoding, out.values(durable.name, sample.perMillion), func(ns, perMillion float64) float64 {
		return ns / (perMillion * 1000)
	}))
}

// decodeTime returns how many nanoseconds of processor time encoding/json takes for a
// datapoint of a body.
func decodeTime(body []byte, metrics int) (float64, error) {
	const span = 500 * time.Millisecond
	began, n := load.ProcessorTime(), 0
	for load.ProcessorTime()-began < span {
		var into struct {
			Key     string
			Metrics []struct {
				Metric    string
				Timestamp int64
				Value     float64
			}
		}
		if err := json.Unmarshal(body, &into); err != nil {
			return 0, err
		}
		if len(into.Metrics) != metrics {
			return 0, fmt.Errorf("encoding/json finds %d metrics, want %d", len(into.Metrics), metrics)
		}
		n += metrics
	}
	return float64((load.ProcessorTime() - began).Nanoseconds()) / float64(n), nil
}

func measureCarbon(ctx context.Context, b *bench, out *section) {
	requests := "1000"
	if b.quick {
		requests = "300"
	}
	real := road{name: "durable, carbon-cache", settings: strings.ReplaceAll(pickles, "{{carbon}}", "{{carbon-cache}}")}
	b.compare(ctx, out, contest{
		flags: []string{"--metrics-per-request", "450", "--connections", "32", "--requests", requests}, span: requests + " requests", roads: []road{real},
	})
	delivery := func(s sample) float64 { return float64(s.Datapoints) / s.delivered.Seconds() }
	out.lines = append(out.lines, fmt.Sprintf("delivered: %s datapoints/s, while Carbon used %s of a core", number(median(out.values(real.name, delivery))),
		number(median(out.values(real.name, func(s sample) float64 { return s.around.Seconds() / s.delivered.Seconds() })))))
	out.judge("carbon-cache: CPU of all of Fluxgate, of Carbon's own", atMost(0.2, ""), real.name, func(s sample) float64 { return s.cpu.Seconds() / s.around.Seconds() })
}
