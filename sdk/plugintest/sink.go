package plugintest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"fluxgate/sdk"
)

var sinkSentences = []sentence{
	onBoth("stores what it acknowledges", storesWhatItAcknowledges),
	onBoth("stores what it acknowledges, however short the time", storesInAHurry),
	onBoth("accepts an empty batch", acceptsAnEmptyBatch),
	onBoth("accepts the same batch twice, and the last value of an interval stays", acceptsABatchTwice),
	onBoth("stores what several calls bring at once", storesConcurrently),
	onBoth("stores a batch of 5,000 datapoints", storesALargeBatch),
	onBoth("stores several batches at once in their order, or says that it has not", storesSeveral),
	onBoth("stores a bad datapoint or refuses it as invalid, and goes on", survivesBadDatapoints),
	onBoth("keeps what it has acknowledged when it is stopped", keepsWhenStopped),
	onBoth("keeps what it has acknowledged when it is killed", keepsWhenKilled),
}

// A sink is a running sink plugin.
type sink struct{ *sdk.Process[sdk.Sink] }

func (s sink) leave()                         { leave(s.Process) }
func (s sink) work(ctx context.Context) error { return s.write(ctx, batch("work", 1)) }

func (s sink) write(ctx context.Context, b sdk.Batch) error {
	ctx, cancel := within(ctx)
	defer cancel()
	return s.Plugin.Write(ctx, b)
}

// batch returns n datapoints, of a metric for every 50, at the latest full minutes.
// A metric is below fluxgate.kit and the given name.
func batch(name string, n int) sdk.Batch {
	const points = 50
	latest := time.Now().Unix()/60*60 - 60
	b := make(sdk.Batch, n)
	for i := range b {
		b[i] = sdk.Datapoint{
			Metric:    fmt.Sprintf("fluxgate.kit.%s.m%d", name, i/points),
			Timestamp: latest - 60*int64(points-1-i%points),
			Value:     float64(i) + 0.5,
		}
	}
	return b
}

// batch is the function of that name, for metrics of the kit's plane alone.
func (k *kit) batch(name string, n int) sdk.Batch {
	if k.portable {
		name += ".grpc"
	}
	return batch(name, n)
}

func (k *kit) sink(ctx context.Context) (sink, error) {
	p, err := k.one(ctx)
	if err != nil {
		return sink{}, err
	}
	return p.(sink), nil
}

// pollInterval is how often what is stored is asked for.
const pollInterval = 20 * time.Millisecond

// await returns when all of b is stored, or tells what is not.
func (k *kit) await(ctx context.Context, b sdk.Batch) error {
	if k.Stored == nil {
		return fmt.Errorf("%w: nothing tells what the sink has stored: give --stored", ErrNotJudged)
	}
	ctx, cancel := context.WithTimeout(ctx, k.Wait)
	defer cancel()
	for {
		last := ctx.Err() != nil // what is asked for in time may be told of late
		stored, err := k.readBack()
		if err != nil {
			return fmt.Errorf("%w: reading back what is stored: %w", ErrNotJudged, err)
		}
		missing := lacks(stored, b)
		if missing == nil || last {
			return missing
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollInterval):
		}
	}
}

var errEndedReading = errors.New("what tells that has ended its goroutine, as t.Fatal does")

// readBack asks for what is stored, one sentence at a time.
func (k *kit) readBack() (stored sdk.Batch, err error) {
	k.reading.Lock()
	defer k.reading.Unlock()
	err = errEndedReading
	read := make(chan struct{})
	go func() {
		defer close(read)
		stored, err = k.Stored()
	}()
	<-read
	return stored, err
}

// lacks tells what of b is not stored.
func lacks(stored, b sdk.Batch) error {
	type place struct {
		metric    string
		timestamp int64
	}
	at := make(map[place]float64, len(stored))
	for _, d := range stored {
		at[place{d.Metric, d.Timestamp}] = d.Value
	}
	for _, d := range b {
		value, ok := at[place{d.Metric, d.Timestamp}]
		if !ok {
			return brokenf("it acknowledged %s %v %d, which is not stored; %d datapoints are", d.Metric, d.Value, d.Timestamp, len(stored))
		}
		if value != d.Value {
			return brokenf("it acknowledged %s %v %d, and what is stored there is %v", d.Metric, d.Value, d.Timestamp, value)
		}
	}
	return nil
}

func storesWhatItAcknowledges(ctx context.Context, k *kit) error {
	return k.writes(ctx, k.batch("acknowledged", 50))
}

func storesALargeBatch(ctx context.Context, k *kit) error {
	return k.writes(ctx, k.batch("large", 5000))
}

// storesInAHurry gives the sink more and more time, until it has acknowledged two
// batches. What it does not acknowledge it need not store.
func storesInAHurry(ctx context.Context, k *kit) error {
	s, err := k.sink(ctx)
	if err != nil {
		return err
	}
	const size = 50
	var acknowledged sdk.Batch
	for n := 0; n < 7 && len(acknowledged) < 2*size; n++ {
		b := k.batch(fmt.Sprintf("hurry.h%d", n), size)
		short, cancel := context.WithTimeout(ctx, time.Millisecond<<(2*n))
		if s.Plugin.Write(short, b) == nil {
			acknowledged = append(acknowledged, b...)
		}
		cancel()
	}
	return k.await(ctx, acknowledged)
}

// writes has batches written one after the other, and awaits the last.
func (k *kit) writes(ctx context.Context, batches ...sdk.Batch) error {
	s, err := k.sink(ctx)
	if err != nil {
		return err
	}
	for _, b := range batches {
		if err := s.write(ctx, b); err != nil {
			return err
		}
	}
	return k.await(ctx, batches[len(batches)-1])
}

func acceptsAnEmptyBatch(ctx context.Context, k *kit) error {
	s, err := k.sink(ctx)
	if err != nil {
		return err
	}
	return s.write(ctx, nil)
}

func acceptsABatchTwice(ctx context.Context, k *kit) error {
	once, changed := k.batch("twice", 50), k.batch("twice", 50)
	for i := range changed {
		changed[i].Value += 1000
	}
	return k.writes(ctx, once, once, changed)
}

func storesConcurrently(ctx context.Context, k *kit) error {
	s, err := k.sink(ctx)
	if err != nil {
		return err
	}
	const calls = 8
	var all sdk.Batch
	for i := range calls {
		all = append(all, k.batch(fmt.Sprintf("concurrent.c%d", i), 50)...)
	}
	if err := each(calls, func(i int) error { return s.write(ctx, all[50*i:50*(i+1)]) }); err != nil {
		return err
	}
	return k.await(ctx, all)
}

// bad returns datapoints that not every store can keep.
func bad() sdk.Batch {
	good := batch("bad", 1)[0]
	names := []string{"", " ", "fluxgate.kit.bad 1 2\nfluxgate.kit.second", "fluxgate.kit.\x00", "../../fluxgate.kit", "fluxgate.kit." + strings.Repeat("x", 5000)}
	b := make(sdk.Batch, 0, len(names)+5)
	for _, name := range names {
		b = append(b, sdk.Datapoint{Metric: name, Timestamp: good.Timestamp, Value: 1})
	}
	for _, value := range []float64{math.NaN(), math.Inf(1)} {
		b = append(b, sdk.Datapoint{Metric: good.Metric, Timestamp: good.Timestamp, Value: value})
	}
	for _, timestamp := range []int64{-1, 1 << 40, math.MinInt64} {
		b = append(b, sdk.Datapoint{Metric: good.Metric, Timestamp: timestamp, Value: 1})
	}
	return b
}

func survivesBadDatapoints(ctx context.Context, k *kit) error {
	p, err := k.start(ctx, k.Settings)
	if err != nil {
		return err
	}
	defer k.done(p)
	s := p.(sink)
	var refused sdk.Batch
	for _, d := range bad() {
		err := s.write(ctx, sdk.Batch{d})
		if err != nil && !errors.Is(err, sdk.ErrInvalid) {
			return brokenf("of metric %.40q, value %v at %d, which will never be good, it says: %v", d.Metric, d.Value, d.Timestamp, err)
		}
		if err != nil && refused == nil {
			refused = sdk.Batch{d}
		}
	}
	if refused != nil && s.writeAll(ctx, []sdk.Batch{k.batch("beside", 1), refused, k.batch("beside", 1)}) == nil {
		return brokenf("of several batches it acknowledges one that it refuses alone: metric %.40q, value %v at %d", refused[0].Metric, refused[0].Value, refused[0].Timestamp)
	}
	after := k.batch("after", 50)
	if err := s.write(ctx, after); err != nil {
		return brokenf("after bad datapoints it does not take good ones: %v", err)
	}
	return k.await(ctx, after)
}

func keepsWhenStopped(ctx context.Context, k *kit) error {
	return k.keeps(ctx, "stopped", func(p plugin) error { return p.Stop(ctx) })
}

func keepsWhenKilled(ctx context.Context, k *kit) error {
	return k.keeps(ctx, "killed", func(p plugin) error {
		p.Kill()
		<-p.Done()
		return nil
	})
}

// keeps has a process of its own store a batch and end, and awaits the batch.
func (k *kit) keeps(ctx context.Context, name string, end func(plugin) error) error {
	p, err := k.start(ctx, k.Settings)
	if err != nil {
		return err
	}
	defer p.leave()
	b := k.batch(name, 50)
	if err := p.(sink).write(ctx, b); err != nil {
		return err
	}
	if err := end(p); err != nil {
		return err
	}
	return k.await(ctx, b)
}
