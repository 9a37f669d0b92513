package sdk

import (
	"bufio"
	"context"
	"testing"
	"time"

	"fluxgate/sdk/internal/frame"
)

// A call whose number is that of one under way ends the connection, and the call, also
// one that the host has cancelled.
func TestACallThatIsUnderWayAlready(t *testing.T) {
	for name, between := range map[string][]byte{"": nil, "cancelled": framed(frame.Cancel, 1)} {
		t.Run(name, func(t *testing.T) {
			host, plugin := sockets(t)
			_ = host.SetDeadline(time.Now().Add(testPatience))
			entered, free := make(chan context.Context, 2), make(chan struct{})
			serveDock(t, plugin, Input(decodes(func(ctx context.Context, _ Request) (Submission, error) {
				entered <- ctx
				<-free
				return Submission{}, nil
			})), planeLimit, answerInput)
			call := framed(frame.Call, 1, 0, 0, callOf(Request{}))
			if _, err := host.Write(call); err != nil {
				t.Fatal(err)
			}
			ctx := inTime(t, "the call", entered)
			if _, err := host.Write(append(between, call...)); err != nil {
				t.Fatal(err)
			}
			inTime(t, "the end of the call", ctx.Done())
			if kind, _, _, err := frame.Read(bufio.NewReader(host), planeLimit); err == nil {
				t.Errorf("answered with kind %d", kind)
			}
			close(free)
			if len(entered) > 0 {
				t.Error("the second call is worked on")
			}
		})
	}
}

// A sink that returns because its time is over may leave something behind that reads the
// batch a little longer.
func TestABatchWhoseTimeIsOver(t *testing.T) {
	var kept []Batch
	ctx, cancel := context.WithCancel(t.Context())
	sink := answerSink(openGuest(t, Sink(writes(func(_ context.Context, b Batch) error {
		if kept = append(kept, b); len(kept) == 1 {
			cancel()
		}
		return ctx.Err()
	}))))
	silent := voice{limit: planeLimit, send: func([]byte) {}}
	call := func(ctx context.Context, metric string) {
		c := frame.Parts(appendBatches(nil, []Batch{{{Metric: metric}}}))
		if err := sink.answer(ctx, &c, silent); err != nil {
			t.Fatal(err)
		}
	}
	call(ctx, "over")
	for range 100 {
		call(t.Context(), "later")
	}
	if kept[0][0].Metric != "over" {
		t.Errorf("it has become that of %q", kept[0][0].Metric)
	}
}
