package fleet

import (
	"strings"
	"testing"

	"fluxgate/sdk"
)

// A sink says how much it takes at once, and takes that over its data socket: over
// gRPC this batch is too long.
func TestSinkTakesItsCapacityAtOnce(t *testing.T) {
	f, _ := newFleet(t)
	f.setup.MessageLimit = 1 << 20
	sink := f.Sink(Spec{Name: "sink", Program: executable(t)})
	if got := f.newSink("none").Capacity(); got != 0 {
		t.Errorf("a sink that is not committed has a capacity of %d bytes", got)
	}
	if got := sink.Capacity(); got != 0 {
		t.Errorf("a sink that is not open has a capacity of %d bytes", got)
	}
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	capacity := sink.Capacity()
	if capacity < 1<<20-64<<10 {
		t.Fatalf("the capacity is %d bytes of a message of 1 MiB", capacity)
	}
	d := sdk.Datapoint{Metric: strings.Repeat("x", 128), Timestamp: -1}
	b := sdk.Batch{d}
	one := len(sdk.AppendBatch(nil, b))
	for size := one; ; size += len(d.Metric) + 20 {
		if size > capacity {
			b = b[1:]
			break
		}
		b = append(b, d)
	}
	if err := sink.WriteAll(t.Context(), []sdk.Batch{b}); err != nil {
		t.Errorf("%d bytes: %v", len(sdk.AppendBatch(nil, b)), err)
	}
	kill(t, sink.current().Pid())
	await(t, "another process", func() bool { return sink.Capacity() == capacity })
}

// What goes over gRPC goes one batch after the other.
func TestSinkOverGRPCHasNoCapacity(t *testing.T) {
	f, _ := newFleet(t)
	f.setup.Portable = true
	sink := f.Sink(Spec{Name: "sink", Program: executable(t)})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	if got := sink.Capacity(); got != 0 {
		t.Errorf("it has a capacity of %d bytes", got)
	}
	if err := sink.Write(t.Context(), oneDatapoint); err != nil {
		t.Error(err)
	}
}
