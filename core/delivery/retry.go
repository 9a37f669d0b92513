package delivery

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fluxgate/sdk"
)

// Retried says what became of the dead letters of a sink that were delivered
// again.
type Retried struct {
	Delivered int `json:"delivered"`
	Refused   int `json:"refused"` // once more; they stay
}

// Retry delivers the dead letters of the sink called name again. An error that is
// not a refusal ends it; what it has not come to stays.
func (d *Delivery) Retry(ctx context.Context, name string) (Retried, error) {
	var known []string
	for _, t := range d.targets {
		if t.sink.Name == name {
			return d.retry(ctx, t)
		}
		known = append(known, t.sink.Name)
	}
	return Retried{}, sdk.Invalidf("there is no sink %q: it is one of %s", name, strings.Join(known, ", "))
}

func (d *Delivery) retry(ctx context.Context, t *target) (r Retried, err error) {
	if !t.retrying.TryLock() {
		return r, sdk.Unavailablef("the dead letters of sink %q are being delivered already", t.sink.Name)
	}
	defer t.retrying.Unlock()
	cursors := make(map[string]uint64)
	for _, s := range []*Stream{d.Live, d.Fill} {
		cursors[s.name] = s.lane(t.sink.Name).reader.Saved().Number
	}
	letters, err := t.dead.letters(cursors)
	if err != nil {
		return r, err
	}
	delivered, refused, failure := t.again(ctx, letters)
	if err := t.dead.settle(delivered, refused); err != nil {
		return r, fmt.Errorf("dead letters of sink %q: they stay, also those that were delivered: %w", t.sink.Name, err)
	}
	d.charge()
	r = Retried{len(delivered), len(refused)}
	if err := errors.Join(failure, d.revive(t, delivered)); err != nil {
		return r, fmt.Errorf("dead letters of sink %q: %w", t.sink.Name, err)
	}
	return r, nil
}

// again delivers letters one by one, and sorts them by what became of them. At an
// error that is no refusal it stops.
func (t *target) again(ctx context.Context, letters []Letter) (delivered map[place]bool, refused map[place]Letter, err error) {
	delivered, refused = make(map[place]bool), make(map[place]Letter)
	for _, l := range letters {
		at := place{l.Journal, l.Number}
		err := t.write(ctx, sdk.Batch{{Metric: l.Metric, Timestamp: l.Timestamp, Value: l.Value}})
		switch {
		case err == nil:
			delivered[at] = true
		case errors.Is(err, sdk.ErrInvalid):
			l.Reason, l.Time = shortened(err), time.Now().UTC()
			refused[at] = l
		default:
			return delivered, refused, err
		}
	}
	return delivered, refused, nil
}

// revive has the books count letters as delivered. Letters from before the sink was
// taken out of the configuration are in no books.
func (d *Delivery) revive(t *target, delivered map[place]bool) (err error) {
	for _, s := range []*Stream{d.Live, d.Fill} {
		reader, n := s.lane(t.sink.Name).reader, 0
		for at := range delivered {
			if at.journal == s.name {
				n++
			}
		}
		if n = min(n, int(reader.Books().Dead)); n > 0 {
			err = errors.Join(err, reader.Revive(n))
		}
	}
	return err
}
