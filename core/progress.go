package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"fluxgate/core/populate"
)

// A mark is how many datapoints of a job were delivered at a moment.
type mark struct {
	at        time.Time
	delivered int64
}

// paceTime is the time over which a pace is measured.
const paceTime = 10 * time.Second

// noted returns marks, the oldest first, with one more, and without those that the
// pace is not measured over any more: nor those before a job that began again.
func noted(marks []mark, next mark) []mark {
	if n := len(marks); n > 0 && marks[n-1].delivered > next.delivered {
		marks = nil
	}
	marks = append(marks, next)
	for len(marks) > 2 && next.at.Sub(marks[1].at) >= paceTime {
		marks = marks[1:]
	}
	return marks
}

// A pace is how fast a job delivers.
type pace struct {
	rate float64       // datapoints in a second; 0: none, or unknown
	left time.Duration // until the rest is delivered, in whole seconds; 0: unknown
}

// longestLeft is the longest time that is worth telling.
const longestLeft = 1000 * time.Hour

// paceOf returns the pace over marks, with which rest datapoints are still to be
// delivered.
func paceOf(marks []mark, rest int64) (p pace) {
	if len(marks) < 2 {
		return p
	}
	first, last := marks[0], marks[len(marks)-1]
	seconds := last.at.Sub(first.at).Seconds()
	if seconds <= 0 || last.delivered <= first.delivered {
		return p
	}
	p.rate = float64(last.delivered-first.delivered) / seconds
	if left := math.Ceil(float64(rest) / p.rate); left > 0 && left <= longestLeft.Seconds() {
		p.left = time.Duration(left) * time.Second
	}
	return p
}

// rest returns how many datapoints a job has still to deliver, as far as is known.
func rest(j populate.Job) int64 { return max(0, j.Total-j.Delivered-j.Refused) }

// settled returns how many windows of a job are resampled or given up.
func settled(j populate.Job) (n int) {
	for _, w := range j.Windows {
		if w.State == populate.Resampled || w.State == populate.GivenUp {
			n++
		}
	}
	return n
}

// share returns how much of a job is done, from 0 to 1. To have the windows is half
// of it, to deliver what is in them the other.
func share(j populate.Job) float64 {
	if j.State == populate.Done {
		return 1
	}
	if len(j.Windows) == 0 {
		return 0
	}
	had, delivered := float64(settled(j))/float64(len(j.Windows)), 0.0
	if j.Total > 0 {
		delivered = min(1, float64(j.Delivered+j.Refused)/float64(j.Total))
	}
	return had * (1 + delivered) / 2
}

// bar draws a share in width letters, at least 3.
func bar(share float64, width int) string {
	full := int(share * float64(width-2))
	return "[" + strings.Repeat("#", full) + strings.Repeat("-", width-2-full) + "]"
}

// status tells in a line how far a job is.
func status(j populate.Job, p pace, now time.Time) string {
	parts := []string{string(j.State)}
	if had := settled(j); had < len(j.Windows) || len(j.Windows) > 0 && j.Total == 0 {
		parts = append(parts, fmt.Sprintf("%d of %d windows", had, len(j.Windows)))
	}
	if j.Total > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d datapoints", j.Delivered, j.Total))
	}
	if j.Refused > 0 {
		parts = append(parts, fmt.Sprintf("%d refused", j.Refused))
	}
	waits := j.Due != nil && j.Due.After(now)
	if p.rate > 0 && !hasEnded(j.State) && !waits {
		parts = append(parts, fmt.Sprintf("%.0f/s", p.rate))
	}
	if p.left > 0 && !hasEnded(j.State) && !waits {
		parts = append(parts, fmt.Sprintf("%v left", p.left))
	}
	if waits {
		parts = append(parts, fmt.Sprintf("goes on in %v", j.Due.Sub(now).Round(time.Second)))
	}
	text := strings.Join(parts, ", ")
	if j.Error != "" {
		text += ": " + j.Error
	}
	return text
}
