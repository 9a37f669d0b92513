package plugintest

import (
	"context"
	"fmt"

	"fluxgate/sdk"
)

// writeAll has the sink write batches at once.
func (s sink) writeAll(ctx context.Context, batches []sdk.Batch) error {
	ctx, cancel := within(ctx)
	defer cancel()
	return s.Plugin.(sdk.BulkSink).WriteAll(ctx, batches)
}

// storesSeveral gives the sink batches, some of which have other values for what the
// one before them has. Where it says that it has not stored all, it is given one
// after the other, as a host does.
func storesSeveral(ctx context.Context, k *kit) error {
	s, err := k.sink(ctx)
	if err != nil {
		return err
	}
	const several = 6
	var batches []sdk.Batch
	var want sdk.Batch
	for i := range several {
		b := k.batch(fmt.Sprint("several.s", i/2), 50)
		for j := range b {
			b[j].Value += float64(1000 * i)
		}
		if batches = append(batches, b); i%2 == 1 {
			want = append(want, b...)
		}
	}
	if s.writeAll(ctx, batches) != nil {
		for _, b := range batches {
			if err := s.write(ctx, b); err != nil {
				return err
			}
		}
	}
	return k.await(ctx, want)
}
