package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A system is a whole Fluxgate, running, with the keys of the request cases and a Redis of its own.
type system struct {
	address string                      // where it takes metrics
	stored  func(t *testing.T) []string // "metric value timestamp" of what its sink took, in the order written
	redis   *redis.Client
}

const (
	requestCases = "../testdata/requests"
	hashEntry    = "flux.last.metric_data"
	patience     = 5 * time.Second
)

// modes are the ways in which a system works, by the settings that choose them.
var modes = map[string]string{
	"data sockets": "",
	"gRPC alone":   "runtime: {data_sockets: false}",
	"local ledger": "ledger: {mode: local}",
}

// TestRequests replays testdata/requests through one running system of each mode. At its end it looks for everything stored or recorded that no case expects.
func TestRequests(t *testing.T) {
	cases := readRequestCases(t)
	for mode, settings := range modes {
		t.Run(mode, func(t *testing.T) { replayAll(t, startSystem(t, settings), cases) })
	}
}

func replayAll(t *testing.T, s system, cases []requestCase) {
	var mu sync.Mutex
	replayed := map[string]outcome{}
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				o := outcome{failed: true}
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					replayed[c.name] = o
				}()
				o = replay(t, s, c)
			})
		}
	})
	nothingElse(t, s, replayed)
}

// TestRequestCasesAreWellFormed needs no server.
func TestRequestCasesAreWellFormed(t *testing.T) {
	owners := map[string]string{}
	for _, c := range readRequestCases(t) {
		for _, p := range c.stored {
			if other, taken := owners[p.metric]; taken && other != c.name {
				t.Errorf("%s: its metric %s is stored by %s too", c.name, p.metric, other)
			}
			owners[p.metric] = c.name
		}
		for _, problem := range c.problems(t) {
			t.Errorf("%s: %s", c.name, problem)
		}
	}
}

func readRequestCases(t *testing.T) []requestCase {
	t.Helper()
	entries, err := os.ReadDir(requestCases)
	if err != nil {
		t.Fatal(err)
	}
	var cases []requestCase
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		c, err := readRequestCase(filepath.Join(requestCases, e.Name()))
		if err != nil {
			t.Errorf("%s: %v", e.Name(), err)
			continue
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		t.Fatalf("no cases in %s", requestCases)
	}
	return cases
}

// problems lists what would make a case say less than it seems to.
func (c requestCase) problems(t *testing.T) []string {
	var found []string
	if !regexp.MustCompile(`^(get|post|many|name|value|prefix|fill|test|health|route|dedup|body)(-[a-z0-9]+)+$`).MatchString(c.name) {
		found = append(found, "its name does not begin with a known word, or is not kebab case")
	}
	files, _ := filepath.Glob(filepath.Join(requestCases, c.name, "*"))
	for _, name := range files {
		found = append(found, c.fileProblems(t, name)...)
	}
	expected := len(c.steps)*2 + 1
	for _, extra := range []map[string]string{c.before, c.ledger} {
		if extra != nil {
			expected++
		}
	}
	if len(files) != expected {
		found = append(found, fmt.Sprintf("it has %d files, %d of them are read", len(files), expected))
	}
	accepted := false
	for _, s := range c.steps {
		found = append(found, s.problems()...)
		accepted = accepted || strings.Contains(s.response.first, " 204 ")
	}
	if len(c.stored) > 0 && !accepted {
		found = append(found, "something is stored, but no step is answered 204")
	}
	return found
}

// fileProblems looks for placeholders that nobody fills in, and for metrics of another case.
func (c requestCase) fileProblems(t *testing.T, name string) []string {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	if _, err := fill(string(text), time.Now()); err != nil {
		found = append(found, fmt.Sprintf("%s: %v", filepath.Base(name), err))
	}
	for _, m := range regexp.MustCompile(`\bcase\.[a-z0-9-]+`).FindAllString(string(text), -1) {
		if m != "case."+c.name {
			found = append(found, fmt.Sprintf("%s: the metric %s belongs to another case", filepath.Base(name), m))
		}
	}
	return found
}

func (s requestStep) problems() []string {
	var found []string
	if !regexp.MustCompile(`^[A-Z]+ /.* HTTP/1\.[01]$`).MatchString(s.request.first) {
		found = append(found, "no request line: "+s.request.first)
	}
	if _, err := statusCode(s.response); err != nil {
		found = append(found, err.Error())
	}
	for _, m := range []rawMessage{s.request, s.response} {
		for _, line := range m.lines {
			if !strings.Contains(line, ":") {
				found = append(found, "no header line: "+line)
			}
			if pseudo(line) && !regexp.MustCompile(`^X-Case-(Body: (prefix|free|subset)|Encode: gzip|Pad: \d+|Connection: same)$`).MatchString(line) {
				found = append(found, "unknown pseudo header: "+line)
			}
		}
	}
	if s.response.body == "" {
		return found
	}
	if _, err := parseJSON(s.response.body); err != nil {
		found = append(found, "the expected body: "+err.Error())
	}
	return found
}

// An outcome is what a replayed case left behind, for the look at the end.
type outcome struct {
	failed bool
	stored []storedPoint
	ledger map[string]string
}

// replay sends the steps of a case, compares each answer, and waits until what it stores and records is there.
func replay(t *testing.T, s system, c requestCase) outcome {
	now := time.Now()
	for key, text := range filled(t, c.before, now) {
		setEntry(t, s.redis, key, text)
	}
	sender := sender{address: s.address}
	defer sender.close()
	for i, step := range c.steps {
		response, body, err := sender.send(step.request, now)
		if err != nil {
			t.Errorf("step %d: %s\n%v", i+1, step.request.first, err)
			return outcome{failed: true}
		}
		if diff := compareResponse(t, step, response, body, now); diff != "" {
			t.Errorf("step %d: %s\n%s", i+1, step.request.first, diff)
		}
	}
	if t.Failed() {
		return outcome{failed: true} // What a wrong answer stored is no news.
	}
	want := filledPoints(t, c.stored, now)
	var got []storedPoint
	eventually(t, "stored", func() (diff string) {
		got = ownPoints(t, c, s.stored(t))
		want = placeServerNow(want, got, now)
		return difference(pointLines(want), pointLines(markFills(want, got)))
	})
	ledger := c.expectedLedger(t, want, now)
	eventually(t, "the ledger", func() string {
		return difference(entryLines(ledger), entryLines(readLedger(t, s.redis, c, want, ledger, now)))
	})
	return outcome{t.Failed(), want, ledger}
}

// eventually asks until nothing differs, and tells the last difference when patience ends.
func eventually(t *testing.T, what string, differs func() string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		diff := differs()
		if diff == "" {
			return
		}
		select {
		case <-deadline:
			t.Errorf("%s differs:\n%s", what, diff)
			return
		case <-tick.C:
		}
	}
}

// nothingElse sends one more datapoint and, when that is recorded, compares all that is stored and recorded with what the cases expect.
func nothingElse(t *testing.T, s system, replayed map[string]outcome) {
	last := lastCase()
	replayed[last.name] = replay(t, s, last)
	var points []storedPoint
	ledger := map[string]string{}
	for _, o := range replayed {
		points = append(points, o.stored...)
		maps.Copy(ledger, o.ledger)
	}
	foreign := func(line string) bool { return replayed[owner(line)].failed } // A failed case has told so itself.
	var got []storedPoint
	for _, line := range s.stored(t) {
		got = append(got, point(t, line))
	}
	want, have := slices.DeleteFunc(pointLines(points), foreign), slices.DeleteFunc(pointLines(markFills(points, got)), foreign)
	if diff := difference(want, have); diff != "" {
		t.Errorf("stored beside what the cases expect:\n%s", diff)
	}
	delete(ledger, "flux.listen")
	want, have = slices.DeleteFunc(entryLines(ledger), foreign), slices.DeleteFunc(entryLines(wholeLedger(t, s.redis)), foreign)
	if diff := difference(want, have); diff != "" {
		t.Errorf("recorded beside what the cases expect:\n%s", diff)
	}
}

// lastCase stores one datapoint now, behind which everything sent before has been recorded.
func lastCase() requestCase {
	c := requestCase{name: "end-of-the-replay"}
	query := "metric=case." + c.name + "&value=1&timestamp={{now}}&key={{SELF_KEY}}"
	c.stored = []storedPoint{{metric: "case." + c.name, value: "1.0", timestamp: "{{now}}"}}
	c.steps = []requestStep{{
		request:  rawMessage{first: "GET /metric_data?" + query + " HTTP/1.1", lines: []string{"Host: localhost"}},
		response: rawMessage{first: "HTTP/1.1 204 No Content"},
	}}
	return c
}

// owner returns the case that a metric or an entry belongs to by its name, and "" if that does not say.
func owner(metric string) string {
	_, rest, _ := strings.Cut(metric, "case.")
	end := strings.IndexFunc(rest, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') })
	if end < 0 {
		return rest
	}
	return rest[:end]
}

func statusCode(m rawMessage) (int, error) {
	f := strings.Fields(m.first)
	if len(f) < 2 || f[0] != "HTTP/1.1" {
		return 0, fmt.Errorf("no status line: %s", m.first)
	}
	return strconv.Atoi(f[1])
}

func compareResponse(t *testing.T, step requestStep, got *http.Response, body []byte, now time.Time) string {
	want := step.response
	code, err := statusCode(want)
	if err != nil {
		t.Fatal(err)
	}
	var diff []string
	if got.StatusCode != code {
		diff = append(diff, fmt.Sprintf("got  status %d\nwant status %d", got.StatusCode, code))
	}
	for _, line := range want.lines {
		name, value, _ := strings.Cut(line, ": ")
		switch have := strings.Join(got.Header.Values(name), ", "); {
		case pseudo(line):
		case name == "Allow" && allows(have, value):
		case have != value:
			diff = append(diff, fmt.Sprintf("got  %s: %s\nwant %s", name, have, line))
		}
	}
	expected, err := fill(want.body, now)
	if err != nil {
		t.Fatal(err)
	}
	if err := compareBody(want.header("X-Case-Body"), expected, string(body)); err != nil {
		diff = append(diff, fmt.Sprintf("%v\ngot  %s\nwant %s", err, body, expected))
	}
	return strings.Join(diff, "\n")
}

// allows says whether an Allow header names all the methods wanted, and beside them at most OPTIONS.
func allows(have, want string) bool {
	got, need := strings.Split(have, ", "), strings.Split(want, ", ")
	for _, method := range need {
		if !slices.Contains(got, method) {
			return false
		}
	}
	return !slices.ContainsFunc(got, func(method string) bool { return method != "OPTIONS" && !slices.Contains(need, method) })
}

func compareBody(mode, want, got string) error {
	if mode == "free" {
		return nil
	}
	if want == "" {
		if got != "" {
			return fmt.Errorf("the body is not empty")
		}
		return nil
	}
	wanted, err := parseJSON(want)
	if err != nil {
		return err
	}
	given, err := parseJSON(got)
	if err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	if mode == "" {
		if !reflect.DeepEqual(wanted, given) {
			return fmt.Errorf("the body differs")
		}
		return nil
	}
	return compareMembers(mode, wanted, given)
}

// compareMembers compares two objects: of a prefix all members, the message by its beginning; of a subset those wanted.
func compareMembers(mode string, wanted, given any) error {
	want, _ := wanted.(map[string]any)
	got, isObject := given.(map[string]any)
	if !isObject || mode == "prefix" && len(got) != len(want) {
		return fmt.Errorf("the body has other members")
	}
	for name, value := range want {
		begin, _ := value.(string)
		text, isText := got[name].(string)
		if mode == "prefix" && name == "message" && isText && strings.HasPrefix(text, begin) {
			continue
		}
		if !reflect.DeepEqual(got[name], value) {
			return fmt.Errorf("the body's %s differs", name)
		}
	}
	return nil
}

func parseJSON(text string) (any, error) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return v, nil
}

func point(t *testing.T, line string) storedPoint {
	t.Helper()
	p, err := parsePoint(line)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ownPoints picks the lines that are of a case, by what it expects or by their names.
func ownPoints(t *testing.T, c requestCase, lines []string) []storedPoint {
	expected := map[string]bool{}
	for _, p := range c.stored {
		expected[p.metric] = true
	}
	var own []storedPoint
	for _, line := range lines {
		if metric, _, _ := strings.Cut(line, " "); expected[metric] || owner(metric) == c.name {
			own = append(own, point(t, line))
		}
	}
	return own
}

func filledPoints(t *testing.T, points []storedPoint, now time.Time) []storedPoint {
	out := slices.Clone(points)
	for i := range out {
		timestamp, err := fill(out[i].timestamp, now)
		if err != nil {
			t.Fatal(err)
		}
		out[i].timestamp = timestamp
	}
	return out
}

// placeServerNow gives points without a timestamp the one that the server chose, if that lies between sent and now.
func placeServerNow(want, got []storedPoint, sent time.Time) []storedPoint {
	out := slices.Clone(want)
	for i, w := range out {
		for _, g := range got {
			if w.timestamp == serverNow && g.metric == w.metric && sameValue(g.value, w.value) && sinceSent(g.timestamp, sent) {
				out[i].timestamp = g.timestamp
			}
		}
	}
	return out
}

func sinceSent(timestamp string, sent time.Time) bool {
	n, err := strconv.ParseInt(timestamp, 10, 64)
	return err == nil && n >= sent.Unix() && n <= time.Now().Unix()
}

func sameValue(a, b string) bool { return plainValue(a) == plainValue(b) }

// plainValue brings a value to one spelling, whatever a sink prints.
func plainValue(text string) string {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// markFills marks those of the points that the sink took which are expected as fills.
func markFills(want, got []storedPoint) []storedPoint {
	out := slices.Clone(got)
	for _, w := range want {
		i := slices.IndexFunc(out, func(g storedPoint) bool { return w.fill && !g.fill && pointLine(g) == pointLine(w) })
		if i >= 0 {
			out[i].fill = true
		}
	}
	return out
}

func pointLine(p storedPoint) string { return p.metric + " " + plainValue(p.value) + " " + p.timestamp }

// pointLines sorts points by metric. The order within a metric stays; its fills, which travel apart, come first.
func pointLines(points []storedPoint) []string {
	sorted := slices.Clone(points)
	slices.SortStableFunc(sorted, func(a, b storedPoint) int {
		if a.metric == b.metric && a.fill != b.fill {
			return map[bool]int{true: -1, false: 1}[a.fill]
		}
		return strings.Compare(a.metric, b.metric)
	})
	var lines []string
	for _, p := range sorted {
		lines = append(lines, pointLine(p))
	}
	return lines
}

// difference is "" for equal lists, else what only one of them has, else both, whose order differs.
func difference(want, got []string) string {
	if slices.Equal(want, got) {
		return ""
	}
	if diff := only("missing", want, got) + only("too much", got, want); diff != "" {
		return diff
	}
	return fmt.Sprintf("got\n%s\nwant in this order\n%s", few(got), few(want))
}

func only(title string, these, those []string) string {
	rest := slices.Clone(those)
	var missing []string
	for _, line := range these {
		if i := slices.Index(rest, line); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
			continue
		}
		missing = append(missing, line)
	}
	if len(missing) == 0 {
		return ""
	}
	return title + "\n" + few(missing) + "\n"
}

// few indents lines, and at most twenty of them.
func few(lines []string) string {
	if len(lines) > 20 {
		lines = append(slices.Clone(lines[:20]), fmt.Sprintf("and %d more", len(lines)-20))
	}
	return "  " + strings.Join(lines, "\n  ")
}

func filled(t *testing.T, entries map[string]string, now time.Time) map[string]string {
	out := map[string]string{}
	for key, text := range entries {
		value, err := fill(text, now)
		if err != nil {
			t.Fatal(err)
		}
		out[key] = value
	}
	return out
}

// expectedLedger is ledger.txt, or else both entries of the newest datapoint of each metric that is not a fill.
func (c requestCase) expectedLedger(t *testing.T, stored []storedPoint, now time.Time) map[string]string {
	if c.ledger != nil {
		return filled(t, c.ledger, now)
	}
	entries := map[string]string{}
	for _, p := range stored { // Within a metric the timestamps rise.
		if !p.fill {
			entries["flux.last."+p.metric] = fmt.Sprintf("[%s, %s]", p.timestamp, p.value)
			entries[hashField(p.metric)] = fmt.Sprintf("{'timestamp': %s, 'value': %s}", p.timestamp, p.value)
		}
	}
	return entries
}

func hashField(metric string) string { return hashEntry + "[" + metric + "]" }

func entryLines(entries map[string]string) []string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		lines = append(lines, key+" "+entries[key])
	}
	return lines
}

// readLedger reads both entries of every metric of the case, and whatever else is expected. What is not there is left out.
func readLedger(t *testing.T, r *redis.Client, c requestCase, stored []storedPoint, expected map[string]string, sent time.Time) map[string]string {
	keys := map[string]bool{"flux.last.case." + c.name: true, hashField("case." + c.name): true}
	for _, p := range stored {
		keys["flux.last."+p.metric], keys[hashField(p.metric)] = true, true
	}
	for key := range expected {
		keys[key] = true
	}
	found := map[string]string{}
	for key := range keys {
		text, err := getEntry(t.Context(), r, key)
		if err == redis.Nil {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if expected[key] == serverNow && sinceSent(text, sent) {
			text = serverNow
		}
		found[key] = text
	}
	return found
}

// wholeLedger reads every entry of the form flux.last.
func wholeLedger(t *testing.T, r *redis.Client) map[string]string {
	found := map[string]string{}
	for it := r.Scan(t.Context(), 0, "flux.last.*", 1000).Iterator(); it.Next(t.Context()); {
		if it.Val() == hashEntry {
			continue
		}
		text, err := r.Get(t.Context(), it.Val()).Result()
		if err != nil {
			t.Fatal(err)
		}
		found[it.Val()] = text
	}
	fields, err := r.HGetAll(t.Context(), hashEntry).Result()
	if err != nil {
		t.Fatal(err)
	}
	for metric, text := range fields {
		found[hashField(metric)] = text
	}
	return found
}

func getEntry(ctx context.Context, r *redis.Client, key string) (string, error) {
	if field, isField := strings.CutPrefix(key, hashEntry+"["); isField {
		return r.HGet(ctx, hashEntry, strings.TrimSuffix(field, "]")).Result()
	}
	return r.Get(ctx, key).Result()
}

func setEntry(t *testing.T, r *redis.Client, key, text string) {
	t.Helper()
	var err error
	if field, isField := strings.CutPrefix(key, hashEntry+"["); isField {
		err = r.HSet(t.Context(), hashEntry, strings.TrimSuffix(field, "]"), text).Err()
	} else {
		err = r.Set(t.Context(), key, text, 0).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}
