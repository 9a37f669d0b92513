// Package delivery keeps accepted datapoints on disk and brings them to the
// sinks, in order: one lane for each sink, at its own pace, so that a slow one
// delays its own destination and nothing else.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/core/journal"
	"fluxgate/sdk"
)

// A Sink is a destination by its configured name. It must not keep what it is given,
// the metrics included. One that is a [Bulk] may be given several batches at once.
type Sink struct {
	sdk.Sink
	Name     string
	Required bool // what it has not taken is kept, whatever room that needs
	Rate     int  // the most datapoints in a second; 0: as many as it takes
}

// A Bulk is a sink that may take several batches at once.
type Bulk interface {
	sdk.BulkSink
	// Capacity returns how many bytes of batches, as [sdk.AppendBatch] writes them, one
	// call of WriteAll may bring just now; 0: they would go one after the other.
	Capacity() int
}

// A Ledger knows what is accepted, and records it.
type Ledger interface {
	// Restore notes, before anything is judged, that b was accepted earlier. It keeps
	// nothing of b, the metrics included.
	Restore(b sdk.Batch)
	// Underway returns a function that reports whether all that was judged before
	// the call of Underway is known to be accepted, or not.
	Underway() (settled func() bool)
	// Collect takes the newest of each metric that is accepted and not recorded. The
	// function that it returns records that; after an error it is called again. It is
	// nil when there is nothing.
	Collect() (record func(ctx context.Context) error)
	// Record notes that b is delivered, and keeps nothing of it, as Restore. After an
	// error it is called again.
	Record(ctx context.Context, b sdk.Batch) error
}

// Setup is what a delivery needs.
type Setup struct {
	Folder   string // for the journals and the dead letters
	Budget   int64  // bytes on disk for both journals and the dead letters
	Sinks    []Sink
	FillRate int // the most datapoints of history that each sink gets in a second; 0: as many as it takes
	Ledger   Ledger
	Command  func(words string) string // what a person types to have a command of fluxgate, such as "dead list", mean this folder
}

// fillShare is the part of the budget that the journal of backfill has.
const fillShare = 8

// A Delivery is the journals and the lanes to all sinks.
type Delivery struct {
	Live *Stream // in the order of judgement
	Fill *Stream // backfill, at a bounded rate

	targets  []*target
	record   *recorder
	charging sync.Mutex // held from the sum of the letters to its entry
}

// Open opens the journals in s.Folder, makes what is missing, and tells the
// ledger what is accepted and not recorded yet. It refuses, with the remedy, to
// leave datapoints waiting for a sink that is not configured any more. Run must be
// called, and Close in the end.
func Open(s Setup, metrics prometheus.Registerer) (*Delivery, error) {
	d := &Delivery{}
	budgets := shares(s.Budget)
	live, err := openLog(s.Folder, LiveLog, budgets[0].budget)
	if err != nil {
		return nil, err
	}
	fill, err := openLog(s.Folder, FillLog, budgets[1].budget)
	if err != nil {
		return nil, errors.Join(err, live.Close())
	}
	d.Live, d.Fill = newStream(LiveLog, live), newStream(FillLog, fill)
	if err := d.join(s); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	d.register(metrics)
	return d, nil
}

// The journals.
const (
	LiveLog = "live"
	FillLog = "fill" // of backfill
)

// A share is what one journal may take of the budget.
type share struct {
	name   string
	budget int64
}

func shares(budget int64) [2]share {
	return [2]share{{LiveLog, budget - budget/fillShare}, {FillLog, budget / fillShare}}
}

// Folder returns where a journal is kept below folder.
func Folder(folder, name string) string { return filepath.Join(folder, "journal", name) }

func openLog(folder, name string, budget int64) (*journal.Log, error) {
	path := Folder(folder, name)
	log, err := journal.Open(path, journal.Options{
		Budget:    budget,
		Summarize: summarize,
		Report:    func(err error) { slog.Error("journal", "journal", name, "err", err) },
	})
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w", path, err)
	}
	return log, nil
}

// join makes the lanes to every sink, and the one to the ledger.
func (d *Delivery) join(s Setup) error {
	if err := errors.Join(d.Live.forsake(s), d.Fill.forsake(s)); err != nil {
		return err
	}
	for _, sink := range s.Sinks {
		t, err := newTarget(sink, s.Folder)
		if err != nil {
			return err
		}
		d.targets = append(d.targets, t)
		live, err := d.Live.add(t, sink.Rate)
		if err != nil {
			return err
		}
		fill, err := d.Fill.add(t, s.FillRate)
		if err != nil {
			return err
		}
		if err := t.reconcile(live, fill); err != nil {
			return err
		}
	}
	d.charge()
	for _, t := range d.targets {
		t.dead.changed = d.charge
	}
	var err error
	d.record, err = newRecorder(d.Live, s.Ledger)
	return err
}

// charge has the dead letters of required sinks count against the budget of live
// data. An optional sink may not hold that back.
func (d *Delivery) charge() {
	d.charging.Lock()
	defer d.charging.Unlock()
	var bytes int64
	for _, t := range d.targets {
		if d.Live.lane(t.sink.Name).required.Load() {
			bytes += t.dead.size()
		}
	}
	d.Live.letters.Store(bytes)
	d.Live.log.Charge(bytes)
}

// forsake forgets the cursors of sinks that are not configured any more. It is
// an error if something waits for one.
func (s *Stream) forsake(setup Setup) error {
	var errs []error
	for _, b := range s.log.Stored() {
		known := slices.ContainsFunc(setup.Sinks, func(sink Sink) bool { return sink.Name == b.Reader })
		switch {
		case known || b.Reader == recorderName:
		case b.Waiting > 0:
			errs = append(errs, fmt.Errorf("%d datapoints wait in the journal %s for the sink %q, which is not configured: "+
				"configure it again until it has them, or give them up with: %s", b.Waiting, s.name, b.Reader, setup.Command("journal drop "+b.Reader)))
		default:
			errs = append(errs, s.log.Drop(b.Reader))
		}
	}
	return errors.Join(errs...)
}

// Run delivers until ctx ends, and finishes the writes under way. What waits then
// stays in the journals.
func (d *Delivery) Run(ctx context.Context) {
	var lanes, recorder sync.WaitGroup
	delivered, stop := context.WithCancel(context.WithoutCancel(ctx))
	recorder.Go(func() { d.record.run(delivered) })
	for _, s := range []*Stream{d.Live, d.Fill} {
		for _, l := range s.lanes {
			lanes.Go(func() { l.run(ctx) })
		}
	}
	lanes.Wait()
	stop()
	recorder.Wait()
}

// Close ends the journals. Run must have returned.
func (d *Delivery) Close() error {
	errs := []error{d.Live.log.Close(), d.Fill.log.Close()}
	for _, t := range d.targets {
		errs = append(errs, t.dead.close())
	}
	return errors.Join(errs...)
}

// Change gives the sinks other weights: whether they are required, their rate, and
// that of history. The names must be those of before.
func (d *Delivery) Change(sinks []Sink, fillRate int) {
	for _, sink := range sinks {
		for _, s := range []*Stream{d.Live, d.Fill} {
			l := s.lane(sink.Name)
			l.reader.SetOptional(!sink.Required)
			l.required.Store(sink.Required)
		}
		d.Live.lane(sink.Name).pace.set(sink.Rate)
		d.Fill.lane(sink.Name).pace.set(fillRate)
	}
	d.charge()
	d.Live.advanced()
	d.Fill.advanced()
}

// lastWrites is how long a write under way may go on when the server stops.
const lastWrites = 1500 * time.Millisecond
