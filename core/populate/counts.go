package populate

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// counts are what the metrics say of jobs.
type counts struct {
	ended *prometheus.CounterVec
}

func newCounts(p *Populate, metrics prometheus.Registerer) counts {
	promauto.With(metrics).NewGaugeFunc(prometheus.GaugeOpts{
		Name: "fluxgate_populate_jobs", Help: "Jobs that are not finished.",
	}, func() float64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return float64(len(p.live))
	})
	return counts{ended: promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "fluxgate_populate_jobs_ended_total", Help: "Jobs that have ended, by how.",
	}, []string{"state"})}
}
