package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	populateCases = "../testdata/populate"

	// otherHost is a host that jobs may fetch from, and that no resolver finds.
	otherHost = "history.invalid"

	// populatedSet is the set of Redis in which Vista looks for targets that are populated.
	populatedSet = "vista.fetcher.unique_metrics"
)

// A populateCase is one folder of testdata/populate, as read, with its placeholders.
type populateCase struct {
	name      string
	route     string // method and path
	requests  []string
	response  int
	remote    string // rules; empty: it knows nothing
	own       string // rules; empty: it has no series
	expect    []string
	meanwhile []string          // expected while a rule until "meanwhile" stands; nil: there is none
	before    map[string]string // entries put into Redis before the first request
	after     map[string]string // entries expected in the end; nil: the request is refused
	warnings  []string          // parts of warnings of the job
	listed    bool              // the job is in the list
	setting   populateSetting
	together  bool // the second request does not wait for the end of the first one's job
}

// A populateSetting is what a case needs of the whole system. Cases that need the same share one.
type populateSetting struct {
	ownDown  bool
	refusals int    // writes that the sink refuses before it takes one
	timezone string // of the process; empty: that of the tests
}

func readPopulateCase(dir string) (populateCase, error) {
	c := populateCase{name: filepath.Base(dir), route: "POST /populate_metric"}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return c, err
	}
	files := c.files(dir)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return c, err
		}
		if populateRequest.MatchString(e.Name()) { // They come in the order of their numbers.
			c.requests = append(c.requests, string(text))
			continue
		}
		read, known := files[e.Name()]
		if !known {
			return c, fmt.Errorf("%s: nobody reads it", e.Name())
		}
		if err := read(string(text)); err != nil {
			return c, fmt.Errorf("%s: %w", e.Name(), err)
		}
	}
	if len(c.requests) == 0 {
		return c, errors.New("no request")
	}
	return c, nil
}

// files tells for each file of a case, save the requests, how it is read.
func (c *populateCase) files(dir string) map[string]func(text string) error {
	entries := func(name string, into *map[string]string) func(string) error {
		return func(string) (err error) { *into, err = readEntries(filepath.Join(dir, name)); return err }
	}
	return map[string]func(string) error{
		"route.txt":            func(text string) error { c.route = strings.TrimSpace(text); return nil },
		"response.txt":         func(text string) (err error) { c.response, err = strconv.Atoi(strings.TrimSpace(text)); return err },
		"remote.json":          func(text string) error { c.remote = text; return nil },
		"own.json":             c.readOwn,
		"expect.txt":           func(text string) error { c.expect = textLines(text); return nil },
		"expect-meanwhile.txt": func(text string) error { c.meanwhile = textLines(text); return nil },
		"ledger-before.txt":    entries("ledger-before.txt", &c.before),
		"ledger-after.txt":     entries("ledger-after.txt", &c.after),
		"job.txt":              c.readJob,
		"faults.txt":           c.readFaults,
	}
}

var populateRequest = regexp.MustCompile(`^request(-[1-9])?\.json$`)

func textLines(text string) []string {
	lines := []string{} // not nil: the file is there
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines
}

func (c *populateCase) readOwn(text string) error {
	if c.setting.ownDown = strings.TrimSpace(text) == `"down"`; !c.setting.ownDown {
		c.own = text
	}
	return nil
}

func (c *populateCase) readJob(text string) error {
	for _, line := range textLines(text) {
		part, isWarning := strings.CutPrefix(line, "warning ")
		switch {
		case isWarning:
			c.warnings = append(c.warnings, part)
		case line == "listed":
			c.listed = true
		default:
			return fmt.Errorf("%q is neither listed nor a warning", line)
		}
	}
	return nil
}

func (c *populateCase) readFaults(text string) (err error) {
	for _, line := range textLines(text) {
		switch what, how, _ := strings.Cut(line, " "); {
		case line == "requests together":
			c.together = true
		case what == "timezone":
			c.setting.timezone = how
		case strings.HasPrefix(line, "sink refuses "):
			c.setting.refusals, err = strconv.Atoi(strings.TrimPrefix(line, "sink refuses "))
		default:
			err = fmt.Errorf("no such fault: %s", line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A moment fills placeholders in: minute is the start of the running one, remote the address of the case's remote.
type moment struct {
	minute int64
	remote string
}

var placeholders = regexp.MustCompile(`\{\{[^{}]*\}\}`)

func (m moment) fill(text string) (string, error) {
	var errs []error
	filled := placeholders.ReplaceAllStringFunc(text, func(found string) string {
		name := strings.Trim(found, "{}")
		switch name {
		case "REMOTE":
			return m.remote
		case "OTHER":
			return otherHost
		case "KEY":
			return selfKey
		case "minute":
			return strconv.FormatInt(m.minute, 10)
		}
		shift, isMinute := strings.CutPrefix(name, "minute")
		seconds, err := strconv.ParseInt(shift, 10, 64)
		if !isMinute || err != nil {
			errs = append(errs, fmt.Errorf("unknown placeholder %s", found))
		}
		return strconv.FormatInt(m.minute+seconds, 10)
	})
	return filled, errors.Join(errs...)
}

// points returns lines of an expectation as points, with each series written out.
func (m moment) points(lines []string) (points []storedPoint, err error) {
	for _, line := range lines {
		text, err := m.fill(line)
		if err != nil {
			return nil, err
		}
		more, err := parseSeries(text)
		if err != nil {
			return nil, err
		}
		points = append(points, more...)
	}
	return points, nil
}

// parseSeries reads "metric value timestamp", or "series metric count from timestamp every step", whose values count up from 0.
func parseSeries(line string) ([]storedPoint, error) {
	if !strings.HasPrefix(line, "series ") {
		p, err := parsePoint(line)
		return []storedPoint{p}, err
	}
	var metric string
	var count, from, step int64
	if n, err := fmt.Sscanf(line, "series %s %d from %d every %d", &metric, &count, &from, &step); n != 4 {
		return nil, fmt.Errorf("%q: %w", line, err)
	}
	points := make([]storedPoint, count)
	for i := range points {
		points[i] = storedPoint{metric: metric, value: fmt.Sprint(i), timestamp: fmt.Sprint(from + int64(i)*step)}
	}
	return points, nil
}

// entries returns entries of Redis with placeholders filled in.
func (m moment) entries(entries map[string]string) (map[string]string, error) {
	filled := map[string]string{}
	for key, text := range entries {
		value, err := m.fill(text)
		if err != nil {
			return nil, err
		}
		filled[key] = value
	}
	return filled, nil
}

// A populateRule says what a remote answers to URLs that hold When, as sent or decoded. Without Text, Series and Body the answer is empty.
type populateRule struct {
	When    string            `json:"when"`
	Status  int               `json:"status"` // 0: 200
	Headers map[string]string `json:"headers"`
	Text    string            `json:"text"`
	Body    json.RawMessage   `json:"body"`
	Series  *populateSeries   `json:"series"`
	Until   string            `json:"until"` // "meanwhile": stands until what is expected meanwhile has come about
}

// A populateSeries is an answer of Graphite whose values count up from 0.
type populateSeries struct {
	Target string `json:"target"`
	Count  int    `json:"count"`
	From   int64  `json:"from"`
	Step   int64  `json:"step"`
}

func (s populateSeries) answer() []byte {
	points := make([][2]int64, s.Count)
	for i := range points {
		points[i] = [2]int64{int64(i), s.From + int64(i)*s.Step}
	}
	answer, err := json.Marshal([]any{map[string]any{"target": s.Target, "datapoints": points}})
	if err != nil {
		panic(err) // numbers and a text can be marshalled
	}
	return answer
}

func (r populateRule) answer() []byte {
	if r.Series != nil {
		return r.Series.answer()
	}
	return append([]byte(r.Text), r.Body...)
}

// rules returns the rules of a remote.
func (m moment) rules(text string) (rules []populateRule, err error) {
	if text == "" {
		return nil, nil
	}
	if text, err = m.fill(text); err != nil {
		return nil, err
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	return rules, d.Decode(&rules)
}

// A populateJob is what a case's replayer needs to know of a request.
type populateJob struct {
	Target string `json:"remote_target"`
	Metric string `json:"metric"`
}

// jobs returns what the requests ask for, as far as they can be read.
func (c populateCase) jobs(m moment) (jobs []populateJob, err error) {
	for _, request := range c.requests {
		text, err := m.fill(request)
		if err != nil {
			return nil, err
		}
		var job populateJob
		if err := json.Unmarshal([]byte(text), &job); err != nil && c.response == http.StatusNoContent {
			return nil, fmt.Errorf("a request that is accepted: %w", err)
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}

func readPopulateCases(t *testing.T) (cases []populateCase) {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(populateCases, "*", "response.txt"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("no cases in %s: %v", populateCases, err)
	}
	for _, file := range folders {
		c, err := readPopulateCase(filepath.Dir(file))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		cases = append(cases, c)
	}
	return cases
}

// TestPopulateCasesAreWellFormed needs no server.
func TestPopulateCasesAreWellFormed(t *testing.T) {
	entries, err := os.ReadDir(populateCases)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(populateCases, e.Name(), "response.txt")); e.IsDir() && errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: no response.txt", e.Name())
		}
	}
	for _, c := range readPopulateCases(t) {
		for _, problem := range c.problems(t) {
			t.Errorf("%s: %s", c.name, problem)
		}
	}
}

// problems lists what would make a case say less than it seems to.
func (c populateCase) problems(t *testing.T) (found []string) {
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if !regexp.MustCompile(`^(points|minute|windows|series|prometheus|answer|own|ledger|sink|timezone|requests?|login|key|metric|target|type|urls|route)(-[a-z0-9]+)+$`).MatchString(c.name) {
		add("its name does not begin with a known word, or is not kebab case")
	}
	if !regexp.MustCompile(`^[A-Z]+ /\S+$`).MatchString(c.route) {
		add("no method and path: %s", c.route)
	}
	accepted := c.response == http.StatusNoContent
	if accepted != (c.after != nil) || accepted != (c.expect != nil) {
		add("expect.txt and ledger-after.txt are for requests that are answered 204, and for them only")
	}
	m := moment{minute: 1_700_006_400, remote: "http://127.0.0.1:1"}
	jobs, err := c.jobs(m)
	if err != nil {
		add("%v", err)
	}
	found = append(found, c.ruleProblems(m)...)
	found = append(found, c.expectProblems(m, jobs)...)
	for _, entries := range []map[string]string{c.before, c.after} {
		if _, err := m.entries(entries); err != nil {
			add("%v", err)
		}
	}
	return append(found, c.foreign(t)...)
}

// foreign lists the metrics and targets of other cases.
func (c populateCase) foreign(t *testing.T) (found []string) {
	files, _ := filepath.Glob(filepath.Join(populateCases, c.name, "*"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(case\.|remote\.|up\{case=\\?"|up%7Bcase%3D%22)([a-z0-9-]+)`).FindAllStringSubmatch(string(text), -1) {
			if m[2] != c.name {
				found = append(found, fmt.Sprintf("%s: %s belongs to another case", filepath.Base(file), m[0]))
			}
		}
	}
	return found
}

func (c populateCase) ruleProblems(m moment) (found []string) {
	passing := false
	for _, text := range []string{c.remote, c.own} {
		rules, err := m.rules(text)
		if err != nil {
			found = append(found, err.Error())
		}
		for _, r := range rules {
			passing = passing || r.Until != ""
			if r.When == "" || r.Until != "" && r.Until != "meanwhile" {
				found = append(found, "a rule has no when, or an until that never comes")
			}
		}
	}
	if passing != (c.meanwhile != nil) {
		found = append(found, `expect-meanwhile.txt and a rule until "meanwhile" go together`)
	}
	return found
}

// expectProblems compares what is expected of the sink with what is expected of Redis.
func (c populateCase) expectProblems(m moment, jobs []populateJob) (found []string) {
	want, err := m.points(slices.Concat(c.expect, c.meanwhile))
	if err != nil {
		return []string{err.Error()}
	}
	newest := map[string]storedPoint{}
	for _, p := range want {
		at, err := strconv.ParseInt(p.timestamp, 10, 64)
		if err != nil || at%60 != 0 || at >= m.minute {
			found = append(found, "no minute that has ended: "+pointLine(p))
		}
		if !slices.ContainsFunc(jobs, func(j populateJob) bool { return j.Metric == p.metric }) {
			found = append(found, "nobody asks for "+p.metric)
		}
		if p.timestamp >= newest[p.metric].timestamp {
			newest[p.metric] = p
		}
	}
	after, err := m.entries(c.after)
	if err != nil || len(after) == 0 {
		return found
	}
	for metric, p := range newest {
		if _, text, _ := strings.Cut(after["flux.last."+metric], "["); !strings.HasPrefix(text, p.timestamp+", ") {
			found = append(found, fmt.Sprintf("flux.last of %s is not its newest point", metric))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		metric, isKey := strings.CutPrefix(key, "flux.last.case.")
		if _, both := after[hashField("case."+metric)]; isKey && !both {
			found = append(found, key+" has no field in the hash")
		}
	}
	return found
}
