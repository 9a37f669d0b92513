package schema

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Sizes inside a whisper file, in bytes.
const (
	fileHeader    = 16 // what stands before the list of archives
	archiveHeader = 12 // one entry of that list
	pointSize     = 12
)

// A Retention is the resolution and the length of one archive.
type Retention struct {
	Step  int64 // seconds that one point stands for, at least 1
	Count int64 // how many points are kept, at least 1
}

// Span returns how far back the archive reaches, in seconds.
func (r Retention) Span() int64 { return r.Step * r.Count }

// String returns the retention as Carbon's storage-schemas.conf would have it,
// such as "60s:1d".
func (r Retention) String() string {
	step := fmt.Sprintf("%ds", r.Step)
	if r.Step > 60 {
		step = duration(r.Step)
	}
	return step + ":" + duration(r.Span())
}

// duration writes seconds in the largest unit up to a day that loses nothing.
func duration(seconds int64) string {
	for _, u := range []byte("dhm") {
		if size, _ := unit(u); seconds%size == 0 {
			return fmt.Sprintf("%d%c", seconds/size, u)
		}
	}
	return fmt.Sprintf("%ds", seconds)
}

// ParseRetentions reads the retentions of a metric in the form of Carbon's
// storage-schemas.conf: "60s:1d,10m:7d,1h:90d". A retention is a step and a
// span, each a number with the unit s, m, h, d, w or y. A step without a unit is
// in seconds; a span without one is a number of points.
//
// The finest retention comes first in the result, which [Validate] accepts.
func ParseRetentions(s string) ([]Retention, error) {
	all, err := parseRetentions(s)
	if err != nil {
		return nil, err
	}
	if err := Validate(all); err != nil {
		return nil, fmt.Errorf("retentions %q: %w", s, err)
	}
	return all, nil
}

// parseRetentions is [ParseRetentions] without [Validate].
func parseRetentions(s string) ([]Retention, error) {
	var all []Retention
	for text := range strings.SplitSeq(s, ",") {
		r, err := parseRetention(strings.TrimFunc(text, isSpace))
		if err != nil {
			return nil, fmt.Errorf("retention %q: %w", text, err)
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b Retention) int { return cmp.Compare(a.Step, b.Step) })
	return all, nil
}

func parseRetention(text string) (Retention, error) {
	left, right, ok := strings.Cut(text, ":")
	if !ok {
		return Retention{}, errors.New("want a step and a span, such as 60s:1d")
	}
	step, _, err := parseNumber(left)
	if err != nil {
		return Retention{}, fmt.Errorf("step %q: %w", left, err)
	}
	if step == 0 {
		return Retention{}, fmt.Errorf("step %q: must be at least a second", left)
	}
	count, hasUnit, err := parseNumber(right)
	if err != nil {
		return Retention{}, fmt.Errorf("span %q: %w", right, err)
	}
	if hasUnit {
		count /= step
	}
	if count == 0 {
		return Retention{}, fmt.Errorf("span %q: must be at least one step", right)
	}
	return Retention{step, count}, nil
}

// parseNumber reads a number, with or without a unit, in seconds when it has one.
func parseNumber(s string) (n int64, hasUnit bool, err error) {
	digits, size := s, int64(1)
	if s != "" {
		if size, hasUnit = unit(s[len(s)-1]); hasUnit {
			digits = s[:len(s)-1]
		}
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false, errors.New("want a number with the unit s, m, h, d, w or y, or without one")
		}
	}
	if digits == "" {
		return 0, false, errors.New("the number is missing")
	}
	n, err = strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxUint32/size {
		return 0, false, fmt.Errorf("must be below 2^32, which is as far as a whisper file can count")
	}
	return n * size, hasUnit, nil
}

// unit returns the seconds of a unit, and 1 for what is none.
func unit(c byte) (seconds int64, ok bool) {
	switch c {
	case 's':
		return 1, true
	case 'm':
		return 60, true
	case 'h':
		return 3600, true
	case 'd':
		return 86400, true
	case 'w':
		return 7 * 86400, true
	case 'y':
		return 365 * 86400, true
	}
	return 1, false
}

// Validate returns an error unless a whisper file can have these archives, the
// finest first: each step divides the next evenly and is smaller, each span is
// shorter than the next, and each archive has enough points to fill one point of
// the next. A file holds at most 4 GiB.
func Validate(archives []Retention) error {
	if len(archives) == 0 {
		return errors.New("there is none")
	}
	size := fileHeader + archiveHeader*int64(len(archives))
	for _, r := range archives {
		if r.Step < 1 || r.Count < 1 || r.Step > math.MaxUint32 || r.Count > math.MaxUint32/r.Step {
			return fmt.Errorf("%d points of %d seconds: a span is 1 to 2^32-1 seconds", r.Count, r.Step)
		}
		if size += pointSize * r.Count; size > math.MaxUint32 {
			return errors.New("a whisper file would be larger than 4 GiB: keep fewer points")
		}
	}
	return consolidate(archives)
}

// consolidate returns an error unless each archive can be filled from the one
// before it, which is all that Carbon asks for.
func consolidate(archives []Retention) error {
	for i := 1; i < len(archives); i++ {
		if err := consolidates(archives[i-1], archives[i]); err != nil {
			return err
		}
	}
	return nil
}

// consolidates returns an error unless archive coarse can be filled from fine.
func consolidates(fine, coarse Retention) error {
	switch {
	case fine.Step == coarse.Step:
		return fmt.Errorf("%v and %v have the same step", fine, coarse)
	case fine.Step > coarse.Step:
		return fmt.Errorf("%v stands before %v, which is finer", fine, coarse)
	case coarse.Step%fine.Step != 0:
		return fmt.Errorf("the step of %v does not divide that of %v evenly", fine, coarse)
	case coarse.Span() <= fine.Span():
		return fmt.Errorf("%v reaches no further back than %v, which is finer", coarse, fine)
	case fine.Count < coarse.Step/fine.Step:
		return fmt.Errorf("%v has too few points to fill one of %v", fine, coarse)
	}
	return nil
}
