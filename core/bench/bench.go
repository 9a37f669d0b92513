package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// A bench is where servers are measured.
type bench struct {
	options
	dir    string // on a disk
	memory string // in memory

	prefixes int // of metrics that have been made known
}

func newBench(o options) (b *bench, err error) {
	b = &bench{options: o}
	if b.dir, err = os.MkdirTemp(o.data, "fluxgate-bench-"); err != nil {
		return nil, err
	}
	if b.memory, err = os.MkdirTemp("/dev/shm", "fluxgate-bench-"); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) close() error { return errors.Join(os.RemoveAll(b.dir), os.RemoveAll(b.memory)) }

func (b *bench) fluxgate() string { return filepath.Join(b.bin, "fluxgate") }

// A row is something to measure.
type row struct {
	name, title, text string
	do                func(context.Context, *bench, *section)
}

func rows() []row {
	return []row{
		{"get", "GET, 128 connections", "One datapoint in each request, as many requests as the connections carry. Each of the 16,000 metrics has been seen before: each round has names of its own (`--prefix`), of which one datapoint was sent ahead.", measureGet},
		{"get-new", "GET, 128 connections, metrics never seen before", "The same, and each request brings a new metric: its newest timestamp is looked up in the ledger's store.", measureGetNew},
		{"pace", "GET, 10,000 a second", "Requests at fixed times; latency counts from when each was due. Each of the 16,000 metrics has been seen before.", measurePace},
		{"pace-new", "GET, 10,000 a second, metrics never seen before", "The same, and each request brings a new metric.", measurePaceNew},
		{"post", "POST of 450 metrics", "As many requests as 32 connections carry. *In one process* is the same code with input and sink called as functions.", measurePost},
		{"carbon", "A real Carbon", "A carbon-cache with the limits that it comes with gets the same POSTs from the pickle sink.", measureCarbon},
		{"growth", "Growth", "The same load over more and more metrics, each of which has been seen before; the server is a new one for each round.", measureGrowth},
		{"idle", "At rest", "With four plugins: flux, whisper, pickle, plaintext.", measureIdle},
		{"micro", "Parts alone", "What `go test -bench` says of the parts.", measureMicro},
	}
}

// measure measures a row.
func (b *bench) measure(ctx context.Context, r row) section {
	s := section{title: r.title, text: r.text}
	r.do(ctx, b, &s)
	return s
}
