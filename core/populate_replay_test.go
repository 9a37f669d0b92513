package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"fluxgate/testdata/servers"
)

// A job may take this long, with its pauses after failures. When it has ended, what it leaves behind is there at once.
const (
	jobPatience  = 30 * time.Second
	leftPatience = 2 * time.Second
)

// TestPopulate replays testdata/populate. Cases that need the same of the system share a running one; a case whose sink refuses has one for itself.
func TestPopulate(t *testing.T) {
	shared := map[populateSetting][]populateCase{}
	for _, c := range readPopulateCases(t) {
		if c.setting.refusals == 0 {
			shared[c.setting] = append(shared[c.setting], c)
			continue
		}
		t.Run(c.name, func(t *testing.T) { replayPopulate(t, c.setting, []populateCase{c}) })
	}
	for setting, cases := range shared {
		t.Run(cmp.Or(strings.ReplaceAll(setting.timezone, "/", "-"), map[bool]string{true: "own-down", false: "cases"}[setting.ownDown]), func(t *testing.T) {
			replayPopulate(t, setting, cases)
		})
	}
}

// replayPopulate replays cases through one running system. At its end it looks for everything stored or recorded that no case expects.
func replayPopulate(t *testing.T, setting populateSetting, cases []populateCase) {
	if setting.timezone != "" {
		t.Setenv("TZ", setting.timezone)
	}
	s := startPopulate(t, setting)
	var mu sync.Mutex
	replayed := map[string]populateOutcome{}
	t.Run("each", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				if setting.timezone == "" { // which is changed for the whole process
					t.Parallel()
				}
				o := populateOutcome{failed: true}
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					replayed[c.name] = o
				}()
				o = s.replay(t, c)
			})
		}
	})
	s.nothingElse(t, cases, replayed)
}

// A populateSystem is a whole Fluxgate, running, with a Redis and an own Graphite.
type populateSystem struct {
	*process
	redis *redis.Client
	own   *ownGraphite
	lines string // the file of its sink
}

func startPopulate(t *testing.T, setting populateSetting) *populateSystem {
	t.Helper()
	server := servers.Redis(t)
	s := &populateSystem{own: &ownGraphite{cases: map[string]*fakeRemote{}}, lines: filepath.Join(t.TempDir(), "stored.txt")}
	own := httptest.NewServer(s.own)
	t.Cleanup(own.Close)
	if setting.ownDown {
		own.Close()
	}
	if setting.refusals == 0 {
		s.takeLines(t)
	}
	s.process = launch(t, fmt.Sprintf(`
keys: [{key: %s}]
redis: {address: "%s"}
sinks:
  lines: {plugin: "%s", config: {path: "%s", act: wait}}
populate:
  step: 60s
  resampler: mean
  sink: lines
  graphite: %s
  allow: [127.0.0.1/32, %s]
  concurrency: 16
  per_host: 64
  creates: 0
`, selfKey, server.Address, os.Args[0], s.lines, own.URL, otherHost))
	s.redis = redis.NewClient(&redis.Options{Addr: server.Address})
	t.Cleanup(func() { s.redis.Close() })
	return s
}

// takeLines has the sink take datapoints from now on.
func (s *populateSystem) takeLines(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(s.lines, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// stored returns the lines that the sink took, those of a case or, without a name, all.
func (s *populateSystem) stored(t *testing.T, name string) (points []storedPoint) {
	t.Helper()
	text, err := os.ReadFile(s.lines)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name == "" || owner(line) == name {
			points = append(points, point(t, strings.TrimSuffix(line, "\n")))
		}
	}
	return points
}

// A populateOutcome is what a replayed case left behind, for the look at the end.
type populateOutcome struct {
	failed bool
	stored []storedPoint
	ledger map[string]string
}

// A populateReplay is a case under way.
type populateReplay struct {
	*populateSystem
	populateCase
	moment
	remote *fakeRemote
	jobs   []populateJob
	want   populateOutcome
}

// replay posts the requests of a case and waits until what they store and record is there.
func (s *populateSystem) replay(t *testing.T, c populateCase) populateOutcome {
	r := s.prepare(t, c)
	for i := range c.requests {
		if i > 0 && !c.together {
			r.await(t, "the job before", func() string { return r.unfinished(t) })
		}
		r.post(t, i)
	}
	if t.Failed() {
		return populateOutcome{failed: true} // What a wrong answer starts is no news.
	}
	if c.response != http.StatusNoContent {
		if jobs := r.listedJobs(t); len(jobs) > 0 {
			t.Errorf("a refused request has become a job: %+v", jobs)
		}
		return populateOutcome{failed: t.Failed()}
	}
	r.passFaults(t)
	r.compareJobs(t)
	if len(r.want.stored) == 0 {
		r.await(t, "the job", func() string { return r.untouched(t) })
	}
	r.await(t, "stored", func() string { return sameStored(r.want.stored, s.stored(t, c.name)) })
	r.await(t, "the ledger", func() string { return difference(entryLines(r.want.ledger), entryLines(r.ledger(t))) })
	if _, _, logins := r.remote.seen(); len(logins) > 0 {
		t.Errorf("the remote was sent a login: %s", logins)
	}
	r.want.failed = t.Failed()
	return r.want
}

// prepare begins a case: from here on, its placeholders are filled in with the running minute, of which ten seconds at least are left.
func (s *populateSystem) prepare(t *testing.T, c populateCase) *populateReplay {
	t.Helper()
	r := &populateReplay{populateSystem: s, populateCase: c, remote: &fakeRemote{unknown: http.NotFound}}
	r.moment.remote = r.remote.serve(t)
	r.minute = minuteWithTimeLeft(t)
	var own []populateRule
	var before map[string]string
	for _, fill := range []func() error{
		func() (err error) { r.remote.rules, err = r.rules(c.remote); return err },
		func() (err error) { own, err = r.rules(c.own); return err },
		func() (err error) { r.jobs, err = c.jobs(r.moment); return err },
		func() (err error) { r.want.stored, err = r.points(c.expect); return err },
		func() (err error) { r.want.ledger, err = r.entries(c.after); return err },
		func() (err error) { before, err = r.entries(c.before); return err },
	} {
		if err := fill(); err != nil {
			t.Fatal(err)
		}
	}
	s.own.add(c, own)
	for key, text := range before {
		setEntry(t, s.redis, key, text)
	}
	return r
}

// minuteWithTimeLeft returns the start of the running minute, or of the next if this one is about to end.
func minuteWithTimeLeft(t *testing.T) int64 {
	t.Helper()
	for {
		now := time.Now()
		next := now.Truncate(time.Minute).Add(time.Minute)
		if next.Sub(now) > 10*time.Second {
			return next.Unix() - 60
		}
		select {
		case <-time.After(next.Sub(now)):
		case <-t.Context().Done():
			t.Fatal("the tests end")
		}
	}
}

func (r *populateReplay) post(t *testing.T, i int) {
	t.Helper()
	body, err := r.fill(r.requests[i])
	if err != nil {
		t.Fatal(err)
	}
	method, path, _ := strings.Cut(r.route, " ")
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.listen+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != r.response {
		t.Errorf("request %d: got status %d, want %d\n%s", i+1, answer.StatusCode, r.response, text)
	}
	if answer.StatusCode == http.StatusNoContent && len(text) > 0 {
		t.Errorf("request %d: a 204 with a body: %s", i+1, text)
	}
}

// passFaults waits until what the case has fail has failed, compares what is there meanwhile, and mends it.
func (r *populateReplay) passFaults(t *testing.T) {
	t.Helper()
	if r.setting.refusals == 0 && r.meanwhile == nil {
		return
	}
	want, err := r.points(r.meanwhile)
	if err != nil {
		t.Fatal(err)
	}
	r.await(t, "stored meanwhile", func() string { return sameStored(want, r.stored(t, r.name)) })
	r.await(t, "what fails", func() string {
		if _, passing, _ := r.remote.seen(); r.meanwhile != nil && passing == 0 {
			return "the remote has not been asked for what it does not have yet"
		}
		refused, err := os.ReadFile(r.lines + ".refused")
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if n := strings.Count(string(refused), "\n"); n < r.setting.refusals {
			return fmt.Sprintf("the sink has refused %d writes, it shall refuse %d", n, r.setting.refusals)
		}
		return ""
	})
	if diff := difference(nil, entryLines(r.ledger(t))); diff != "" {
		t.Errorf("the ledger meanwhile:\n%s", diff)
	}
	r.remote.recover()
	if r.setting.refusals > 0 {
		r.takeLines(t)
	}
}

// ledger reads what Redis has of the case, except for resolutions that nobody expects.
func (r *populateReplay) ledger(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	keys := maps.Clone(r.want.ledger)
	for _, j := range r.jobs {
		keys["flux.last."+j.Metric], keys[hashField(j.Metric)], keys[populatedMember(j.Target)] = "", "", ""
	}
	for key := range keys {
		text, err := r.entry(t, key)
		if err == redis.Nil {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		found[key] = text
	}
	return found
}

func populatedMember(target string) string { return populatedSet + "[" + target + "]" }

func (r *populateReplay) entry(t *testing.T, key string) (string, error) {
	target, isMember := strings.CutPrefix(key, populatedSet+"[")
	if !isMember {
		return getEntry(t.Context(), r.redis, key)
	}
	is, err := r.redis.SIsMember(t.Context(), populatedSet, strings.TrimSuffix(target, "]")).Result()
	if err == nil && !is {
		err = redis.Nil
	}
	return "member", err
}

// sameStored compares points, whatever their order.
func sameStored(want, got []storedPoint) string {
	return difference(slices.Sorted(slices.Values(pointLines(want))), slices.Sorted(slices.Values(pointLines(got))))
}

// A listedJob is a job as the list of jobs shows it.
type listedJob struct {
	ID, Metric, State string
	Warnings          []string
	Windows           []struct{ Error string }
}

func (j listedJob) ended() bool {
	return slices.Contains([]string{"done", "failed", "cancelled"}, j.State)
}

// listedJobs returns the jobs of the case that are in the list.
func (r *populateReplay) listedJobs(t *testing.T) (own []listedJob) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.listen+"/populate_metric/jobs?limit=1000", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("key", selfKey)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	var all []listedJob
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("the list of jobs: status %d, %v\n%.1000s", answer.StatusCode, err, text)
	}
	for _, j := range all {
		if owner(j.Metric) == r.name {
			own = append(own, j)
		}
	}
	return own
}

// unfinished tells which job of the case has not ended.
func (r *populateReplay) unfinished(t *testing.T) string {
	for _, j := range r.listedJobs(t) {
		if !j.ended() {
			return fmt.Sprintf("job %s is %s", j.ID, j.State)
		}
	}
	return ""
}

// await asks until nothing differs, and tells the last difference when the jobs have ended or patience has.
func (r *populateReplay) await(t *testing.T, what string, differs func() string) {
	t.Helper()
	overdue, left := time.After(jobPatience), (<-chan time.Time)(nil)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		diff := differs()
		if diff == "" {
			return
		}
		if left == nil && r.unfinished(t) == "" {
			left = time.After(leftPatience)
		}
		select {
		case <-overdue:
			t.Errorf("after %v, %s differs:\n%s", jobPatience, what, diff)
			return
		case <-left:
			t.Errorf("%s differs:\n%s", what, diff)
			return
		case <-tick.C:
		}
	}
}

// untouched tells which job of the case has neither ended nor met with trouble.
func (r *populateReplay) untouched(t *testing.T) string {
	if asked, _, _ := r.remote.seen(); asked == 0 && len(r.remote.rules) > 0 {
		return "the remote has not been asked"
	}
	for _, j := range r.listedJobs(t) {
		if !j.ended() && !slices.ContainsFunc(j.Windows, func(w struct{ Error string }) bool { return w.Error != "" }) {
			return fmt.Sprintf("job %s is %s, and none of its windows has failed", j.ID, j.State)
		}
	}
	return ""
}

// compareJobs waits until the list of jobs shows what the case expects of it.
func (r *populateReplay) compareJobs(t *testing.T) {
	t.Helper()
	r.await(t, "the list of jobs", func() string {
		jobs := r.listedJobs(t)
		if r.listed && len(jobs) == 0 {
			return "the job is not in it"
		}
		for _, part := range r.warnings {
			if !slices.ContainsFunc(jobs, func(j listedJob) bool { return strings.Contains(strings.Join(j.Warnings, "\n"), part) }) {
				return fmt.Sprintf("no warning says %q: %+v", part, jobs)
			}
		}
		return ""
	})
}

// nothingElse compares all that is stored and recorded with what the cases expect.
func (s *populateSystem) nothingElse(t *testing.T, cases []populateCase, replayed map[string]populateOutcome) {
	t.Helper()
	var points []storedPoint
	ledger := map[string]string{}
	for _, o := range replayed {
		points = append(points, o.stored...)
		maps.Copy(ledger, o.ledger)
	}
	foreign := func(line string) bool { // A failed case has told so itself.
		return strings.HasPrefix(line, "vista.last.resolution.") || slices.ContainsFunc(cases, func(c populateCase) bool {
			return replayed[c.name].failed && strings.Contains(line, c.name)
		})
	}
	want, have := slices.DeleteFunc(pointLines(points), foreign), slices.DeleteFunc(pointLines(s.stored(t, "")), foreign)
	if diff := difference(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(have))); diff != "" {
		t.Errorf("stored beside what the cases expect:\n%s", diff)
	}
	found := wholeLedger(t, s.redis)
	members, err := s.redis.SMembers(t.Context(), populatedSet).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range members {
		found[populatedMember(target)] = "member"
	}
	want, have = slices.DeleteFunc(entryLines(ledger), foreign), slices.DeleteFunc(entryLines(found), foreign)
	if diff := difference(want, have); diff != "" {
		t.Errorf("recorded beside what the cases expect:\n%s", diff)
	}
}
