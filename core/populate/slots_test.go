package populate

import (
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
	"fluxgate/testdata/servers"
)

// noon is a multiple of every step here.
const noon = 1_600_041_600

// archives reads retentions.
func archives(t testing.TB, text string) []schema.Retention {
	t.Helper()
	all, err := schema.ParseRetentions(text)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// every returns count spans that end before until, step seconds apart, of the
// values 0, 1, 2 and so on.
func every(step, count, until int64) []span {
	all := make([]span, count)
	for i := range all {
		all[i] = span{until - (count-int64(i))*step, float64(i), step}
	}
	return all
}

// planOf returns a plan for points that are at hand.
func planOf(s schema.Schema, now int64, points []span) plan {
	return plan{points: func() iter.Seq[span] { return slices.Values(points) }, schema: s, now: now}
}

// parityScript makes two whisper files for each job with Graphite's own code. In
// one the points arrive live; into the other the batches are written, each at a
// time of its own. Then it compares them to the bit, interval by interval, but
// for those within two steps of an archive's end.
const parityScript = `
import json, os, struct, sys, whisper
live, ours = os.path.join(sys.argv[1], 'live.wsp'), os.path.join(sys.argv[1], 'ours.wsp')

def contents(path, now, archive):
    (start, _, step), values = whisper.fetch(path, now - archive['retention'], now, now=now, archiveToSelect=archive['secondsPerPoint'])
    return {start + i * step: None if v is None else struct.pack('>d', v).hex() for i, v in enumerate(values)}

answers = []
for job in json.load(sys.stdin):
    for path, xff in (live, job['live_xff']), (ours, job['xff']):
        if os.path.exists(path):
            os.unlink(path)
        whisper.create(path, [tuple(a) for a in job['archives']], xff, job['aggregation'])
    now, newest = job['now'], job['newest']
    whisper.update(ours, newest[1], newest[0], now=newest[0])
    for ts, value in job['live']:
        whisper.update(live, value, ts, now=ts)
    whisper.update(live, newest[1], newest[0], now=newest[0])
    for batch in job['batches']:
        whisper.update_many(ours, batch['points'], now=batch['now'])
    archives = whisper.info(ours)['archives']
    compared, differ, finer = [], [], -1
    if contents(ours, now, archives[0]).get(newest[0]) != struct.pack('>d', newest[1]).hex():
        differ.append('the newest live value is gone')
    for a in archives:
        got, want = contents(ours, now, a), contents(live, now, a)
        step, n = a['secondsPerPoint'], 0
        for at in sorted(want):
            age = now - at
            if any(abs(age - b['retention']) <= 2 * step for b in archives) or job['direct'] and age <= finer:
                continue
            if got[at] != want[at]:
                differ.append('%ds at age %d: %s, want %s' % (step, age, got[at], want[at]))
            n += want[at] is not None and age > finer
        compared.append(n)
        finer = a['retention']
    answers.append({'compared': compared, 'differ': differ})
json.dump(answers, sys.stdout)
`

// A parityJob is one pair of whisper files.
type parityJob struct {
	Archives    [][2]int64    `json:"archives"`
	XFF         float64       `json:"xff"`
	LiveXFF     float64       `json:"live_xff"`
	Aggregation string        `json:"aggregation"`
	Now         int64         `json:"now"` // when the files are compared
	Newest      timed         `json:"newest"`
	Live        []timed       `json:"live"`
	Batches     []parityBatch `json:"batches"`
	Direct      bool          `json:"direct"` // compare only what the finer archive does not reach
}

type parityBatch struct {
	Now    int64   `json:"now"`
	Points []timed `json:"points"`
}

// A timed is a point as Graphite's code has it.
type timed sdk.Point

func (p timed) MarshalJSON() ([]byte, error) { return json.Marshal([]any{p.Timestamp, p.Value}) }

// A parityAnswer tells for each archive how many values were compared that lie
// beyond the reach of the finer one.
type parityAnswer struct {
	Compared []int    `json:"compared"`
	Differ   []string `json:"differ"`
}

// trial makes the plan's sequences and what writes them: 480 points at a time,
// each as many seconds later as slowness says. A live point is there before.
func trial(p plan, points []span, slowness int64) parityJob {
	s := p.schema
	j := parityJob{XFF: s.XFilesFactor, LiveXFF: s.XFilesFactor, Aggregation: s.Aggregation.String(), Now: p.now + slowness}
	j.Newest = timed{j.Now - j.Now%s.Retentions[0].Step, 42.5}
	for _, r := range s.Retentions {
		j.Archives = append(j.Archives, [2]int64{r.Step, r.Count})
	}
	for _, s := range points {
		j.Live = append(j.Live, timed{s.Timestamp, s.Value})
	}
	write := func(sequence iter.Seq[sdk.Point]) {
		all := slices.Collect(sequence)
		for batch := range slices.Chunk(all, 480) {
			b := parityBatch{Now: j.Now}
			for _, point := range batch {
				if p.holds(point.Timestamp, j.Now) {
					b.Points = append(b.Points, timed(point))
				}
			}
			j.Batches = append(j.Batches, b)
			j.Now += slowness
		}
	}
	write(p.fine())
	write(p.coarse())
	last := parityBatch{Now: j.Now}
	for point := range p.boundary(j.Now) {
		last.Points = append(last.Points, timed(point))
	}
	j.Batches = append(j.Batches, last)
	return j
}

// compare runs jobs, and fails the test for each that differs.
func compare(t *testing.T, names []string, jobs []parityJob) []parityAnswer {
	t.Helper()
	servers.NeedPython(t, "whisper")
	in, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	var answers []parityAnswer
	out := servers.Python(t, parityScript, string(in), t.TempDir())
	if err := json.Unmarshal([]byte(out), &answers); err != nil {
		t.Fatalf("python printed %.200q: %v", out, err)
	}
	for i, a := range answers {
		if len(a.Differ) > 0 {
			t.Errorf("%s: %v %s xff %v: %d intervals differ from what arrived live (%d values of each archive compared):\n%s",
				names[i], jobs[i].Archives, jobs[i].Aggregation, jobs[i].XFF, len(a.Differ), a.Compared,
				strings.Join(a.Differ[:min(5, len(a.Differ))], "\n"))
		}
	}
	return answers
}

// gapped leaves out single spans and runs of them.
func gapped(random *rand.Rand, all []span) []span {
	single, run := random.Float64()*0.4, random.Float64()*8/float64(len(all)+1)
	var out []span
	for i := 0; i < len(all); i++ {
		if random.Float64() < run {
			i += random.IntN(len(all)/20 + 1)
			continue
		}
		if random.Float64() >= single {
			out = append(out, all[i])
		}
	}
	return out
}

// noise gives spans values with many digits.
func noise(random *rand.Rand, all []span) []span {
	for i := range all {
		all[i].Value = random.NormFloat64() * 1000
	}
	return all
}

func TestHistoryIsAsIfItHadArrivedLive(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	const usual = "60s:1d,10m:7d,1h:90d"
	tests := []struct {
		name        string
		archives    string
		aggregation schema.Aggregation
		xff         float64
		source      int64
		days        int64
		gaps        bool
		slowness    int64
		compared    []int // at least, of each archive
	}{
		{"three days", usual, schema.Average, 0.5, 60, 3, false, 0, []int{1430, 280, 0}},
		{"ten days with gaps, sum", usual, schema.Sum, 0.5, 60, 10, true, 0, []int{500, 400, 20}},
		{"written slowly", usual, schema.Average, 0.5, 60, 9, true, 700, []int{500, 400, 20}},
		{"ten seconds", "10s:6h,1m:1d,10m:7d", schema.Max, 1, 10, 2, false, 0, []int{2100, 1060, 100}},
		{"the last, no factor", "60s:6h,5m:2d,30m:30d", schema.Last, 0, 60, 5, true, 0, []int{100, 200, 80}},
		{"all or nothing", "60s:6h,5m:2d,30m:30d", schema.Average, 1, 60, 5, true, 0, []int{100, 0, 0}},
		{"hours, no factor", usual, schema.Average, 0, 3600, 40, false, 0, []int{20, 140, 780}},
		{"hours, no factor, sum", usual, schema.Sum, 0, 3600, 40, true, 0, []int{10, 60, 400}},
		{"minutes into ten seconds", "10s:6h,1m:1d,10m:7d", schema.Average, 0, 60, 3, false, 0, []int{350, 1060, 280}},
	}
	var names []string
	var jobs []parityJob
	for _, tt := range tests {
		now := int64(noon + 1234)
		points := noise(random, every(tt.source, tt.days*86400/tt.source, now-now%tt.source))
		if tt.gaps {
			points = gapped(random, points)
		}
		p := planOf(schema.Schema{Retentions: archives(t, tt.archives), Aggregation: tt.aggregation, XFilesFactor: tt.xff}, now, points)
		names, jobs = append(names, tt.name), append(jobs, trial(p, points, tt.slowness))
	}
	for i, a := range compare(t, names, jobs) {
		for archive, least := range tests[i].compared {
			if a.Compared[archive] < least {
				t.Errorf("%s: only %d values of each archive were compared, want %d", names[i], a.Compared, tests[i].compared)
			}
		}
	}
}

// Hours of history fill the archives that keep hours, though whisper itself would
// get nothing there from one of sixty minutes.
func TestHoursOfHistory(t *testing.T) {
	points := noise(rand.New(rand.NewPCG(1, 9)), every(3600, 24*40, noon))
	p := planOf(schema.Schema{Retentions: archives(t, "60s:1d,10m:7d,1h:90d"), Aggregation: schema.Average, XFilesFactor: 0.5}, noon+100, points)
	j := trial(p, points, 0)
	j.LiveXFF, j.Direct = 0, true
	a := compare(t, []string{"hours"}, []parityJob{j})[0]
	if a.Compared[1] < 140 || a.Compared[2] < 780 {
		t.Errorf("only %d values of each archive were compared", a.Compared)
	}
}

func TestGeneratedHistory(t *testing.T) {
	random := rand.New(rand.NewPCG(10, 11))
	var names []string
	var jobs []parityJob
	for i := range 200 {
		s := randomSchema(random)
		step, longest := s.Retentions[0].Step, s.Retentions[len(s.Retentions)-1]
		now := noon + random.Int64N(100_000)
		until := now - now%step
		points := noise(random, every(step, min(1500, longest.Span()/step*11/10), until))
		if random.IntN(4) > 0 {
			points = gapped(random, points)
		}
		j := trial(planOf(s, now, points), points, []int64{0, 0, step, 3 * step, 9 * step}[random.IntN(5)])
		names, jobs = append(names, fmt.Sprint("job ", i)), append(jobs, j)
	}
	sum := 0
	for k := range 4 { // so that none takes long
		for _, a := range compare(t, names[k*50:k*50+50], jobs[k*50:k*50+50]) {
			for _, n := range a.Compared[1:] {
				sum += n
			}
		}
	}
	if sum < 5000 {
		t.Errorf("only %d coarse values were compared", sum)
	}
}

// randomSchema has two to four archives.
func randomSchema(random *rand.Rand) schema.Schema {
	for {
		s := schema.Schema{Aggregation: schema.Average, XFilesFactor: []float64{0, 0.2, 0.3, 0.5, 0.5, 0.7, 1}[random.IntN(7)]}
		if random.IntN(3) > 0 {
			s.Aggregation = schema.Average + schema.Aggregation(random.IntN(int(schema.AbsoluteMin)))
		}
		step, count := []int64{1, 5, 10, 60}[random.IntN(4)], 20+random.Int64N(100)
		for range 2 + random.IntN(3) {
			s.Retentions = append(s.Retentions, schema.Retention{Step: step, Count: count})
			factor := 2 + random.Int64N(5)
			step, count = step*factor, count/factor+5+random.Int64N(60)
		}
		if s.Validate() == nil {
			return s
		}
	}
}

// text writes points as "age:value", for ages before now.
func text(now int64, points iter.Seq[sdk.Point]) string {
	var b strings.Builder
	for p := range points {
		fmt.Fprintf(&b, " %d:%v", now-p.Timestamp, p.Value)
	}
	return strings.TrimSpace(b.String())
}

// A small file: minutes for ten minutes, then five minutes for forty.
func small(a schema.Aggregation, xff float64) schema.Schema {
	return schema.Schema{Retentions: []schema.Retention{{Step: 60, Count: 10}, {Step: 300, Count: 8}}, Aggregation: a, XFilesFactor: xff}
}

func TestSequences(t *testing.T) {
	spans := func(step int64, ageAndValues ...float64) (all []span) {
		for i := 0; i < len(ageAndValues); i += 2 {
			all = append(all, span{noon - int64(ageAndValues[i]), ageAndValues[i+1], step})
		}
		return all
	}
	mixed := append(spans(240, 1200, 10), spans(60, 960, 20)...)
	tests := []struct {
		name                   string
		schema                 schema.Schema
		points                 []span
		last, later            int64 // as ages
		fine, coarse, boundary string
	}{
		{"minutes", small(schema.Average, 0.5), every(60, 30, noon), 0, 0,
			"420:23 360:24 300:25 240:26 180:27 120:28 60:29", "1500:7 1200:12 900:17", "900:17"},
		{"boundary, ten minutes later", small(schema.Average, 0.5), every(60, 30, noon), 0, 600,
			"420:23 360:24 300:25 240:26 180:27 120:28 60:29", "1500:7 1200:12 900:17", "900:17 600:22 300:27"},
		{"boundary, twenty minutes later", small(schema.Average, 0.5), every(60, 30, noon), 0, 1200,
			"420:23 360:24 300:25 240:26 180:27 120:28 60:29", "1500:7 1200:12 900:17", "300:27"},
		{"the finer archive first", schema.Schema{Retentions: append(small(0, 0).Retentions, schema.Retention{Step: 600, Count: 10}),
			Aggregation: schema.Average, XFilesFactor: 1}, every(60, 60, noon), 0, 0,
			"420:53 360:54 300:55 240:56 180:57 120:58 60:59", "1500:37 1200:42 900:47 3600:4.5 3000:14.5", "900:47 3000:14.5"},
		{"a fifth, less than the factor as the file keeps it", small(schema.Average, 0.2), spans(60, 1200, 1, 900, 2, 840, 3), 0, 0, "", "900:2.5", "900:2.5"},
		{"what the target has is left alone", small(schema.Average, 0.5), spans(60, 1140, 1, 1080, 1, 1020, 1, 900, 2, 840, 2, 780, 2, 60, 3), 1200, 0,
			"60:3", "900:2", "900:2"},
		{"a live value in the finest interval", schema.Schema{Retentions: []schema.Retention{{Step: 600, Count: 10}}, Aggregation: schema.Average},
			every(60, 15, noon), 960, 0, "600:9.5", "", ""},
		{"too little is known", small(schema.Average, 0.5), spans(60, 1200, 1, 1140, 2, 900, 3, 840, 3, 780, 6), 0, 0, "", "900:4", "900:4"},
		{"points that cover differently", small(schema.Average, 1), mixed, 0, 0, "", "1200:12", ""},
		{"differently, unknown counting as 0", small(schema.AverageZero, 0), spans(120, 1200, 10, 1080, 10), 0, 0, "", "1200:8", ""},
		{"a sum", small(schema.Sum, 1), mixed, 0, 0, "", "1200:30", ""},
		{"one that covers all", small(schema.AverageZero, 1), append(spans(3600, 1200, 7, 900, 0.7), spans(60, 840, 3)...),
			0, 0, "", "1200:7 900:0.7", "900:0.7"},
		{"finer than the file", schema.Schema{Retentions: []schema.Retention{{Step: 300, Count: 10}}, Aggregation: schema.Max, XFilesFactor: 1},
			spans(60, 2400, 5, 900, 1, 840, 3, 300, 2), 0, 0, "900:3 300:2", "", ""},
		{"beyond what a float holds", small(schema.Sum, 0), spans(60, 1200, math.MaxFloat64, 1140, math.MaxFloat64, 900, 1), 0, 0, "", "900:1", "900:1"},
		{"plain", schema.Schema{}, spans(60, 99999, 1, 61, 2), 0, 0, "99999:1 61:2", "", ""},
	}
	for _, tt := range tests {
		p := planOf(tt.schema, noon, tt.points)
		if tt.last > 0 {
			p.last = noon - tt.last
		}
		got := [3]string{text(noon, p.fine()), text(noon, p.coarse()), text(noon, p.boundary(noon+tt.later))}
		if want := [3]string{tt.fine, tt.coarse, tt.boundary}; got != want {
			t.Errorf("%s: %q, want %q", tt.name, got, want)
		}
	}
}

func TestSequencesAreResumed(t *testing.T) {
	points := every(60, 3000, noon)
	p := planOf(schema.Schema{Retentions: archives(t, "60s:6h,5m:1d,30m:30d"), Aggregation: schema.Average, XFilesFactor: 0.5}, noon+7, points)
	for name, sequence := range map[string]iter.Seq[sdk.Point]{"fine": p.fine(), "coarse": p.coarse(), "boundary": p.boundary(noon + 7)} {
		all := slices.Collect(sequence)
		for n := range len(all) + 1 {
			var begun []sdk.Point
			for point := range sequence {
				if len(begun) == n {
					break
				}
				begun = append(begun, point)
			}
			if got := append(begun, slices.Collect(from(sequence, int64(n)))...); !slices.Equal(got, all) {
				t.Fatalf("%s: %d points and then the rest are not all", name, n)
			}
		}
		if name == "coarse" && len(all) < 200 {
			t.Errorf("coarse has only %d points", len(all))
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const count = 1_000_000
	p := planOf(schema.Schema{Retentions: archives(t, "60s:30d,10m:300d,1h:3y"), Aggregation: schema.Average, XFilesFactor: 0.5}, noon, nil)
	p.points = func() iter.Seq[span] {
		return func(yield func(span) bool) {
			for i := range int64(count) {
				if !yield(span{noon - (count-i)*60, 1, 60}) {
					return
				}
			}
		}
	}
	written := 0
	allocations := testing.AllocsPerRun(1, func() {
		for _, sequence := range []iter.Seq[sdk.Point]{p.fine(), p.coarse(), p.boundary(noon)} {
			for range sequence {
				written++
			}
		}
	})
	if written < 2*80_000 || allocations > 500 {
		t.Errorf("%d points written in two runs with %v allocations in each, want at most 500", written, allocations)
	}
}

func TestHolds(t *testing.T) {
	p := planOf(small(schema.Average, 0.5), noon, nil)
	tests := []struct {
		name       string
		age, later int64
		want       bool
	}{
		{"at once", 479, 0, true},
		{"grown into the margin", 479, 1, false},
		{"of the future", -60, 0, true},
		{"coarse", 601, 0, true},
		{"coarse, while the clock goes back", 601, -1, false},
		{"coarse, grown old", 601, 1198, true},
		{"coarse, grown too old", 601, 1199, false},
		{"older than all", 2401, 0, false},
	}
	for _, tt := range tests {
		if got := p.holds(noon-tt.age, noon+tt.later); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if !planOf(schema.Schema{}, noon, nil).holds(1, noon) {
		t.Error("a plain plan holds back a point")
	}
}

func TestWarning(t *testing.T) {
	usual := "60s:1d,10m:7d,1h:90d"
	tests := []struct {
		name, archives string
		xff            float64
		age, cover     int64
		words          string
	}{
		{"as fine as the file", usual, 1, 80 * 86400, 60, ""},
		{"hours", usual, 0.5, 80 * 86400, 3600, "fills 0.1 of the intervals of 60s:1d, less than the xFilesFactor 0.5: 10m:7d gets nothing"},
		{"every other minute", usual, 0.5, 80 * 86400, 120, ""},
		{"every third minute", usual, 0.5, 80 * 86400, 180, "fills 0.33 of the intervals of 60s:1d"},
		{"hours, no factor", usual, 0, 80 * 86400, 3600, ""},
		{"a factor that is more in single precision", usual, 0.1, 80 * 86400, 3600, "fills 0.1"},
		{"hours, few enough for the first", usual, 0.15, 80 * 86400, 3600, "fills 0.1 of"},
		{"hours, too few for the second", "5m:1d,10m:7d,1h:90d", 0.5, 80 * 86400, 3600, "fills 0.17 of the intervals of 10m:7d"},
		{"one archive", "60s:90d", 1, 80 * 86400, 3600, ""},
		{"plain, a day", "", 0, 86400, 60, ""},
		{"plain, older", "", 0, 86401, 60, "points are up to 24h0m1s old and the target's archives are not known"},
	}
	for _, tt := range tests {
		s := schema.Schema{XFilesFactor: tt.xff}
		if tt.archives != "" {
			s.Retentions = archives(t, tt.archives)
		}
		got := planOf(s, noon, nil).warning(noon-tt.age, tt.cover)
		if tt.words == "" && got != "" || !strings.Contains(got, tt.words) {
			t.Errorf("%s: %q, want the words %q", tt.name, got, tt.words)
		}
	}
}
