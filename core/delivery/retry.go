package delivery

import (
	"context"
	"errors"
	"fmt"

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
	for _, t := range d.targets {
		if t.sink.Name == name {
			return d.retry(ctx, t)
		}
	}
	return Retried{}, sdk.Invalidf("there is no sink %q", name)
}

func (d *Delivery) retry(ctx context.Context, t *target) (r Retried, err error) {
	delivered, err := t.dead.retry(func(l Letter) (refusal string, err error) {
		err = t.write(ctx, sdk.Batch{{Metric: l.Metric, Timestamp: l.Timestamp, Value: l.Value}})
		if errors.Is(err, sdk.ErrInvalid) {
			r.Refused++
			return err.Error(), nil
		}
		return "", err
	})
	for _, s := range []*Stream{d.Live, d.Fill} {
		n := delivered[s.name]
		r.Delivered += n
		if n > 0 {
			err = errors.Join(err, s.lane(t.sink.Name).reader.Revive(n))
		}
	}
	d.charge()
	if err != nil {
		return r, fmt.Errorf("dead letters of sink %q: %w", t.sink.Name, err)
	}
	return r, nil
}
