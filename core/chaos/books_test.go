package main

import (
	"slices"
	"strings"
	"testing"

	"fluxgate/sdk"
)

func some(n int) sdk.Batch {
	var b sdk.Batch
	for i := range n {
		b = append(b, sdk.Datapoint{Metric: "m" + string(rune('a'+i%3)), Timestamp: int64(1000 + i/3), Value: float64(i)})
	}
	return b
}

func TestSettle(t *testing.T) {
	all := some(30)
	changed := slices.Clone(all)
	changed[4].Value = 99
	for name, tt := range map[string]struct {
		acknowledged, indeterminate, held sdk.Batch
		want                              settlement
	}{
		"all well":                     {all, nil, all, settlement{Held: 30}},
		"one lost":                     {all, nil, all[1:], settlement{Held: 29, Lost: 1}},
		"the last lost":                {all, nil, all[:29], settlement{Held: 29, Lost: 1}},
		"one made up":                  {all[1:], nil, all, settlement{Held: 29, Phantom: 1}},
		"one changed":                  {all, nil, changed, settlement{Held: 29, Lost: 1, Phantom: 1}},
		"one twice":                    {all, nil, append(slices.Clone(all), all[0]), settlement{Held: 30, Duplicated: 1}},
		"all twice, in order":          {all, nil, append(slices.Clone(all), all...), settlement{Held: 30, Duplicated: 30}},
		"two of a metric swapped":      {all[:6], nil, sdk.Batch{all[3], all[1], all[2], all[0], all[4], all[5]}, settlement{Held: 6, Reordered: 1}},
		"two metrics swapped":          {all[:2], nil, sdk.Batch{all[1], all[0]}, settlement{Held: 2}},
		"indeterminate, held":          {all[:20], all[20:], all, settlement{Held: 30}},
		"indeterminate, not held":      {all[:20], all[20:], all[:20], settlement{Held: 20}},
		"indeterminate, later told":    {all, all[20:], all, settlement{Held: 30}},
		"acknowledged twice, and lost": {append(slices.Clone(all), all[0]), nil, all[1:], settlement{Held: 29, Lost: 1}},
		"nothing":                      {},
	} {
		t.Run(name, func(t *testing.T) {
			got := settle(tt.acknowledged, tt.indeterminate, tt.held)
			tt.want.Acknowledged, tt.want.Indeterminate = len(tt.acknowledged), len(tt.indeterminate)
			wrong := got.Lost + got.Phantom + got.Reordered
			if len(got.Examples) != min(wrong, maxExamples) {
				t.Errorf("%d examples for %d faults: %q", len(got.Examples), wrong, got.Examples)
			}
			if wrong == 0 != (len(got.broken()) == 0) {
				t.Errorf("with %+v it is broken as %q", got, got.broken())
			}
			got.Examples = nil
			if !equal(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func equal(a, b settlement) bool {
	return a.Acknowledged == b.Acknowledged && a.Indeterminate == b.Indeterminate && a.Held == b.Held && a.Lost == b.Lost &&
		a.Phantom == b.Phantom && a.Duplicated == b.Duplicated && a.Reordered == b.Reordered
}

func TestDiskBooks(t *testing.T) {
	well := readerBooks{Reader: "carbon", Accepted: 30, Delivered: 30}
	seen := count{sink: "carbon", acknowledged: 29, attempted: 40, held: 32}
	change := func(f func(*readerBooks)) readerBooks {
		r := well
		f(&r)
		return r
	}
	for name, tt := range map[string]struct {
		log  logBooks
		want string // what is told; empty: nothing
	}{
		"all well":            {logBooks{Log: "live", Readers: []readerBooks{well}}, ""},
		"unknown sink":        {logBooks{Log: "live"}, "does not know the sink carbon"},
		"only in fill":        {logBooks{Log: "fill", Readers: []readerBooks{well}}, "does not know the sink carbon"},
		"damaged log":         {logBooks{Log: "live", Damaged: 2, Readers: []readerBooks{well}}, "2 damaged"},
		"told imbalance":      {logBooks{Log: "live", Readers: []readerBooks{change(func(r *readerBooks) { r.Imbalance = 1 })}}, "imbalance 0, told 1"},
		"hidden imbalance":    {logBooks{Log: "live", Readers: []readerBooks{change(func(r *readerBooks) { r.Delivered = 29 })}}, "imbalance 1, told 0"},
		"fewer than promised": {logBooks{Log: "live", Readers: []readerBooks{change(func(r *readerBooks) { r.Accepted, r.Delivered = 28, 28 })}}, "accepted 28, but 29 are acknowledged"},
		"more than sent":      {logBooks{Log: "live", Readers: []readerBooks{change(func(r *readerBooks) { r.Accepted = 41 })}}, "accepted 41, but 40 were sent"},
		"delivered to nobody": {logBooks{Log: "live", Readers: []readerBooks{change(func(r *readerBooks) { r.Accepted, r.Delivered = 33, 33 })}}, "delivered 33, but the sink took 32"},
		"waiting":             {logBooks{Log: "live", Readers: []readerBooks{change(func(r *readerBooks) { r.Delivered, r.Waiting = 29, 1 })}}, "1 waiting"},
		"dead":                {logBooks{Log: "live", Readers: []readerBooks{change(func(r *readerBooks) { r.Delivered, r.Dead = 29, 1 })}}, "1 dead letters, want 0"},
		"expired":             {logBooks{Log: "live", Readers: []readerBooks{change(func(r *readerBooks) { r.Delivered, r.Expired = 29, 1 })}}, "1 expired"},
	} {
		t.Run(name, func(t *testing.T) {
			b := diskBooks{Logs: []logBooks{tt.log}}
			told := strings.Join(append(b.balance(), b.agree(seen)...), "; ")
			if tt.want == "" && told != "" || !strings.Contains(told, tt.want) {
				t.Errorf("told %q, want %q", told, tt.want)
			}
		})
	}
}

func TestBooksMustBePrinted(t *testing.T) {
	for _, printed := range []string{"", "{}", "all is well", `{"logs":[]}`} {
		if b, err := parseBooks([]byte(printed)); err == nil {
			t.Errorf("%q is taken as %+v", printed, b)
		}
	}
}
