package fleet

import (
	"time"

	"github.com/cenkalti/backoff/v5"
)

// A plugin that died crashLimit times within crashWindow is failing. Where the
// delays do not let it die so often, it is enough that it never lived that long
// between.
const (
	crashLimit  = 10
	crashWindow = time.Minute
)

// deaths decides how long to wait before a plugin is started again.
type deaths struct {
	atOnce bool
	times  []time.Time // within crashWindow of the last
	streak int         // since it has last lived for crashWindow
	wait   backoff.ExponentialBackOff
}

func newDeaths(atOnce bool) *deaths {
	d := &deaths{atOnce: atOnce, wait: backoff.ExponentialBackOff{
		InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.2, Multiplier: 2, MaxInterval: 30 * time.Second,
	}}
	d.wait.Reset()
	return d
}

func (d *deaths) add(now time.Time) {
	for len(d.times) > 0 && now.Sub(d.times[0]) > crashWindow {
		d.times = d.times[1:]
	}
	if len(d.times) == 0 {
		d.wait.Reset()
		d.streak = 0
	}
	d.streak++
	d.times = append(d.times, now)
}

func (d *deaths) failing() bool {
	return len(d.times) >= crashLimit || !d.atOnce && d.streak >= crashLimit
}

func (d *deaths) delay() time.Duration {
	if d.atOnce && !d.failing() {
		return 0
	}
	return d.wait.NextBackOff()
}
