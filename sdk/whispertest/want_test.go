package whispertest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

// spell returns a moment as reports have it.
func spell(at time.Time) string {
	return fmt.Sprintf("%d (%s)", at.Unix(), at.UTC().Format("2006-01-02T15:04:05Z"))
}

func TestFailuresReadLikeBugReports(t *testing.T) {
	t.Parallel()
	c := Defaults()
	c.Retentions, c.XFilesFactor = "60s:1h,5m:1d", 0
	gate := c.Start(t)
	one, two, three := minute(3), minute(2), minute(1)
	gate.SendBatch(sdk.Batch{
		{Metric: cpu, Timestamp: one.Unix(), Value: 1.5}, {Metric: cpu, Timestamp: two.Unix(), Value: 2},
		{Metric: "vista.load", Timestamp: one.Unix(), Value: 0.25},
	})
	damaged := filepath.Join(gate.Files, "damaged.wsp")
	if err := os.WriteFile(damaged, []byte("no whisper file"), 0o600); err != nil {
		t.Fatal(err)
	}
	five := one.Truncate(5 * time.Minute)
	tests := []struct {
		name string
		test func(*Gate)
		says string
	}{
		{"another value", func(g *Gate) { g.Want(cpu, point(one, 1.25), point(two, 2)) },
			cpu + ", archive 60s:1h: after 50ms 1 of 2 intervals are not as wanted:\n\t" + spell(one) + ": got 1.5, want 1.25\n"},
		{"a point is missing, and one is too many", func(g *Gate) { g.Want(cpu, point(one, 1.5), point(three, 0)) },
			cpu + ", archive 60s:1h: after 50ms 2 of 3 intervals are not as wanted:\n\t" +
				spell(two) + ": got 2, want nothing\n\t" + spell(three) + ": got nothing, want 0\n"},
		{"nothing is wanted", func(g *Gate) { g.Want("vista.load") },
			"vista.load, archive 60s:1h: after 50ms 1 of 1 intervals are not as wanted:\n\t" + spell(one) + ": got 0.25, want nothing\n"},
		{"a coarse archive", func(g *Gate) { g.WantArchive("vista.load", 5*time.Minute, point(one, 1)) },
			"vista.load, archive 5m:1d: after 50ms 1 of 1 intervals are not as wanted:\n\t" + spell(five) + ": got 0.25, want 1\n"},
		{"no file", func(g *Gate) { g.Want("vista.node.one.cpu", point(one, 1.5)) },
			"vista.node.one.cpu, finest archive: got no file after 50ms, want\n\t" + spell(one) + ": 1.5\n" +
				"these metrics have a file:\n\tdamaged\n\tvista.load\n\t" + cpu + "\n"},
		{"no such archive", func(g *Gate) { g.WantArchive(cpu, 10*time.Minute, point(one, 1)) },
			cpu + ", archive of step 10m0s: its file has no such archive, it has 60s:1h,5m:1d"},
		{"no such archive to read", func(g *Gate) { g.Archive(cpu, time.Second) },
			cpu + ", archive of step 1s: its file has no such archive, it has 60s:1h,5m:1d"},
		{"a damaged file", func(g *Gate) { g.Want("damaged", point(one, 1)) },
			"damaged, finest archive: " + damaged + " is damaged: it has 15 bytes, fewer than a header"},
		{"a damaged file is read", func(g *Gate) { g.Series("damaged") },
			"damaged, finest archive: " + damaged + " is damaged: it has 15 bytes, fewer than a header"},
		{"a name that cannot be a file", func(g *Gate) { g.Want("a;b=c", point(one, 1)) },
			`a;b=c, finest archive: invalid: metric "a;b=c": names with tags have no whisper file here`},
		{"a request that is refused", func(g *Gate) { g.Send("vista.übel", 1, one) },
			fmt.Sprintf("send vista.übel 1 %d: answered 400 Bad Request: {", one.Unix())},
		{"a datapoint that is too old", func(g *Gate) { g.Send(cpu, 1, minute(61)) }, "answered 400 Bad Request: {"},
		{"another key", func(g *Gate) { g.Key += "x"; g.Backfill(sdk.Batch{{Metric: "a"}, {Metric: "b"}}) },
			"backfill 2 datapoints: answered 401 Unauthorized: {"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := try(t, func(t testing.TB) {
				g := *gate
				g.t, g.patience = t, 50*time.Millisecond
				tt.test(&g)
			})
			if !strings.HasPrefix(tr.fatal, tt.says) && !strings.Contains(tr.fatal, "answered") || !strings.Contains(tr.fatal, tt.says) {
				t.Errorf("the test ended with\n%s\nwant\n%s", tr.fatal, tt.says)
			}
		})
	}
}

func TestLongReportsAreCut(t *testing.T) {
	t.Parallel()
	gate := Start(t)
	tr := try(t, func(t testing.TB) {
		g := *gate
		g.t, g.patience = t, 0
		var want []sdk.Point
		for i := range 25 {
			want = append(want, point(minute(i), 1))
		}
		g.Want(cpu, want...)
	})
	if lines := strings.Count(tr.fatal, ": 1\n"); lines != 20 {
		t.Errorf("%d points are listed, want 20", lines)
	}
	says(t, tr.fatal, "\tand 5 more\n", "no metric has a file")
}

func TestTimestampsStandForTheirIntervals(t *testing.T) {
	t.Parallel()
	gate := Start(t)
	at := minute(1)
	gate.Send(cpu, 1, at.Add(3*time.Second))
	gate.Send(cpu, 2, at.Add(50*time.Second))
	gate.Want(cpu, point(at.Add(9*time.Second), 0), point(at.Add(59*time.Second), 2))
}
