package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
	"fluxgate/testdata/servers"
)

// parityScript reads jobs and batches, a line each. It makes a job's file anew
// with Graphite's own code, writes each batch at the same time, and fetches every
// archive of its file and of a copy of ours, over the whole span and what lies
// ahead. It prints where they differ, and in the end what it has compared.
const parityScript = `
import json, sys, os, whisper
root = sys.argv[1]
theirs = os.path.join(root, 'theirs')
batches = points = archives = 0

def contents(path, now):
    found = {}
    for archive in whisper.info(path)['archives']:
        step, span = archive['secondsPerPoint'], archive['retention']
        for at in now, now + 120:
            (start, _, _), values = whisper.fetch(path, at - span, at, now=at, archiveToSelect=step)
            found.update({(step, at - now, start + i * step): v for i, v in enumerate(values)})
    return found

for line in sys.stdin:
    batch = json.loads(line)
    if 'job' in batch:
        job = batch['job']
        if os.path.exists(theirs):
            os.unlink(theirs)
        whisper.create(theirs, [tuple(a) for a in job['archives']], job['xff'], job['aggregation'])
    last = {t: v for t, v in batch['points']}  # as in Carbon's cache: the last value of a timestamp
    whisper.update_many(theirs, sorted(last.items()), now=batch['now'])
    ours, header = os.path.join(root, batch['copy']), 16 + 12 * len(job['archives'])
    with open(ours, 'rb') as a, open(theirs, 'rb') as b:
        if a.read(header) != b.read(header) or os.path.getsize(ours) != os.path.getsize(theirs):
            print('differs:', job, 'was not made as Carbon makes it')
    got, want = contents(ours, batch['now']), contents(theirs, batch['now'])
    if got != want:
        all = [(k, got.get(k), want.get(k)) for k in sorted(set(got) | set(want)) if got.get(k) != want.get(k)]
        print('differs:', job, len(all), 'points, first (archive, ahead, time), ours, theirs:', all[0])
    os.unlink(ours)
    batches, points, archives = batches + 1, points + sum(v is not None for v in want.values()), archives + len(job['archives'])
print('compared', batches, points, archives)
`

type parityJob struct {
	Archives    [][2]int64 `json:"archives"`
	XFF         float64    `json:"xff"`
	Aggregation string     `json:"aggregation"`

	name       string
	kind       schema.Aggregation
	retentions []schema.Retention
	byCarbon   bool // the file exists already
	batches    []parityBatch
}

type parityBatch struct {
	Job    *parityJob   `json:"job,omitempty"` // that it is the first of
	Now    int64        `json:"now"`
	Points [][2]float64 `json:"points"`
	Copy   string       `json:"copy"` // of our file
}

// randomJob is a file and some batches for it, some time apart.
func randomJob(random *rand.Rand, i int) parityJob {
	j := parityJob{name: fmt.Sprintf("job%d", i), byCarbon: random.IntN(2) == 0}
	step, count := []int64{1, 5, 10, 60}[random.IntN(4)], 5+random.Int64N(30)
	for range 1 + random.IntN(4) {
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
		j.batches = append(j.batches, randomBatch(random, now, j.retentions))
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

// write lets the sink do what the job says, and tells each batch with a copy of
// the file as it is then.
func (j *parityJob) write(t *testing.T, root string, clock *int64, tell func(parityBatch)) {
	t.Helper()
	path := filepath.Join(root, j.name+".wsp")
	if j.byCarbon {
		if err := os.WriteFile(path, makeFile(j.kind, float32(j.XFF), j.retentions), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := newSink(t, root, "7s:700s")
	if !j.byCarbon {
		s.rules.otherwise = schema.Schema{Retentions: j.retentions, Aggregation: j.kind, XFilesFactor: j.XFF}
	}
	for i, b := range j.batches {
		*clock = b.Now
		var batch sdk.Batch
		for _, p := range b.Points {
			batch = append(batch, sdk.Datapoint{Metric: j.name, Timestamp: int64(p[0]), Value: p[1]})
		}
		must(t, s, batch)
		b.Copy = fmt.Sprintf("%s.copy%d", j.name, i)
		if i == 0 {
			b.Job = j
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, b.Copy), content, 0o644); err != nil {
			t.Fatal(err)
		}
		tell(b)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestParityWithCarbon(t *testing.T) {
	servers.NeedPython(t, "whisper")
	root := t.TempDir()
	var clock int64
	setClock(t, func() int64 { return clock })
	var out, trouble bytes.Buffer
	carbon := exec.CommandContext(t.Context(), "/usr/bin/python3", "-I", "-c", parityScript, root)
	carbon.Stdout, carbon.Stderr = &out, &trouble
	in, err := carbon.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := carbon.Start(); err != nil {
		t.Fatal(err)
	}
	lines, told := json.NewEncoder(in), 0
	random := rand.New(rand.NewPCG(5, 6))
	for i := 0; told < parityBatches; i++ {
		j := randomJob(random, i)
		j.write(t, root, &clock, func(b parityBatch) {
			told++
			if err := lines.Encode(b); err != nil {
				t.Error(err)
			}
		})
	}
	if err := errors.Join(in.Close(), carbon.Wait()); err != nil {
		t.Fatalf("%v\n%s", err, trouble.String())
	}
	judgeParity(t, out.String(), told)
}

// judgeParity reads what parityScript has printed of so many batches.
func judgeParity(t *testing.T, out string, told int) {
	t.Helper()
	batches, points, archives, wrong := 0, 0, 0, 0
	for line := range strings.Lines(out) {
		if _, err := fmt.Sscanf(line, "compared %d %d %d", &batches, &points, &archives); err == nil {
			continue
		}
		if wrong++; wrong <= 5 {
			t.Error(line)
		}
	}
	if wrong > 0 || batches != told || archives < 2*told || points < 20*told {
		t.Errorf("after %d of %d batches the files differ; %d points in %d archives compared", wrong, told, points, archives)
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
