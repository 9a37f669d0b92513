package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Gauges are the figures of /metrics, by name with labels.
type gauges map[string]float64

func parseGauges(text string) gauges {
	g := gauges{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		cut := strings.LastIndexByte(line, ' ')
		if cut < 0 || line[0] == '#' {
			continue
		}
		if value, err := strconv.ParseFloat(line[cut+1:], 64); err == nil {
			g[line[:cut]] = value
		}
	}
	return g
}

// sum adds up all figures of that name which bear each of the labels, such as
// `sink="carbon"`. It tells whether there is any.
func (g gauges) sum(name string, labels ...string) (total float64, found bool) {
	for key, value := range g {
		bare, rest, _ := strings.Cut(key, "{")
		if bare == name && hasAll(rest, labels) {
			total, found = total+value, true
		}
	}
	return total, found
}

func hasAll(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

func (s *server) gauges(ctx context.Context) (gauges, error) {
	text, err := s.ask(ctx, "/metrics")
	return parseGauges(text), err
}

// gauge returns one figure, or NaN where it cannot be had.
func (s *server) gauge(ctx context.Context, name string, labels ...string) float64 {
	g, err := s.gauges(ctx)
	if err != nil {
		return math.NaN()
	}
	if value, found := g.sum(name, labels...); found {
		return value
	}
	return math.NaN()
}

// A watch samples a server's figures while a row runs.
type watch struct {
	server *server
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu         sync.Mutex
	samples    int
	imbalances map[string]float64 // that were not 0
	missing    bool               // the gauge is not shown
	resident   []int64
	files      []float64
}

const imbalanceGauge = "fluxgate_accounting_imbalance"

func watchServer(ctx context.Context, s *server) *watch {
	ctx, stop := context.WithCancel(ctx)
	w := &watch{server: s, stop: stop, imbalances: map[string]float64{}}
	w.done.Go(func() {
		for pause(ctx, 250*time.Millisecond) == nil {
			w.sample(ctx)
		}
	})
	return w
}

func (w *watch) sample(ctx context.Context) {
	g, err := w.server.gauges(ctx)
	if err != nil {
		return // killed, most likely
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples++
	_, shown := g.sum(imbalanceGauge)
	w.missing = w.missing || !shown
	for name, value := range g {
		if strings.HasPrefix(name, imbalanceGauge) && value != 0 {
			w.imbalances[name] = value
		}
	}
	if files, found := g.sum("process_open_fds"); found {
		w.files = append(w.files, files)
	}
	if memory, found := g.sum("process_resident_memory_bytes"); found {
		w.resident = append(w.resident, int64(memory))
	}
}

// end stops it and returns what it found wrong.
func (w *watch) end() (broken []string) {
	w.stop()
	w.done.Wait()
	if w.missing {
		broken = append(broken, imbalanceGauge+" is not shown")
	}
	for _, name := range slices.Sorted(maps.Keys(w.imbalances)) {
		broken = append(broken, fmt.Sprintf("%s was %v", name, w.imbalances[name]))
	}
	return broken
}
