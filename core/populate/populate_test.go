package populate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/core/populate/remote"
	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	os.Exit(m.Run())
}

// A world is what jobs meet: a remote, a ledger, a sink and a resampler, all in
// memory, and whatever goes wrong with them.
type world struct {
	t      *testing.T
	server *httptest.Server
	folder string
	now    int64 // Unix seconds; 0: the real time

	released func() // is called when a turn gives the metric back; nil: nothing is

	mu      sync.Mutex
	answer  http.HandlerFunc
	asked   []string
	last    map[string]int64
	entries map[string]sdk.Point // recorded
	notes   map[string]note
	taken   []sdk.Datapoint // in the order of writing
	fail    func(what string) error
	held    bool // by another instance
	terms   func(*Terms)
}

type note struct {
	target     string
	resolution time.Duration
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, folder: t.TempDir(), now: 1_700_006_435, last: map[string]int64{}, entries: map[string]sdk.Point{}, notes: map[string]note{},
		fail: func(string) error { return nil }, terms: func(*Terms) {},
	}
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.asked = append(w.asked, r.URL.RequestURI())
		answer := w.answer
		w.mu.Unlock()
		answer(rw, r)
	}))
	t.Cleanup(w.server.Close)
	return w
}

// trouble returns what goes wrong with a call.
func (w *world) trouble(what string) error {
	w.mu.Lock()
	fail := w.fail
	w.mu.Unlock()
	return fail(what)
}

// Last, Record, Note and Hold make the world a Ledger.
func (w *world) Last(_ context.Context, metric string) (int64, error) {
	if err := w.trouble("last"); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last[metric], nil
}

func (w *world) Record(_ context.Context, b sdk.Batch) error {
	if err := w.trouble("record"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range b {
		w.entries[d.Metric] = sdk.Point{Timestamp: d.Timestamp, Value: d.Value}
	}
	return nil
}

func (w *world) Note(_ context.Context, metric, target string, resolution time.Duration) error {
	if err := w.trouble("note"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes[metric] = note{target, resolution}
	return nil
}

func (w *world) Hold(ctx context.Context, _ string) (context.Context, func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held {
		return nil, nil, sdk.Unavailablef("another instance works on it")
	}
	held, release := context.WithCancel(ctx)
	return held, func() {
		if w.released != nil {
			w.released()
		}
		release()
	}, nil
}

// Write makes the world a Sink.
func (w *world) Write(ctx context.Context, b sdk.Batch) (int, error) {
	if err := w.trouble("write"); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taken = append(w.taken, b...)
	return len(b), ctx.Err()
}

// Resample is the mean.
func (w *world) Resample(_ context.Context, s sdk.Series, step time.Duration) (sdk.Series, error) {
	if err := w.trouble("resample"); err != nil {
		return sdk.Series{}, err
	}
	out := sdk.Series{Metric: s.Metric}
	for start, points := range s.Intervals(step) {
		sum := 0.0
		for _, p := range points {
			sum += p.Value
		}
		out.Points = append(out.Points, sdk.Point{Timestamp: start, Value: sum / float64(len(points))})
	}
	return out, nil
}

// open starts a Populate in the world's folder. It runs until stop is called, or
// the test ends.
func (w *world) open() (p *Populate, stop func()) {
	w.t.Helper()
	host := strings.TrimPrefix(w.server.URL, "http://")
	client, err := remote.New(remote.Options{Allow: []string{host}, PerHost: 2, Bytes: 64 << 20, Points: 1_000_000, Time: time.Minute})
	if err != nil {
		w.t.Fatal(err)
	}
	terms := Terms{
		Step: 60, Concurrency: 4, Patience: time.Hour, Windows: 64, Remote: client,
		Resampler: func(name, _ string) (Resampler, error) { return Resampler{Resampler: w, Name: "mean"}, nil },
		Sink:      func(string) (Sink, string, error) { return w, "carbon", nil },
		Schema:    func(string, string) (schema.Schema, bool) { return schema.Schema{}, false },
	}
	w.terms(&terms)
	p, err = Open(w.folder, w, terms, prometheus.NewRegistry())
	if err != nil {
		w.t.Fatal(err)
	}
	if w.now != 0 {
		p.now = w.clock()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		if err := p.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return p, stop
}

// clock runs from the world's time on.
func (w *world) clock() func() time.Time {
	began := time.Now()
	return func() time.Time { return time.Unix(w.now, 0).Add(time.Since(began)) }
}

// vista returns a request of Vista's form for one metric and some windows, whose
// URLs are given from /render on.
func (w *world) vista(metric string, windows ...string) Request {
	r := Request{Form: Vista, Kind: Graphite, Target: "a.b", Metric: metric}
	for _, path := range windows {
		r.URLs = append(r.URLs, w.server.URL+path)
	}
	return r
}

// render answers with points as Graphite does: by value and timestamp.
func render(points ...any) http.HandlerFunc {
	var list []string
	for i := 0; i < len(points); i += 2 {
		list = append(list, fmt.Sprintf("[%v, %v]", points[i], points[i+1]))
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `[{"target": "a.b", "datapoints": [%s]}]`, strings.Join(list, ", "))
	}
}

// minutes answers with n points, a minute each, from a timestamp on, with values
// from 0 on.
func minutes(n int, from int64) http.HandlerFunc {
	var points []any
	for i := range n {
		points = append(points, float64(i), from+int64(i)*60)
	}
	return render(points...)
}

// submit submits r, and returns the id of its job.
func (w *world) submit(p *Populate, r Request) string {
	w.t.Helper()
	job, err := p.Submit(r, Asker{})
	if err != nil {
		w.t.Fatal(err)
	}
	return job.ID
}

// await returns the job once ok says so.
func await(t *testing.T, p *Populate, id string, ok func(Job) bool) Job {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		job, err := p.Job(id, Asker{})
		if err != nil {
			t.Fatal(err)
		}
		if ok(*job) {
			return *job
		}
		if time.Now().After(deadline) {
			t.Fatalf("after ten seconds job %s is still %+v", id, *job)
		}
	}
}

func ended(j Job) bool { return j.State.ended() }

// points returns what the sink has, of each timestamp the last, in order.
func (w *world) points(metric string) []sdk.Point {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := map[int64]float64{}
	for _, d := range w.taken {
		if d.Metric == metric {
			last[d.Timestamp] = d.Value
		}
	}
	var points []sdk.Point
	for at, v := range last {
		points = append(points, sdk.Point{Timestamp: at, Value: v})
	}
	slices.SortFunc(points, func(a, b sdk.Point) int { return int(a.Timestamp - b.Timestamp) })
	return points
}

func (w *world) entry(metric string) (sdk.Point, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.entries[metric]
	return p, ok
}

func TestJobBringsWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	w.last["m"] = 1_700_000_050 // in the minute of 1700000040
	w.answer = render(0, 1_700_000_040, 1, 1_700_000_099, "null", 1_700_000_100, 2, 1_700_000_110, 4, 1_700_000_140, 9, 1_700_006_399, 8, 1_700_006_400)
	p, _ := w.open()
	job := await(t, p, w.submit(p, w.vista("m", "/render/?from=-6hours&format=json&target=a.b")), ended)
	if job.State != Done {
		t.Fatalf("the job ended as %+v", job)
	}
	want := []sdk.Point{{Timestamp: 1_700_000_100, Value: 3}, {Timestamp: 1_700_006_340, Value: 9}}
	if got := w.points("m"); !slices.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
	if entry, _ := w.entry("m"); entry != want[1] {
		t.Errorf("recorded %v, want %v", entry, want[1])
	}
	if w.notes["m"].target != "a.b" {
		t.Errorf("Vista is told %+v", w.notes["m"])
	}
}

func TestWindowThatFailsStaysPendingWhileNewerOnesAreUsed(t *testing.T) {
	w := newWorld(t)
	var down sync.Once
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		old := strings.Contains(r.URL.RawQuery, "7days")
		failed := false
		if old {
			down.Do(func() {
				failed = true
				http.Error(rw, "not now", http.StatusServiceUnavailable)
			})
		}
		switch {
		case failed:
		case old:
			render(1, 1_699_984_740, 2, 1_699_984_800)(rw, r)
		default:
			render(4, 1_700_000_220, 5, 1_700_000_280)(rw, r)
		}
	}
	p, _ := w.open()
	id := w.submit(p, w.vista("m", "/render/?from=-7days&until=-6hours&format=json&target=a.b", "/render/?from=-6hours&format=json&target=a.b"))
	await(t, p, id, func(j Job) bool { return j.Delivered == 2 })
	if entry, ok := w.entry("m"); ok {
		t.Errorf("recorded %v before everything older was delivered", entry)
	}
	if job := await(t, p, id, ended); job.State != Done {
		t.Fatalf("the job ended as %+v", job)
	}
	if got := w.points("m"); len(got) != 4 || len(w.taken) != 4 {
		t.Errorf("delivered %v in all, want four datapoints, each once", w.taken)
	}
	if entry, _ := w.entry("m"); entry != (sdk.Point{Timestamp: 1_700_000_280, Value: 5}) {
		t.Errorf("recorded %v", entry)
	}
}

func TestFinestWindowGivesAMinute(t *testing.T) {
	w := newWorld(t)
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "7days") {
			render(100, 1_699_999_440, 100, 1_700_000_040, 100, 1_700_000_640)(rw, r)
			return
		}
		render(1, 1_700_000_040, 2, 1_700_000_100, 3, 1_700_000_160)(rw, r)
	}
	p, _ := w.open()
	await(t, p, w.submit(p, w.vista("m", "/render/?from=-7days&until=-6hours&format=json&target=a.b", "/render/?from=-6hours&format=json&target=a.b")), ended)
	want := []sdk.Point{
		{Timestamp: 1_699_999_440, Value: 100}, {Timestamp: 1_700_000_040, Value: 1}, {Timestamp: 1_700_000_100, Value: 2},
		{Timestamp: 1_700_000_160, Value: 3}, {Timestamp: 1_700_000_640, Value: 100},
	}
	if got := w.points("m"); !slices.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
}

// errStop is what a call fails with after which the process is gone.
var errStop = errors.New("stopped here")

// TestStoppedAnywhereTheResultIsTheSame stops everything at the n-th call of
// anything outside, for every n, and has a new Populate go on. What then is in the
// sink and in the ledger must be what an undisturbed job has left there.
func TestStoppedAnywhereTheResultIsTheSame(t *testing.T) {
	windows := []string{"/render/?from=-7days&until=-6hours&format=json&target=a.b", "/render/?from=-6hours&format=json&target=a.b"}
	begin := func(t *testing.T) *world {
		w := newWorld(t)
		w.answer = func(rw http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.RawQuery, "7days") {
				minutes(7000, 1_699_560_000)(rw, r)
				return
			}
			minutes(300, 1_699_985_000)(rw, r)
		}
		return w
	}
	undisturbed := begin(t)
	p, _ := undisturbed.open()
	await(t, p, undisturbed.submit(p, undisturbed.vista("m", windows...)), ended)
	want, wantEntry := undisturbed.points("m"), undisturbed.entries["m"]
	if len(want) != 7300 {
		t.Fatalf("%d points of an undisturbed job", len(want))
	}
	for n := 1; ; n++ {
		w := begin(t)
		calls, reached := 0, make(chan struct{})
		w.fail = func(string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if calls++; calls == n {
				close(reached)
			}
			if calls >= n {
				return errStop
			}
			return nil
		}
		p, stop := w.open()
		id := w.submit(p, w.vista("m", windows...))
		over := false
		await(t, p, id, func(j Job) bool {
			select {
			case <-reached:
				return true
			default:
				over = ended(j)
				return over
			}
		})
		stop()
		w.fail = func(string) error { return nil }
		p, stop = w.open()
		if job := await(t, p, id, ended); job.State != Done {
			t.Fatalf("stopped at call %d: the job ended as %+v", n, job)
		}
		stop()
		if got := w.points("m"); !slices.Equal(got, want) {
			t.Fatalf("stopped at call %d: %d points differ from the %d of an undisturbed job", n, len(got), len(want))
		}
		if w.entries["m"] != wantEntry {
			t.Errorf("stopped at call %d: recorded %v, want %v", n, w.entries["m"], wantEntry)
		}
		if over {
			return
		}
	}
}

func TestRepeatedRequestChangesNothing(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		<-release
		minutes(3, 1_700_000_040)(rw, r)
	}
	p, _ := w.open()
	r := w.vista("m", "/render/?from=-6hours&format=json&target=a.b")
	first := w.submit(p, r)
	await(t, p, first, func(j Job) bool { return j.State == Fetching })
	r.URLs = []string{w.server.URL + "/render/?from=-24hours&format=json&target=a.b"}
	if again := w.submit(p, r); again != first {
		t.Errorf("another job, %s, for the metric of job %s", again, first)
	}
	close(release)
	await(t, p, first, ended)
	if len(w.asked) != 1 {
		t.Errorf("the remote was asked %q", w.asked)
	}
	if next := w.submit(p, r); next == first {
		t.Error("no new job after the first was done")
	}
}

func TestWindowThatTheRemoteRefusesIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "until=-d") {
			http.Error(rw, "invalid time", http.StatusBadRequest)
			return
		}
		render(1, 1_700_000_040)(rw, r)
	}
	p, _ := w.open()
	id := w.submit(p, w.vista("m", "/render/?from=-6&until=-d&format=json&target=a.b", "/render/?from=-6hours&format=json&target=a.b"))
	job := await(t, p, id, ended)
	if job.State != Failed || job.Error == "" {
		t.Errorf("the job ended as %+v", job)
	}
	if entry, _ := w.entry("m"); entry.Timestamp != 1_700_000_040 {
		t.Errorf("recorded %v, want what could be had", entry)
	}
	w.mu.Lock()
	w.answer = render(7, 1_700_000_100)
	w.mu.Unlock()
	if _, err := p.Retry(id, Asker{}); err != nil {
		t.Fatal(err)
	}
	if job := await(t, p, id, ended); job.State != Done || len(w.points("m")) != 2 {
		t.Errorf("tried again it ended as %+v, with %v", job, w.points("m"))
	}
}

func TestCancelEndsAJob(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	w.answer = func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	p, stop := w.open()
	id := w.submit(p, w.vista("m", "/render/?from=-6hours&format=json&target=a.b"))
	await(t, p, id, func(j Job) bool { return j.State == Fetching })
	if job, err := p.Cancel(id, Asker{}); err != nil || job.State != Cancelled {
		t.Fatalf("cancelled: %+v, %v", job, err)
	}
	stop() // which waits for the turn
	p, _ = w.open()
	if job := await(t, p, id, ended); job.State != Cancelled {
		t.Errorf("after a start it is %s", job.State)
	}
	if _, err := p.Cancel(id, Asker{}); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("cancelled again: %v", err)
	}
	w.mu.Lock()
	w.answer = minutes(3, 1_700_000_040)
	w.mu.Unlock()
	if _, err := p.Retry(id, Asker{}); err != nil {
		t.Fatal(err)
	}
	if job := await(t, p, id, ended); job.State != Done || len(w.points("m")) != 3 {
		t.Errorf("taken up again it ended as %+v, with %v", job, w.points("m"))
	}
}

func TestAKeySeesItsPrefixAlone(t *testing.T) {
	w := newWorld(t)
	w.answer = minutes(1, 1_700_000_040)
	p, _ := w.open()
	acme := Asker{Prefix: "acme"}
	ids := map[string]string{}
	for _, metric := range []string{"acme.a", "acmexyz.a", "other"} {
		ids[metric] = w.submit(p, w.vista(metric, "/render/?from=-6hours&format=json&target=a.b"))
	}
	if jobs, err := p.Jobs(acme, 100, func(Job) bool { return true }); err != nil || len(jobs) != 1 || jobs[0].Metric != "acme.a" {
		t.Errorf("it sees %v, %v", jobs, err)
	}
	for metric, id := range ids {
		_, err := p.Job(id, acme)
		if seen := err == nil; seen != (metric == "acme.a") {
			t.Errorf("job of %s: %v", metric, err)
		}
		if _, err := p.Cancel(id, acme); metric != "acme.a" && !errors.Is(err, ErrNoJob) {
			t.Errorf("cancel of %s: %v", metric, err)
		}
	}
}

func TestADatapointThatTheSinkRefusesIsLeftOut(t *testing.T) {
	w := newWorld(t)
	w.answer = minutes(1000, 1_699_940_040)
	bad := int64(1_699_940_040 + 600*60)
	p, _ := w.open()
	w.fail = func(string) error { return nil }
	w.terms = nil
	terms := *p.terms.Load()
	terms.Sink = func(string) (Sink, string, error) { return picky{w, bad}, "carbon", nil }
	p.Change(terms)
	job := await(t, p, w.submit(p, w.vista("m", "/render/?from=-24hours&format=json&target=a.b")), ended)
	if job.State != Done || job.Delivered != 999 || job.Refused != 1 || len(job.Warnings) == 0 {
		t.Errorf("the job ended as %+v", job)
	}
}

// picky refuses every batch with a datapoint of one timestamp.
type picky struct {
	Sink
	bad int64
}

func (s picky) Write(ctx context.Context, b sdk.Batch) (int, error) {
	if slices.ContainsFunc(b, func(d sdk.Datapoint) bool { return d.Timestamp == s.bad }) {
		return 0, sdk.Invalidf("not that one")
	}
	return s.Sink.Write(ctx, b)
}

func TestMetricWithoutValuesStopsVistaFromAsking(t *testing.T) {
	w := newWorld(t)
	w.answer = render("null", 1_700_006_340, "null", 1_700_006_400)
	p, _ := w.open()
	await(t, p, w.submit(p, w.vista("m", "/render/?from=-6hours&format=json&target=a.b")), ended)
	entry, ok := w.entry("m")
	if !ok || entry.Timestamp != 1_700_006_340 || !math.IsNaN(entry.Value) {
		t.Errorf("recorded %v, want no value at 1700006340", entry)
	}
	if w.notes["m"].target != "a.b" || len(w.points("m")) != 0 {
		t.Errorf("noted %+v, delivered %v", w.notes["m"], w.points("m"))
	}
}

func TestAnotherInstanceHoldsTheMetric(t *testing.T) {
	w := newWorld(t)
	w.answer = minutes(3, 1_700_000_040)
	w.held = true
	p, _ := w.open()
	id := w.submit(p, w.vista("m", "/render/?from=-6hours&format=json&target=a.b"))
	job := await(t, p, id, func(j Job) bool { return j.Error != "" })
	if job.State != Queued || len(w.asked) != 0 {
		t.Errorf("the job is %+v; the remote was asked %q", job, w.asked)
	}
	w.mu.Lock()
	w.held = false
	w.mu.Unlock()
	await(t, p, id, ended)
}

func TestSinkThatIsAwayIsAskedAgainWithPauses(t *testing.T) {
	w := newWorld(t)
	w.answer = minutes(3, 1_700_000_040)
	writes := 0
	w.fail = func(what string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if what != "write" {
			return nil
		}
		if writes++; writes > 2 {
			return nil
		}
		return sdk.Unavailablef("connection refused")
	}
	p, _ := w.open()
	id := w.submit(p, w.vista("m", "/render/?from=-6hours&format=json&target=a.b"))
	job := await(t, p, id, func(j Job) bool { return j.Due != nil && j.Error != "" })
	if job.State != Delivering || !strings.Contains(job.Error, "connection refused") {
		t.Errorf("it waits as %+v", job)
	}
	await(t, p, id, ended)
	if writes != 3 || len(w.points("m")) != 3 {
		t.Errorf("%d writes, delivered %v", writes, w.points("m"))
	}
}

func TestWindowThatFailsForTooLongIsGivenUp(t *testing.T) {
	w := newWorld(t)
	w.answer = func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusInternalServerError) }
	w.terms = func(terms *Terms) { terms.Patience = time.Second }
	p, _ := w.open()
	job := await(t, p, w.submit(p, w.vista("m", "/render/?from=-6hours&format=json&target=a.b")), ended)
	if job.State != Failed || job.Windows[0].Attempts < 1 || !strings.Contains(job.Error, "500") {
		t.Errorf("the job ended as %+v", job)
	}
	if entry, ok := w.entry("m"); ok {
		t.Errorf("recorded %v", entry)
	}
}

func TestNewMetricsAreBegunOneByOne(t *testing.T) {
	w := newWorld(t)
	w.answer = minutes(3, 1_700_000_040)
	w.last["known"] = 1_600_000_000
	w.terms = func(terms *Terms) { terms.Creates = 1 }
	p, _ := w.open()
	url := "/render/?from=-6hours&format=json&target=a.b"
	await(t, p, w.submit(p, w.vista("first", url)), ended)
	second := w.submit(p, w.vista("second", url))
	await(t, p, second, func(j Job) bool { return j.Intervals == 3 && j.Due != nil })
	if job := await(t, p, w.submit(p, w.vista("known", url)), ended); job.State != Done {
		t.Errorf("the job of a known metric ended as %+v", job)
	}
	if got := w.points("second"); len(got) != 0 {
		t.Errorf("a second new metric in the minute got %v", got)
	}
}

func TestWindowThatComesWhileAPassWaitsIsDeliveredToo(t *testing.T) {
	w := newWorld(t)
	w.last["m"] = 1_699_000_000
	down := true // the sink and the older window's remote, both for a while
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		old := strings.Contains(r.URL.RawQuery, "7days")
		w.mu.Lock()
		failing := down && old
		w.mu.Unlock()
		switch {
		case failing:
			http.Error(rw, "not now", http.StatusServiceUnavailable)
		case old:
			render(1, 1_699_984_740, 2, 1_699_984_800)(rw, r)
		default:
			render(4, 1_700_000_220, 5, 1_700_000_280)(rw, r)
		}
	}
	w.fail = func(what string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if what == "write" && down {
			return sdk.Unavailablef("not now")
		}
		return nil
	}
	p, _ := w.open()
	id := w.submit(p, w.vista("m", "/render/?from=-7days&until=-6hours&format=json&target=a.b", "/render/?from=-6hours&format=json&target=a.b"))
	await(t, p, id, func(j Job) bool { return strings.Contains(j.Error, "not now") && j.Due != nil })
	w.mu.Lock()
	down = false
	w.mu.Unlock()
	if job := await(t, p, id, ended); job.State != Done || len(w.points("m")) != 4 {
		t.Errorf("the job ended as %+v, with %v", job, w.points("m"))
	}
}

func TestAnIDHasOneSpelling(t *testing.T) {
	w := newWorld(t)
	w.held, w.answer = true, minutes(1, 1_700_000_040)
	p, _ := w.open()
	id := w.submit(p, w.vista("m", "/render/?from=-6hours&format=json&target=a.b"))
	for _, odd := range []string{"0" + id, "+" + id, " " + id, id + "x", ""} {
		if _, err := p.Retry(odd, Asker{}); !errors.Is(err, ErrNoJob) {
			t.Errorf("job %q: %v", odd, err)
		}
	}
}

func TestPointsThatAreLostAreFetchedAgain(t *testing.T) {
	w := newWorld(t)
	w.answer = minutes(10, 1_700_000_040)
	fail := true
	w.fail = func(what string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if what == "write" && fail {
			return sdk.Unavailablef("not now")
		}
		return nil
	}
	p, stop := w.open()
	id := w.submit(p, w.vista("m", "/render/?from=-6hours&format=json&target=a.b"))
	await(t, p, id, func(j Job) bool { return j.State == Delivering && j.Due != nil })
	stop()
	if err := os.Truncate(pointsFile(w.folder, id, 0, resampledFile), 40); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	fail = false
	w.mu.Unlock()
	p, _ = w.open()
	if job := await(t, p, id, ended); job.State != Done || len(w.points("m")) != 10 {
		t.Errorf("the job ended as %+v, with %v", job, w.points("m"))
	}
}

func TestARequestThatCanNeverBeDoneIsRefused(t *testing.T) {
	w := newWorld(t)
	p, _ := w.open()
	r := Request{Form: Plain, Kind: Prometheus, Remote: w.server.URL, Target: "up", Metric: "m", From: 1}
	if _, err := p.Submit(r, Asker{}); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a range of fifty years: %v", err)
	}
}
