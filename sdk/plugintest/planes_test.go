package plugintest_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"

	"fluxgate/sdk"
)

// asked reports whether the call came over the plane that the lie is about, which a
// plugin does not see.
func (l *liar) asked() bool {
	stack := make([]byte, 8<<10)
	portable := strings.Contains(string(stack[:runtime.Stack(stack, false)]), "grpc.(*Server)")
	return portable == strings.HasSuffix(l.lie, "over gRPC")
}

// severalAtOnce are what liars make of several batches.
var severalAtOnce = map[string]func([]sdk.Batch) []sdk.Batch{
	"shuffling several batches": func(b []sdk.Batch) []sdk.Batch { slices.Reverse(b); return b },
	"losing one of several":     func(b []sdk.Batch) []sdk.Batch { return slices.Delete(b, 1, 1+len(b)/4) },
	"refusing several":          func([]sdk.Batch) []sdk.Batch { return nil },
	"hushing up a bad batch": func(b []sdk.Batch) []sdk.Batch {
		return slices.DeleteFunc(b, func(b sdk.Batch) bool { return len(b) == 1 && b[0].Metric == "" })
	},
}

// A bulk is a liar that is given several batches at once.
type bulk struct{ *liar }

func (b bulk) WriteAll(ctx context.Context, batches []sdk.Batch) error {
	if b.lie == "refusing several" {
		return sdk.Unavailablef("one at a time")
	}
	for _, batch := range severalAtOnce[b.lie](batches) {
		if err := b.Write(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// A recycler is an input that, after a while, does not empty the lists that it uses
// again.
type recycler struct {
	*liar
	mu    sync.Mutex
	calls int
	lists []sdk.Batch
}

func (r *recycler) Decode(ctx context.Context, request sdk.Request) (sdk.Submission, error) {
	s, err := r.liar.Decode(ctx, request)
	r.mu.Lock()
	defer r.mu.Unlock()
	const while = 150
	if r.calls++; r.calls > while && err == nil && len(r.lists) > 0 {
		s.Batch = append(r.lists[0], s.Batch...)
		r.lists = r.lists[1:]
	}
	return s, err
}

func (r *recycler) Recycle(s sdk.Submission) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lists = append(r.lists, slices.Clone(s.Batch))
}
