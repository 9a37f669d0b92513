package carbon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

var (
	_ sdk.Sink     = Sink{}
	_ sdk.BulkSink = Sink{}
	_ sdk.Checker  = Sink{}
)

// names is a format of names alone.
func names(dst []byte, b sdk.Batch) ([]byte, error) {
	if err := ValidBatch(b); err != nil {
		return nil, err
	}
	for _, d := range b {
		dst = append(append(dst, d.Metric...), ' ')
	}
	return dst, nil
}

func namesSink(addresses ...string) Sink {
	return NewSink(Config{Address: addresses, Timeout: DefaultTimeout}, names)
}

func TestAllBatchesTravelOnOneConnectionInOrder(t *testing.T) {
	var r receiver
	s := namesSink(listen(t, "127.0.0.1", r.serve))
	ctx := soon(t, 20*time.Second)
	if err := s.WriteAll(ctx, []sdk.Batch{{{Metric: "a"}, {Metric: "b"}}, nil, {{Metric: "c"}}}); err != nil {
		t.Error(err)
	}
	if err := s.Write(ctx, sdk.Batch{{Metric: "d"}}); err != nil {
		t.Error(err)
	}
	r.want(t, "a b c ", "d ")
}

func TestNoConnectionIsMade(t *testing.T) {
	tests := []struct {
		name string
		in   []sdk.Batch
		err  string // part of the error; empty: none
	}{
		{"without batches", nil, ""},
		{"for empty batches", []sdk.Batch{nil, {}}, ""},
		{"when the last datapoint of all is invalid", []sdk.Batch{{{Metric: "a"}}, {{Metric: "b"}, {Metric: "c d"}}}, `"c d"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := namesSink("a:1")
			s.dial = func(context.Context, string, string) (net.Conn, error) {
				t.Error("a connection is made")
				return nil, errors.New("refused")
			}
			err := s.WriteAll(t.Context(), tt.in)
			if tt.err == "" && err != nil {
				t.Error(err)
			}
			if tt.err != "" && (!errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want an invalid one with %q in it", err, tt.err)
			}
		})
	}
}

func TestWhatIsRefusedIsNotSentLater(t *testing.T) {
	var r receiver
	s := namesSink(listen(t, "127.0.0.1", r.serve))
	ctx := soon(t, 20*time.Second)
	if err := s.WriteAll(ctx, []sdk.Batch{{{Metric: "a"}}, {{Metric: ""}}}); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("error %v, want an invalid one", err)
	}
	if err := s.Write(ctx, sdk.Batch{{Metric: "b"}}); err != nil {
		t.Error(err)
	}
	r.want(t, "b ")
}

// TestNoAllocationForADatapoint compares what few and many datapoints allocate.
func TestNoAllocationForADatapoint(t *testing.T) {
	var r receiver
	s := namesSink(listen(t, "127.0.0.1", r.serve))
	s.pace.SetLimit(1e9)
	few, many := make(sdk.Batch, 10), make(sdk.Batch, 5000)
	for i := range many {
		many[i].Metric = fmt.Sprintf("m%d", i)
	}
	copy(few, many)
	allocs := func(b sdk.Batch) float64 {
		return testing.AllocsPerRun(20, func() {
			if err := s.WriteAll(t.Context(), []sdk.Batch{b, b, b}); err != nil {
				t.Fatal(err)
			}
		})
	}
	if a, b := allocs(few), allocs(many); b-a > 500 {
		t.Errorf("%v allocations for %d datapoints, %v for %d", a, 3*len(few), b, 3*len(many))
	}
}
