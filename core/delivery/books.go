package delivery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/core/journal"
)

// register has the books shown in metrics.
func (d *Delivery) register(metrics prometheus.Registerer) {
	sink := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"sink"}, nil)
	}
	metrics.MustRegister(&figures{
		delivery:  d,
		taken:     sink("fluxgate_datapoints_taken_total", "Datapoints that the sink has taken since the start, those it took again included."),
		waiting:   sink("fluxgate_waiting_datapoints", "Datapoints that wait in the journals for the sink."),
		dead:      sink("fluxgate_dead_letters", "Datapoints that the sink has refused, kept as dead letters."),
		expired:   sink("fluxgate_datapoints_expired_total", "Datapoints that an optional sink has missed."),
		damaged:   sink("fluxgate_datapoints_damaged_total", "Datapoints that the disk has lost before the sink had them."),
		oldest:    sink("fluxgate_oldest_waiting_seconds", "For how long the oldest datapoint waits for the sink."),
		imbalance: prometheus.NewDesc("fluxgate_accounting_imbalance", "Datapoints by which the books of the sinks do not add up: 0 unless something is wrong.", nil, nil),
		skipped:   prometheus.NewDesc("fluxgate_record_skipped_total", "Datapoints that were not recorded in the ledger for want of room in the journal.", nil, nil),
	})
}

// figures are the books as metrics.
type figures struct {
	delivery *Delivery

	taken, waiting, dead, expired, damaged, oldest, imbalance, skipped *prometheus.Desc
}

// Describe implements [prometheus.Collector].
func (f *figures) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(f, to) }

// Collect implements [prometheus.Collector].
func (f *figures) Collect(to chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	recorded := f.delivery.record.reader.Books()
	imbalance := magnitude(recorded.Imbalance())
	for _, t := range f.delivery.targets {
		name := t.sink.Name
		live, fill := f.delivery.Live.lane(name).reader.Books(), f.delivery.Fill.lane(name).reader.Books()
		imbalance += magnitude(live.Imbalance()) + magnitude(fill.Imbalance())
		send(f.taken, prometheus.CounterValue, float64(t.taken.Load()), name)
		send(f.waiting, prometheus.GaugeValue, float64(live.Waiting+fill.Waiting), name)
		send(f.dead, prometheus.GaugeValue, float64(live.Dead+fill.Dead), name)
		send(f.expired, prometheus.CounterValue, float64(live.Expired+fill.Expired), name)
		send(f.damaged, prometheus.CounterValue, float64(live.Damaged+fill.Damaged), name)
		send(f.oldest, prometheus.GaugeValue, max(age(live), age(fill)), name)
	}
	send(f.imbalance, prometheus.GaugeValue, imbalance)
	send(f.skipped, prometheus.CounterValue, float64(recorded.Expired))
}

func magnitude(n int64) float64 { return float64(max(n, -n)) }

// age returns for how long the oldest datapoint waits, in seconds.
func age(b journal.Books) float64 {
	if b.Oldest.IsZero() {
		return 0
	}
	return time.Since(b.Oldest).Seconds()
}
