package main

import (
	"encoding/json"
	"fmt"
)

// A reader's books, as `fluxgate journal verify` reads them from the disk.
type readerBooks struct {
	Reader    string `json:"reader"`
	Accepted  int    `json:"accepted"`
	Delivered int    `json:"delivered"`
	Dead      int    `json:"dead"`
	Expired   int    `json:"expired"`
	Damaged   int    `json:"damaged"`
	Waiting   int    `json:"waiting"`
	Imbalance int    `json:"imbalance"`
}

type logBooks struct {
	Log     string        `json:"log"`
	Damaged int           `json:"damaged"`
	Readers []readerBooks `json:"readers"`
}

// diskBooks is what `fluxgate journal verify` prints.
type diskBooks struct {
	Logs []logBooks `json:"logs"`
}

func parseBooks(printed []byte) (diskBooks, error) {
	var b diskBooks
	if err := json.Unmarshal(printed, &b); err != nil {
		return b, fmt.Errorf("journal verify printed no books: %w: %.200q", err, printed)
	}
	if len(b.Logs) == 0 {
		return b, fmt.Errorf("journal verify printed books without a log: %.200q", printed)
	}
	return b, nil
}

// balance says where the books on the disk do not balance by themselves.
func (b diskBooks) balance() (broken []string) {
	for _, l := range b.Logs {
		if l.Damaged != 0 {
			broken = append(broken, fmt.Sprintf("log %s: %d damaged", l.Log, l.Damaged))
		}
		for _, r := range l.Readers {
			off := r.Accepted - r.Delivered - r.Dead - r.Expired - r.Damaged - r.Waiting
			if off != 0 || r.Imbalance != 0 {
				broken = append(broken, fmt.Sprintf("log %s, reader %s: imbalance %d, told %d", l.Log, r.Reader, off, r.Imbalance))
			}
		}
	}
	return broken
}

// A count is what was seen from outside of one sink that is drained.
type count struct {
	sink         string
	acknowledged int // datapoints in requests answered 2xx
	attempted    int // datapoints in all requests, with those tried again
	held         int // datapoints in the sink, with those held more than once
	dead         int // datapoints that are to be dead letters
}

// agree says where the books on the disk contradict what was seen.
func (b diskBooks) agree(c count) []string {
	for _, l := range b.Logs {
		for _, r := range l.Readers {
			if l.Log == "live" && r.Reader == c.sink {
				return r.agree(c)
			}
		}
	}
	return []string{fmt.Sprintf("journal verify does not know the sink %s", c.sink)}
}

func (r readerBooks) agree(c count) (broken []string) {
	wrong := func(is bool, format string, args ...any) {
		if is {
			broken = append(broken, "journal verify, "+r.Reader+": "+fmt.Sprintf(format, args...))
		}
	}
	wrong(r.Accepted < c.acknowledged, "accepted %d, but %d are acknowledged", r.Accepted, c.acknowledged)
	wrong(r.Accepted > c.attempted, "accepted %d, but %d were sent", r.Accepted, c.attempted)
	wrong(r.Delivered > c.held, "delivered %d, but the sink took %d", r.Delivered, c.held)
	wrong(r.Waiting != 0, "%d waiting after the drain", r.Waiting)
	wrong(r.Dead != c.dead, "%d dead letters, want %d", r.Dead, c.dead)
	wrong(r.Expired != 0, "%d expired", r.Expired)
	wrong(r.Damaged != 0, "%d damaged", r.Damaged)
	return broken
}
