package flow

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"fluxgate/sdk"
)

// Books count what became of datapoints.
type Books struct {
	accepted  prometheus.Counter
	duplicate prometheus.Counter
	refused   *prometheus.CounterVec // by reason: key, invalid, unavailable, fault
}

// NewBooks returns books whose counters are registered in metrics.
func NewBooks(metrics prometheus.Registerer) Books {
	in := promauto.With(metrics)
	return Books{
		accepted: in.NewCounter(prometheus.CounterOpts{
			Name: "fluxgate_datapoints_accepted_total", Help: "Datapoints that are on disk, for every sink.",
		}),
		duplicate: in.NewCounter(prometheus.CounterOpts{
			Name: "fluxgate_datapoints_duplicate_total", Help: "Datapoints that were not newer than what their metric had.",
		}),
		refused: in.NewCounterVec(prometheus.CounterOpts{
			Name: "fluxgate_datapoints_refused_total", Help: "Datapoints of refused requests, as far as they were read.",
		}, []string{"reason"}),
	}
}

func (b Books) accept(accepted, duplicate int) {
	b.accepted.Add(float64(accepted))
	b.duplicate.Add(float64(duplicate))
}

// refuse counts the datapoints of a refused request, as far as they were read
// and at least one, and returns the error.
func (b Books) refuse(s sdk.Submission, err error) error {
	n := max(1, len(s.Batch)+len(s.Backfill))
	b.refused.WithLabelValues(reason(err)).Add(float64(n))
	return err
}

func reason(err error) string {
	switch {
	case errors.Is(err, ErrKey):
		return "key"
	case errors.Is(err, sdk.ErrInvalid):
		return "invalid"
	case errors.Is(err, sdk.ErrUnavailable):
		return "unavailable"
	default:
		return "fault"
	}
}
