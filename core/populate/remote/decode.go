package remote

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	maxNames     = 10        // of series, and warnings
	maxName      = 200       // bytes of one
	maxWarning   = 300       // bytes of one
	maxTimestamp = 1<<32 - 1 // what whisper can hold
)

// A decoder reads the answer to a query. It hands out the samples of the first
// series while it reads, before it knows whether the answer is whole.
type decoder struct {
	scanner
	left    int // points that may come
	take    func(Sample) error
	answer  Answer
	series  int  // begun
	dropped int  // points without a usable timestamp
	instant bool // there were values that are not of a range
	native  bool // there were histograms
	status  string
	failure refused
}

// A refused is what Prometheus says of a query that it does not answer.
type refused struct{ kind, text string }

func (r refused) Error() string { return r.kind + ": " + r.text }

// forGood reports whether the same query will be refused again.
func (r refused) forGood() bool {
	switch r.kind {
	case "timeout", "canceled", "internal", "unavailable", "too_many_requests":
		return false
	}
	return true
}

// decode reads the whole answer, up to the end of the input.
func (d *decoder) decode(kind Kind) (Answer, error) {
	read := d.graphite
	if kind == Prometheus {
		read = d.prometheus
	}
	err := read()
	if err == nil {
		err = d.end()
	}
	if err == nil && kind == Prometheus {
		err = d.verdict()
	}
	d.answer.More = max(0, d.series-maxNames)
	if d.dropped > 0 {
		d.warn(fmt.Sprintf("%d points have no timestamp from 1 to %d and were left out", d.dropped, maxTimestamp))
	}
	return d.answer, err
}

// end reads the white space behind the answer.
func (d *decoder) end() error {
	c, err := d.next()
	if err == nil {
		return unexpected(c)
	}
	if err == errShort {
		return nil
	}
	return err
}

func (d *decoder) graphite() error {
	return d.array(func() error {
		d.series++
		name := ""
		err := d.object(func(member string) (err error) {
			switch member {
			case "target":
				name, err = d.string()
				return err
			case "datapoints":
				return d.points(false)
			}
			return d.skip()
		})
		d.named(name)
		return err
	})
}

func (d *decoder) named(name string) {
	if len(d.answer.Series) < maxNames {
		d.answer.Series = append(d.answer.Series, cut(name, maxName))
	}
}

func (d *decoder) warn(text string) {
	if len(d.answer.Warnings) < maxNames {
		d.answer.Warnings = append(d.answer.Warnings, cut(text, maxWarning))
	}
}

// string reads a value that should be a text; of any other it returns "".
func (d *decoder) string() (string, error) {
	t, err := d.value()
	if err != nil || t != text {
		return "", err
	}
	return strings.ToValidUTF8(string(d.text), "\ufffd"), nil
}

// points reads the points of a series, if there are any.
func (d *decoder) points(timeFirst bool) error {
	return d.elements(func() error { return d.point(timeFirst) })
}

// elements reads an array, and passes over any other value.
func (d *decoder) elements(element func() error) error {
	c, err := d.peek()
	if err != nil {
		return err
	}
	if c != '[' {
		return d.skip()
	}
	return d.array(element)
}

// point reads a point, an array of a value and a timestamp.
func (d *decoder) point(timeFirst bool) error {
	if d.left--; d.left < 0 {
		return errTooMany
	}
	var (
		s     Sample
		timed bool
		n     int
	)
	s.Null = true
	err := d.elements(func() error {
		t, err := d.value()
		switch {
		case n > 1:
		case (n == 0) == timeFirst:
			s.Timestamp, timed = timestamp(t, d.text)
		default:
			s.Value, s.Null = value(t, d.text)
		}
		n++
		return err
	})
	if err != nil || d.series > 1 {
		return err
	}
	if !timed {
		d.dropped++
		return nil
	}
	if err := d.take(s); err != nil {
		return stop{err}
	}
	return nil
}

// value returns the value that a token stands for, or that there is none.
func value(t token, b []byte) (v float64, null bool) {
	if t != number && t != text {
		return 0, true
	}
	v, ok := float(b)
	if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0, true
	}
	return v, false
}

// timestamp returns the whole seconds that a token stands for, if they are in the
// bounds of whisper.
func timestamp(t token, b []byte) (int64, bool) {
	if t != number && t != text {
		return 0, false
	}
	v, ok := float(b)
	if !ok || !(v >= 1 && v < maxTimestamp+1) {
		return 0, false
	}
	return int64(v), true
}

// float reads a number as JSON and Prometheus write it.
func float(b []byte) (float64, bool) {
	for _, c := range b {
		if c == 'x' || c == 'X' || c == '_' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(string(b), 64)
	return v, err == nil
}
