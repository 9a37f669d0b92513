package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
	"fluxgate/testdata/servers"
)

// parityScript makes the files of each job anew with Graphite's own code, writes
// the same batches at the same times, and prints where its archives and ours
// differ, over their whole span and what lies ahead.
const parityScript = `
import json, sys, os, whisper
root = sys.argv[1]

def contents(path, now):
    found = {}
    for archive in whisper.info(path)['archives']:
        step, span = archive['secondsPerPoint'], archive['retention']
        for at in now, now + 120:
            (start, _, _), values = whisper.fetch(path, at - span, at, now=at, archiveToSelect=step)
            found.update({(step, at - now, start + i * step): v for i, v in enumerate(values)})
    return found

for job in json.load(sys.stdin):
    ours, theirs = os.path.join(root, job['name'] + '.wsp'), os.path.join(root, 'theirs')
    whisper.create(theirs, [tuple(a) for a in job['archives']], job['xff'], job['aggregation'])
    header = 16 + 12 * len(job['archives'])
    with open(ours, 'rb') as a, open(theirs, 'rb') as b:
        if a.read(header) != b.read(header) or os.path.getsize(ours) != os.path.getsize(theirs):
            print(job['name'], 'was not made as Carbon makes it')
    for batch in job['batches']:
        points = {t: v for t, v in batch['points']}  # as in Carbon's cache: the last value of a timestamp
        whisper.update_many(theirs, sorted(points.items()), now=batch['now'])
    got, want = contents(ours, job['now']), contents(theirs, job['now'])
    differ = [(k, got.get(k), want.get(k)) for k in sorted(set(got) | set(want)) if got.get(k) != want.get(k)]
    if differ:
        print(job['name'], job['archives'], job['aggregation'], job['xff'], len(differ), 'differ, first (archive, ahead, time), ours, theirs:', differ[0])
    print('compared', sum(v is not None for v in want.values()))
    os.unlink(theirs)
`

type parityJob struct {
	Name        string        `json:"name"`
	Archives    [][2]int64    `json:"archives"`
	XFF         float64       `json:"xff"`
	Aggregation string        `json:"aggregation"`
	Now         int64         `json:"now"` // when the archives are compared
	Batches     []parityBatch `json:"batches"`

	kind       schema.Aggregation
	retentions []schema.Retention
	byCarbon   bool // the file exists already
}

type parityBatch struct {
	Now    int64        `json:"now"`
	Points [][2]float64 `json:"points"`
}

// randomJob is a file and some batches for it, some time apart.
func randomJob(random *rand.Rand, i int) parityJob {
	j := parityJob{Name: fmt.Sprintf("job%d", i), byCarbon: random.IntN(2) == 0}
	step, count := []int64{1, 5, 10, 60}[random.IntN(4)], 5+random.Int64N(30)
	for range 1 + random.IntN(3) {
		r := schema.Retention{Step: step, Count: count}
		j.retentions = append(j.retentions, r)
		j.Archives = append(j.Archives, [2]int64{step, count})
		factor := 2 + random.Int64N(min(count, 12)-1)
		// A coarser archive has room for the finer one's span and the 90 seconds ahead:
		// where two intervals share a place, update_many leaves to chance which stays.
		step, count = step*factor, count/factor+4+100/(step*factor)+random.Int64N(30)
	}
	j.kind = 1 + schema.Aggregation(random.IntN(int(schema.AbsoluteMin)))
	if random.IntN(2) == 0 {
		j.kind = schema.Average
	}
	j.Aggregation = j.kind.String()
	j.XFF = []float64{0, 0.1, 0.3, 0.5, 0.5, 0.5, 1}[random.IntN(7)]
	now := 1_600_000_000 + random.Int64N(100_000)
	for range 1 + random.IntN(5) {
		j.Batches = append(j.Batches, randomBatch(random, now, j.retentions))
		j.Now = now
		now += random.Int64N(1 + j.retentions[random.IntN(len(j.retentions))].Span()/2)
	}
	return j
}

// randomBatch is unsorted, with timestamps that come twice, from all archives,
// older than all, and up to 90 seconds ahead. A dense one has a point for each
// interval of an archive; no batch has more, since update_many then writes over
// the end of its archive.
func randomBatch(random *rand.Rand, now int64, retentions []schema.Retention) parityBatch {
	b := parityBatch{Now: now}
	add := func(timestamp int64) {
		b.Points = append(b.Points, [2]float64{float64(timestamp), math.Round(random.NormFloat64() * 1000)})
	}
	if random.IntN(3) == 0 {
		r := retentions[random.IntN(len(retentions))]
		first := now - r.Span() + random.Int64N(r.Span()/2+90)
		for i := range r.Count {
			if timestamp := first + i*r.Step; timestamp <= now+90 {
				add(timestamp)
			}
		}
	} else {
		for range 1 + random.Int64N(retentions[0].Count-1) {
			r := retentions[random.IntN(len(retentions))]
			add(now + 90 - random.Int64N(r.Span()+r.Span()/8+90))
			if random.IntN(4) == 0 {
				add(int64(b.Points[random.IntN(len(b.Points))][0]))
			}
		}
	}
	random.Shuffle(len(b.Points), func(i, j int) { b.Points[i], b.Points[j] = b.Points[j], b.Points[i] })
	return b
}

// write lets the sink do what the job says.
func (j parityJob) write(t *testing.T, root string, clock *int64) {
	t.Helper()
	if j.byCarbon {
		raw := makeFile(j.kind, float32(j.XFF), j.retentions)
		if err := os.WriteFile(filepath.Join(root, j.Name+".wsp"), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := newSink(t, root, "7s:700s")
	if !j.byCarbon {
		s.rules.otherwise = schema.Schema{Retentions: j.retentions, Aggregation: j.kind, XFilesFactor: j.XFF}
	}
	for _, b := range j.Batches {
		*clock = b.Now
		var batch sdk.Batch
		for _, p := range b.Points {
			batch = append(batch, sdk.Datapoint{Metric: j.Name, Timestamp: int64(p[0]), Value: p[1]})
		}
		must(t, s, batch)
	}
}

func TestParityWithCarbon(t *testing.T) {
	servers.NeedPython(t, "whisper")
	root := t.TempDir()
	var clock int64
	setClock(t, func() int64 { return clock })
	random := rand.New(rand.NewPCG(5, 6))
	var jobs []parityJob
	for i := range 300 {
		j := randomJob(random, i)
		j.write(t, root, &clock)
		jobs = append(jobs, j)
	}
	in, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	compared, wrong := 0, 0
	for line := range strings.Lines(servers.Python(t, parityScript, string(in), root)) {
		n := 0
		if _, err := fmt.Sscanf(line, "compared %d", &n); err == nil {
			compared += n
			continue
		}
		if wrong++; wrong <= 5 {
			t.Error(line)
		}
	}
	if wrong > 0 || compared < 5000 {
		t.Errorf("%d of %d files differ, %d points compared", wrong, len(jobs), compared)
	}
}

// The oldest point leaves its archive while it is being written, when the clock
// moves on; it goes to the next archive, and takes no other with it.
func TestClockMovesOn(t *testing.T) {
	root := t.TempDir()
	const begin = 1_600_000_009 // so that the oldest point is alone in its interval of ten seconds
	looks := 0
	setClock(t, func() int64 {
		if looks++; looks == 1 {
			return begin
		}
		return begin + 1
	})
	var batch sdk.Batch
	for age := range int64(21) {
		batch = append(batch, sdk.Datapoint{Metric: "a", Timestamp: begin - age, Value: float64(age)})
	}
	must(t, newSink(t, root, "1s:20s,10s:10m"), batch)
	if looks < 2 {
		t.Fatalf("the clock was looked at %d times, so that this test proves nothing", looks)
	}
	got := read(t, root, begin+1, look{"a.wsp", 1, 20}, look{"a.wsp", 10, 600})
	for _, d := range batch[:19] { // of the next, fetch leaves out the last second
		if v, ok := got[0][d.Timestamp]; !ok || v != d.Value {
			t.Errorf("the fine archive has %v (%v) at age %v", v, ok, d.Value)
		}
	}
	if v, ok := got[1][begin-20-9]; !ok || v != 20 {
		t.Errorf("the coarse archive has %v (%v) for the point that left the fine one, want 20", v, ok)
	}
}

// A point for more intervals in a row than the archive has, because some are
// ahead, stays inside its archive.
func TestLongRunStaysInItsArchive(t *testing.T) {
	for _, xFilesFactor := range []float64{0.5, 0.1} { // go-whisper writes the one file, and this package the other
		root := t.TempDir()
		clock := int64(1_600_000_000)
		setClock(t, func() int64 { return clock })
		s := newSink(t, root, "60s:10m,5m:1h")
		s.rules.otherwise.XFilesFactor = xFilesFactor
		var looks []look
		for i := range int64(10) { // so that each place in the ring is its beginning once
			metric := fmt.Sprintf("m%d", i)
			must(t, s, sdk.Batch{{Metric: metric, Timestamp: clock - 3000, Value: 1}, {Metric: metric, Timestamp: clock - i*60, Value: 2}})
			var batch sdk.Batch
			for k := range int64(14) {
				batch = append(batch, sdk.Datapoint{Metric: metric, Timestamp: clock + 240 - k*60, Value: 3})
			}
			must(t, s, batch)
			looks = append(looks, look{metric + ".wsp", 60, 600}, look{metric + ".wsp", 300, 3600})
		}
		old := clock - 3000
		for i, got := range read(t, root, clock+240, looks...) {
			if i%2 == 0 && len(got) != 10 {
				t.Errorf("%s: the fine archive has %v, want 10 points", looks[i].path, got)
			}
			if i%2 == 1 && got[old-old%300] != 1 {
				t.Errorf("%s: the coarse archive lost its old point: %v", looks[i].path, got)
			}
		}
	}
}
