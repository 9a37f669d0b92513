package web

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// A tally counts the answers of one route by their status. It looks each counter up
// once.
type tally struct {
	requests *prometheus.CounterVec
	route    string
	counters [600]atomic.Pointer[prometheus.Counter]
}

func newTally(requests *prometheus.CounterVec, route string) *tally {
	return &tally{requests: requests, route: route}
}

// count counts an answer. Its status is one of HTTP's.
func (t *tally) count(status int) {
	at := &t.counters[status]
	counter := at.Load()
	if counter == nil {
		looked := t.requests.WithLabelValues(t.route, strconv.Itoa(status))
		counter = &looked
		at.Store(counter)
	}
	(*counter).Inc()
}
