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
	now := f.Now().Unix()
	for i := range s.Batch {
		if err := canonize(&s.Batch[i], prefix, several, w.refuse(s.Batch[i].Timestamp, now)); err != nil {
			return err
		}
	}
	for i := range s.Backfill {
		if err := canonize(&s.Backfill[i], prefix, several, refuseBackfill(s.Backfill[i].Timestamp)); err != nil {
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
func canonize(d *sdk.Datapoint, prefix string, several bool, fault error) error {
	name, err := Canonical(d.Metric, prefix)
	switch {
	case err != nil:
		err = fmt.Errorf("invalid metric - %s - %w", quoted(d.Metric), err)
	case fault == errBackfill && !several:
		err = errors.New("invalid timestamp") // all that Flux says of one
	case fault != nil:
		err = fmt.Errorf("invalid timestamp - %d - %w", d.Timestamp, fault)
	case math.IsNaN(d.Value) || math.IsInf(d.Value, 0):
		err = fmt.Errorf("invalid value - %v", d.Value)
	default:
		d.Metric = name
		return nil
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

// refuse returns why a timestamp is refused, or nil.
func (w Window) refuse(timestamp, now int64) error {
	maxAge, maxAhead := int64(w.MaxAge/time.Second), int64(w.MaxAhead/time.Second)
	switch {
	case timestamp < 1_000_000_000 || timestamp > 9_999_999_999:
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
