package fleet

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type counters struct{ restarts, poison *prometheus.CounterVec }

func newCounters(metrics prometheus.Registerer) counters {
	return counters{
		restarts: promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "fluxgate_plugin_restarts_total", Help: "Starts of a plugin after its process had died.",
		}, []string{"plugin"}),
		poison: promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "fluxgate_poison_requests_total", Help: "Requests that an input died of twice.",
		}, []string{"plugin"}),
	}
}

// forget removes what was counted of a plugin.
func (c counters) forget(plugin string) {
	c.restarts.DeleteLabelValues(plugin)
	c.poison.DeleteLabelValues(plugin)
}

var (
	upDesc      = prometheus.NewDesc("fluxgate_plugin_up", "Whether a plugin's process is open, or a resampler's may be started: nothing is known against it.", []string{"plugin"}, nil)
	failingDesc = prometheus.NewDesc("fluxgate_plugin_failing",
		"Whether a plugin keeps dying; it is started again nevertheless.", []string{"plugin"}, nil)
)

// A state is what the metrics say of a fleet as it is.
type state struct{ fleet *Fleet }

// Describe implements [prometheus.Collector].
func (state) Describe(descs chan<- *prometheus.Desc) {
	descs <- upDesc
	descs <- failingDesc
}

// Collect implements [prometheus.Collector]. Plugins of several kinds and one
// name are one plugin to it: up if all are, and failing if one is.
func (s state) Collect(metrics chan<- prometheus.Metric) {
	up, failing := make(map[string]bool), make(map[string]bool)
	for _, c := range s.fleet.all() {
		_, name := c.title()
		other, seen := up[name]
		up[name] = c.isUp() && (other || !seen)
		failing[name] = failing[name] || c.isFailing()
	}
	for name := range up {
		metrics <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, number(up[name]), name)
		metrics <- prometheus.MustNewConstMetric(failingDesc, prometheus.GaugeValue, number(failing[name]), name)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
