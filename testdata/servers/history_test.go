package servers

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

// minutely returns n points, a minute apart, the last in the minute before now,
// with the values 0, 1, 2 and so on.
func minutely(n int) (points []sdk.Point) {
	first := time.Now().Unix()/60*60 - int64(n)*60
	for i := range n {
		points = append(points, sdk.Point{Timestamp: first + int64(i)*60, Value: float64(i)})
	}
	return points
}

// means returns the means of points over steps that are complete.
func means(points []sdk.Point, step time.Duration) (out []sdk.Point) {
	for start, of := range (sdk.Series{Points: points}).Intervals(step) {
		sum := 0.0
		for _, p := range of {
			sum += p.Value
		}
		if len(of) == int(step/time.Minute) {
			out = append(out, sdk.Point{Timestamp: start, Value: sum / float64(len(of))})
		}
	}
	return out
}

func TestWhisperFileAsIfWrittenLive(t *testing.T) {
	dir, points := t.TempDir(), minutely(3*24*60)
	WriteWhisper(t, dir, "a.b", "60s:1d,10m:7d,1h:90d", points[:4000])
	WriteWhisper(t, dir, "a.b", "60s:1d,10m:7d,1h:90d", points[4000:])
	archives := ReadWhisper(t, File(dir, "a.b"))
	if len(archives) != 3 {
		t.Fatalf("%d archives", len(archives))
	}
	if got := archives[0]; len(got) > 1440 || !slices.Equal(newest(got), newest(points)) {
		t.Errorf("finest archive: %d points, which are not the newest", len(got))
	}
	for i, step := range []time.Duration{10 * time.Minute, time.Hour} {
		want, got := means(points, step), archives[i+1]
		if len(got) < len(want) || !containsAll(got, want) {
			t.Errorf("archive of %v: %d points, want these %d of them at least", step, len(got), len(want))
		}
	}
}

// newest returns the newest points that an archive of a day still has when a
// test has taken minutes.
func newest(points []sdk.Point) []sdk.Point { return points[len(points)-min(len(points), 1430):] }

func containsAll(points, part []sdk.Point) bool {
	return !slices.ContainsFunc(part, func(p sdk.Point) bool { return !slices.Contains(points, p) })
}

func TestEmptyArchivesAreTold(t *testing.T) {
	dir := t.TempDir()
	WriteWhisper(t, dir, "m", "60s:1d,10m:7d", nil)
	if archives := ReadWhisper(t, File(dir, "m")); len(archives) != 2 || archives[0] != nil || archives[1] != nil {
		t.Errorf("got %v", archives)
	}
}

func TestGraphiteAnswersFromEachArchive(t *testing.T) {
	dir, points := t.TempDir(), minutely(2*24*60)
	WriteWhisper(t, dir, "a.b", "60s:1d,10m:7d", points)
	g := Graphite(t, dir)
	last := points[len(points)-5:]
	if got := g.Render(t, "a.b", last[0].Timestamp, last[4].Timestamp); !slices.Equal(got, last) {
		t.Errorf("the last five: got %v, want %v", got, last)
	}
	if got := g.Render(t, `scale(a.b,2)`, last[3].Timestamp, last[3].Timestamp); len(got) != 1 || got[0].Value != 2*last[3].Value {
		t.Errorf("one, doubled: got %v", got)
	}
	if got := g.Render(t, "never.written", 0, last[4].Timestamp); got != nil {
		t.Errorf("a metric that is not there: got %v", got)
	}
	archives := ReadWhisper(t, File(dir, "a.b"))
	for i, retention := range []time.Duration{24 * time.Hour, 7 * 24 * time.Hour} {
		if got := g.Archive(t, "a.b", retention); !slices.Equal(newest(got), newest(archives[i])) || len(got) < 200 {
			t.Errorf("archive of %v: got %d points, whisper has %d", retention, len(got), len(archives[i]))
		}
	}
}

// TestGraphiteAsksCarbon gives Graphite a folder that Carbon never writes, so
// what it finds of a metric comes out of Carbon's memory.
func TestGraphiteAsksCarbon(t *testing.T) {
	c, dir := Carbon(t, "1s:1d"), t.TempDir()
	g := Graphite(t, dir, c)
	WriteWhisper(t, dir, "a.b", "1s:1d", nil)
	deadline := time.Now().Add(patience)
	for i := 1.0; ; i++ {
		now := time.Now().Unix()
		sendLines(t, c, sdk.Batch{{Metric: "a.b", Timestamp: now, Value: i}})
		points := g.Render(t, "a.b", now-10, now+10)
		if len(points) > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("of %v datapoints Graphite has seen none before Carbon wrote it", i)
		}
	}
}

func TestGraphiteSeesWhatCarbonHasWritten(t *testing.T) {
	c := Carbon(t, "60s:1d")
	g := Graphite(t, c.Whisper, c)
	minute := time.Now().Unix()/60*60 - 60
	want := sdk.Batch{{Metric: "a.b", Timestamp: minute, Value: 0.25}}
	sendLines(t, c, want)
	c.Await(t, want)
	if got := g.Render(t, "a.b", minute, minute); !slices.Equal(got, []sdk.Point{{Timestamp: minute, Value: 0.25}}) {
		t.Errorf("got %v", got)
	}
}

func TestPrometheusHasAllSamples(t *testing.T) {
	const n = 4 * 24 * 60 * 4
	now := time.Now().Unix()
	one, other := sdk.Series{Metric: `load{host="a"}`}, sdk.Series{Metric: `load{host="b"}`}
	for i := range int64(n) {
		one.Points = append(one.Points, sdk.Point{Timestamp: now - 15*(n-i), Value: float64(i) / 3})
	}
	other.Points = one.Points[n-2:]
	p := Prometheus(t, OpenMetrics(one, other))
	if got := p.samples(t, `load{host="a"}[5d]`); !slices.Equal(got, texts(one.Points)) {
		t.Errorf("got %d samples, the last %v, want %d, the last %v", len(got), got[len(got)-1], n, one.Points[n-1])
	}
	p.Kill()
	p.Start()
	if got := p.samples(t, `load{host="b"}[5d]`); !slices.Equal(got, texts(other.Points)) {
		t.Errorf("after a restart: got %v, want %v", got, other.Points)
	}
}

func TestPrometheusWithoutSamples(t *testing.T) {
	p := Prometheus(t, OpenMetrics())
	if got := p.samples(t, "load[5d]"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// samples returns the samples that a query yields, as "timestamp value".
func (p *PrometheusServer) samples(t *testing.T, query string) (samples []string) {
	t.Helper()
	body, err := get(p.URL + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		t.Fatal(err)
	}
	_, values, _ := strings.Cut(string(body), `"values":[[`)
	for pair := range strings.SplitSeq(strings.TrimSuffix(values, "]]}]}}"), "],[") {
		if at, value, found := strings.Cut(pair, ","); found {
			samples = append(samples, at+" "+strings.Trim(value, `"`))
		}
	}
	return samples
}

func texts(points []sdk.Point) (texts []string) {
	for _, p := range points {
		texts = append(texts, fmt.Sprintf("%d %v", p.Timestamp, p.Value))
	}
	return texts
}

func TestServersOfHistoryAreOnLoopbackAlone(t *testing.T) {
	for _, address := range []string{Graphite(t, t.TempDir()).URL, Prometheus(t, OpenMetrics()).URL} {
		response, err := http.Get(strings.Replace(address, "127.0.0.1", "127.0.0.2", 1))
		if err == nil {
			response.Body.Close()
			t.Errorf("%s listens on other addresses too", address)
		}
	}
}
