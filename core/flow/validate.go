package flow

import (
	"errors"
	"fmt"
	"math"
	"time"

	"fluxgate/sdk"
)

// A Window is how far from now a timestamp may lie. The limits themselves pass.
type Window struct {
	MaxAge   time.Duration
	MaxAhead time.Duration
}

// Timestamps of a backfill: those that a whisper file can hold, but zero.
const (
	minBackfill = 1
	maxBackfill = math.MaxUint32
)

// validate judges every datapoint of s, in order, and gives each metric its
// canonical name. It refuses s whole for its first fault, which is described
// with the datapoint where the request may carry several.
func (f *Flow) validate(s sdk.Submission, w Window, prefix string, several bool) error {
	names := namer{prefix: prefix}
	now := f.Now().Unix()
	oldest, newest := now-int64(w.MaxAge/time.Second), now+int64(w.MaxAhead/time.Second)
	names.reserve(s.Batch)
	for i := range s.Batch {
		d := &s.Batch[i]
		var fault error
		if d.Timestamp < max(oldest, minLive) || d.Timestamp > min(newest, maxLive) {
			fault = w.refuse(d.Timestamp, now)
		}
		if err := names.canonize(d, several, fault); err != nil {
			return err
		}
	}
	names.reserve(s.Backfill)
	for i := range s.Backfill {
		d := &s.Backfill[i]
		if err := names.canonize(d, several, refuseBackfill(d.Timestamp)); err != nil {
			return err
		}
	}
	if s.Invalid != "" {
		return sdk.Invalidf("%s", s.Invalid)
	}
	return nil
}

// maxQuoted is how much of a refused name is told, in bytes.
const maxQuoted = 4096

// canonize checks the name, the timestamp, whose fault is given, and the value
// of one datapoint, in this order, and gives it its canonical name.
func (n *namer) canonize(d *sdk.Datapoint, several bool, fault error) error {
	name, err := n.canonical(d.Metric)
	if err == nil && fault == nil && !math.IsNaN(d.Value-d.Value) {
		d.Metric = name
		return nil
	}
	switch {
	case err != nil:
		err = fmt.Errorf("invalid metric - %s - %w", quoted(d.Metric), err)
	case fault == errBackfill && !several:
		err = errors.New("invalid timestamp") // all that Flux says of one
	case fault != nil:
		err = fmt.Errorf("invalid timestamp - %d - %w", d.Timestamp, fault)
	default:
		err = fmt.Errorf("invalid value - %v", d.Value)
	}
	if several {
		err = fmt.Errorf("%w - {'metric': %q, 'timestamp': %d, 'value': %v}", err, quoted(d.Metric), d.Timestamp, d.Value)
	}
	return sdk.Invalidf("%w", err)
}

func quoted(name string) string {
	if len(name) > maxQuoted {
		return name[:maxQuoted] + "..."
	}
	return name
}

// Timestamps of live data, whatever the window: those with ten digits.
const (
	minLive = 1_000_000_000
	maxLive = 9_999_999_999
)

// refuse returns why a timestamp is refused, or nil.
func (w Window) refuse(timestamp, now int64) error {
	maxAge, maxAhead := int64(w.MaxAge/time.Second), int64(w.MaxAhead/time.Second)
	switch {
	case timestamp < minLive || timestamp > maxLive:
		return errors.New("timestamp is not a valid current unix timestamp")
	case timestamp < now-maxAge:
		return fmt.Errorf("timestamp is too old, older than %d seconds", maxAge)
	case timestamp > now+maxAhead:
		return fmt.Errorf("timestamp is more than %s in the future", spell(maxAhead))
	}
	return nil
}

var errBackfill = fmt.Errorf("timestamp is not between %d and %d", minBackfill, int64(maxBackfill))

func refuseBackfill(timestamp int64) error {
	if timestamp < minBackfill || timestamp > maxBackfill {
		return errBackfill
	}
	return nil
}

// spell writes whole minutes as Flux does, anything else in seconds.
func spell(seconds int64) string {
	switch {
	case seconds == 60:
		return "1 minute"
	case seconds%60 == 0 && seconds > 0:
		return fmt.Sprintf("%d minutes", seconds/60)
	default:
		return fmt.Sprintf("%d seconds", seconds)
	}
}
