package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/core/flow"
	"fluxgate/core/populate"
	"fluxgate/core/web"
	"fluxgate/sdk"
)

// A counter keeps jobs and works on none.
type counter struct {
	jobs []populate.Job // the oldest first
	by   []populate.Asker
	fail error            // of Submit and Plan
	next []populate.State // of the newest job, one for each look at it
	seen func()           // called when a job is looked at; nil: nothing is
}

func (c *counter) Submit(r populate.Request, by populate.Asker) (*populate.Job, error) {
	c.by = append(c.by, by)
	if c.fail != nil {
		return nil, c.fail
	}
	if r.Target == "nothing to do" {
		return nil, nil
	}
	job := populate.Job{ID: strconv.Itoa(len(c.jobs) + 1), State: populate.Queued, Metric: r.Metric, Request: r, Prefix: by.Prefix}
	c.jobs = append(c.jobs, job)
	return &job, nil
}

func (c *counter) Plan(_ context.Context, r populate.Request, by populate.Asker) (*populate.Plan, error) {
	c.by = append(c.by, by)
	return &populate.Plan{Metric: r.Metric}, c.fail
}

func (c *counter) Jobs(by populate.Asker, limit int, want func(populate.Job) bool) ([]populate.Job, error) {
	jobs := []populate.Job{}
	for _, j := range slices.Backward(c.jobs) {
		if sees(by, j) && want(j) && len(jobs) < limit {
			jobs = append(jobs, j)
		}
	}
	return jobs, nil
}

func sees(by populate.Asker, j populate.Job) bool { return strings.HasPrefix(j.Metric, by.Prefix) }

func (c *counter) Job(id string, by populate.Asker) (*populate.Job, error) {
	if c.seen != nil {
		c.seen()
	}
	if newest := &c.jobs[len(c.jobs)-1]; len(c.next) > 0 {
		newest.State, c.next = c.next[0], c.next[1:]
	}
	for _, j := range c.jobs {
		if j.ID == id && sees(by, j) {
			return &j, nil
		}
	}
	return nil, populate.ErrNoJob
}

func (c *counter) Cancel(id string, by populate.Asker) (*populate.Job, error) {
	job, err := c.Job(id, by)
	if err == nil && job.State == populate.Done {
		return nil, sdk.Invalidf("job %q is done already", id)
	}
	if err == nil {
		job.State = populate.Cancelled
	}
	return job, err
}

func (c *counter) Retry(id string, by populate.Asker) (*populate.Job, error) {
	job, err := c.Job(id, by)
	if err == nil {
		job.State = populate.Queued
	}
	return job, err
}

const (
	rootKey  = "rootrootrootrootrootrootrootroot" // for all metrics
	boundKey = "acmeacmeacmeacmeacmeacmeacmeacme"
)

// testDesk returns the public handler and that of the operator, with jobs.
func testDesk(t *testing.T, jobs *counter) (public, operator http.Handler) {
	t.Helper()
	var keys flow.Keys
	for key, grant := range map[string]flow.Grant{rootKey: {}, boundKey: {Prefix: "acme", Hosts: []string{"old"}}} {
		if err := keys.Add(key, grant); err != nil {
			t.Fatal(err)
		}
	}
	d := desk{engine: jobs, admit: keys.Admit, now: time.Now}
	door := web.NewDoor(nil, nil, d.public(), web.Limits{Body: 1 << 20, Inflight: 1 << 24}, prometheus.NewRegistry())
	return door, web.NewAdmin(web.Admin{Token: "token", Guarded: d.operator()})
}

// threeJobs are of two prefixes.
func threeJobs() *counter {
	return &counter{jobs: []populate.Job{
		{ID: "1", State: populate.Done, Metric: "acme.a", Prefix: "acme"},
		{ID: "2", State: populate.Fetching, Metric: "other.b"},
		{ID: "3", State: populate.Fetching, Metric: "acme.c", Prefix: "acme"},
	}}
}

// idsOf returns the ids of the jobs in an answer, a list or one.
func idsOf(t *testing.T, body string) (ids string) {
	t.Helper()
	if !strings.HasPrefix(body, "[") {
		body = "[" + body + "]"
	}
	var jobs []populate.Job
	if err := json.Unmarshal([]byte(body), &jobs); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for _, j := range jobs {
		ids += j.ID
	}
	return ids
}

func TestQuestionsAboutJobs(t *testing.T) {
	public, operator := testDesk(t, threeJobs())
	const missing, token = `{"code": 404, "message": "there is no job \"`, "Bearer token"
	tests := []struct {
		request, key, token string
		status              int
		ids, body           string // of the jobs told; or what the answer is
	}{
		{request: "GET /populate_metric/jobs", key: rootKey, status: 200, ids: "321"},
		{request: "GET /flux/populate_metric/jobs", key: boundKey, status: 200, ids: "31"},
		{request: "GET /populate_metric/jobs?key=" + boundKey, status: 200, ids: "31"},
		{request: "GET /populate_metric/jobs?limit=1", key: rootKey, status: 200, ids: "3"},
		{request: "GET /populate_metric/jobs?state=done&limit=1", key: rootKey, status: 200, ids: "1"},
		{request: "GET /populate_metric/jobs?state=fetching&limit=1", key: rootKey, status: 200, ids: "3"},
		{request: "GET /populate_metric/jobs?metric=a", key: boundKey, status: 200, ids: "1"},
		{request: "GET /populate_metric/jobs?metric=acme.a", key: rootKey, status: 200, ids: "1"},
		{request: "GET /populate_metric/jobs?metric=a", key: rootKey, status: 200, body: `[]`},
		{request: "GET /populate_metric/jobs", status: 401, body: `{"code": 401, "message": "invalid key"}`},
		{request: "GET /populate_metric/jobs?limit=x", status: 401, body: `{"code": 401, "message": "invalid key"}`},
		{request: "GET /populate_metric/jobs?limit=0", key: rootKey, status: 400, body: `{"code": 400, "message": "limit \"0\": it is a number from 1 to 1000"}`},
		{request: "GET /populate_metric/jobs?limit=1001", key: rootKey, status: 400, body: `{"code": 400, "message": "limit \"1001\": it is a number from 1 to 1000"}`},
		{request: "GET /populate_metric/jobs?state=x", key: rootKey, status: 400,
			body: `{"code": 400, "message": "state \"x\": it is one of queued, fetching, resampling, delivering, done, failed, cancelled"}`},
		{request: "GET /populate_metric/jobs?metric=%3B", key: rootKey, status: 400, body: `{"code": 400, "message": "metric \";\": invalid characters in name"}`},

		{request: "GET /populate_metric/jobs/2", key: rootKey, status: 200, ids: "2"},
		{request: "GET /populate_metric/jobs/3?key=" + boundKey, status: 200, ids: "3"},
		{request: "GET /populate_metric/jobs/2", key: boundKey, status: 404, body: missing + `2\""}`},
		{request: "GET /populate_metric/jobs/9", key: rootKey, status: 404, body: missing + `9\""}`},
		{request: "GET /populate_metric/jobs/9", key: "x", status: 401, body: `{"code": 401, "message": "invalid key"}`},
		{request: "POST /populate_metric/jobs/3/cancel", key: boundKey, status: 200, ids: "3"},
		{request: "POST /populate_metric/jobs/2/cancel", key: boundKey, status: 404, body: missing + `2\""}`},
		{request: "POST /populate_metric/jobs/1/cancel", key: boundKey, status: 400, body: `{"code": 400, "message": "job \"1\" is done already"}`},
		{request: "POST /flux/populate_metric/jobs/3/retry", key: boundKey, status: 200, ids: "3"},
		{request: "POST /populate_metric/jobs/2/retry", key: boundKey, status: 404, body: missing + `2\""}`},
		{request: "POST /populate_metric/jobs/2/retry", status: 401, body: `{"code": 401, "message": "invalid key"}`},

		{request: "GET /populate_metric", key: rootKey, status: 405, body: `{"title": "405 Method Not Allowed"}`},
		{request: "PUT /populate_metric", key: rootKey, status: 405, body: `{"title": "405 Method Not Allowed"}`},
		{request: "POST /populate_metric/jobs/2", key: rootKey, status: 405, body: `{"title": "405 Method Not Allowed"}`},
		{request: "GET /populate/jobs", key: rootKey, status: 404, body: `{"title": "404 Not Found"}`},

		{request: "GET /populate/jobs", token: token, status: 200, ids: "321"},
		{request: "GET /populate/jobs?state=done", token: token, status: 200, ids: "1"},
		{request: "GET /populate/jobs/2", token: token, status: 200, ids: "2"},
		{request: "GET /populate/jobs/9", token: token, status: 404, body: missing + `9\""}`},
		{request: "POST /populate/jobs/3/cancel", token: token, status: 200, ids: "3"},
		{request: "POST /populate/jobs/3/retry", token: token, status: 200, ids: "3"},
		{request: "GET /populate/jobs", token: "Bearer x", status: 401},
		{request: "GET /populate/jobs/2", token: "Bearer x", status: 401},
		{request: "POST /populate/jobs/3/cancel", token: "Bearer x", status: 401},
		{request: "GET /populate/jobs?key=" + rootKey, token: "Bearer", status: 401},
	}
	for _, tt := range tests {
		t.Run(tt.request+" "+tt.key+tt.token, func(t *testing.T) {
			method, target, _ := strings.Cut(tt.request, " ")
			w, r := httptest.NewRecorder(), httptest.NewRequest(method, target, nil)
			handler := public
			if tt.token != "" {
				handler = operator
				r.Header.Set("Authorization", tt.token)
			}
			r.Header.Set("key", tt.key)
			handler.ServeHTTP(w, r)
			body := w.Body.String()
			if w.Code != tt.status || tt.body != "" && body != tt.body {
				t.Errorf("answered %d %s, want %d %s", w.Code, body, tt.status, tt.body)
			}
			if tt.ids != "" && idsOf(t, body) != tt.ids {
				t.Errorf("told of %s, want the jobs %s", body, tt.ids)
			}
		})
	}
}

// vistaBody is what Vista sends, with a key as JSON; changes are members and what
// they become.
func vistaBody(t *testing.T, key any, changes ...string) string {
	t.Helper()
	body := map[string]any{
		"remote_host_type": "graphite", "remote_target": "x.y", "metric": "acme.x.y", "namespace_prefix": "acme", "key": key,
		"token": "secret-token", "user": "secret-user", "password": "secret-password",
		"fetch_resolution_urls": `"['http://old/render/?from=-7days&format=json&target=x.y']"`,
	}
	return changed(t, body, changes)
}

// plainBody is a request in our own form.
func plainBody(t *testing.T, changes ...string) string {
	t.Helper()
	return changed(t, map[string]any{"source": map[string]any{"type": "graphite", "url": "http://old", "target": "x.y"}, "metric": "x..y"}, changes)
}

func changed(t *testing.T, body map[string]any, changes []string) string {
	t.Helper()
	for i := 0; i < len(changes); i += 2 {
		var value any
		if err := json.Unmarshal([]byte(changes[i+1]), &value); err != nil {
			t.Fatal(err)
		}
		body[changes[i]] = value
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPostedRequests(t *testing.T) {
	const invalidKey = `{"code": 401, "message": "invalid key"}`
	tests := []struct {
		name, key, body string // key is that of the header
		fail            error
		status          int
		answer          string // is part of it
		metric, prefix  string // of the job; empty: none is submitted
	}{
		{name: "Vista", body: vistaBody(t, boundKey), status: 204, metric: "acme.x.y", prefix: "acme"},
		{name: "Vista, bound by its key", body: vistaBody(t, boundKey, "metric", `"other.x"`), status: 204, metric: "acme.other.x", prefix: "acme"},
		{name: "Vista, unbound", body: vistaBody(t, rootKey, "metric", `"other x"`), status: 204, metric: "other_x"},
		{name: "Vista, with nothing to do", body: vistaBody(t, rootKey, "remote_target", `"nothing to do"`), status: 204},
		{name: "Vista, with a key in the header", key: rootKey, body: vistaBody(t, "x"), status: 204, metric: "acme.x.y"},
		{name: "an unknown key", body: vistaBody(t, "x"), status: 401, answer: invalidKey},
		{name: "a key that is no text", body: vistaBody(t, 5), status: 401, answer: invalidKey},
		{name: "the key None", body: vistaBody(t, "None"), status: 401, answer: invalidKey},
		{name: "no key", body: plainBody(t), status: 400, answer: `"no key passed"`},
		{name: "an unknown key with a fault", body: vistaBody(t, "x", "metric", `5`), status: 401, answer: invalidKey},
		{name: "a fault", body: vistaBody(t, rootKey, "remote_target", `null`), status: 400, answer: `"remote_target `},
		{name: "no JSON", key: rootKey, body: "abc", status: 400, answer: `"invalid json data"`},
		{name: "no body", key: rootKey, status: 400, answer: `{"code": 400, `},
		{name: "a metric that cannot be", body: vistaBody(t, rootKey, "metric", `"a;b"`), status: 400, answer: `{"code": 400, "message": "invalid metric - a;b - invalid characters in name"}`},
		{name: "a refused job", body: vistaBody(t, rootKey), fail: sdk.Invalidf("host old is not allowed"), status: 400, answer: `{"code": 400, "message": "host old is not allowed"}`},
		{name: "no room", body: vistaBody(t, rootKey), fail: sdk.Unavailablef("no room"), status: 503, answer: `{"code": 503, "message": "no room"}`},

		{name: "plain", key: boundKey, body: plainBody(t), status: 202, answer: `{"id":"1","state":"queued","metric":"acme.x.y",`, metric: "acme.x.y", prefix: "acme"},
		{name: "plain, with its key inside", body: plainBody(t, "key", `"`+rootKey+`"`), status: 202, answer: `"metric":"x.y"`, metric: "x.y"},
		{name: "a dry run", key: boundKey, body: plainBody(t, "dry_run", "true"), status: 200, answer: `{"metric":"acme.x.y",`},
		{name: "a dry run that is refused", key: boundKey, body: plainBody(t, "dry_run", "true"), fail: sdk.Invalidf("not so"), status: 400, answer: `{"code": 400, "message": "not so"}`},
		{name: "plain, with a fault", key: boundKey, body: plainBody(t, "step", `"x"`), status: 400, answer: `"step \"x\" is no step`},
	}
	for _, tt := range tests {
		for _, path := range []string{"/populate_metric", "/flux/populate_metric"} {
			jobs := &counter{fail: tt.fail}
			public, _ := testDesk(t, jobs)
			w, r := httptest.NewRecorder(), httptest.NewRequest("POST", path, strings.NewReader(tt.body))
			r.Header.Set("key", tt.key)
			public.ServeHTTP(w, r)
			body := w.Body.String()
			if w.Code != tt.status || !strings.Contains(body, tt.answer) || tt.status == 204 && body != "" {
				t.Errorf("%s: answered %d %q, want %d %q", tt.name, w.Code, body, tt.status, tt.answer)
			}
			if strings.Contains(body, "secret") || strings.Contains(body, boundKey) || strings.Contains(body, rootKey) {
				t.Errorf("%s: answered with a secret: %s", tt.name, body)
			}
			if retry := w.Header().Get("Retry-After"); (retry != "") != (tt.status == 503) {
				t.Errorf("%s: Retry-After is %q", tt.name, retry)
			}
			if tt.metric == "" && len(jobs.jobs) > 0 || tt.metric != "" && (len(jobs.jobs) != 1 || jobs.jobs[0].Metric != tt.metric || jobs.jobs[0].Prefix != tt.prefix) {
				t.Errorf("%s: submitted %+v, want one for %q of %q", tt.name, jobs.jobs, tt.metric, tt.prefix)
			}
			if len(jobs.by) > 0 && slices.Equal(jobs.by[0].Hosts, []string{"old"}) != (jobs.by[0].Prefix == "acme") {
				t.Errorf("%s: it may fetch from %v", tt.name, jobs.by[0].Hosts)
			}
		}
	}
}

func TestPostsOfTheOperator(t *testing.T) {
	tests := []struct {
		body   string
		status int
		answer string
		metric string
	}{
		{plainBody(t), 202, `"metric":"x.y"`, "x.y"},
		{plainBody(t, "dry_run", "true"), 200, `{"metric":"x.y",`, ""},
		{plainBody(t, "metric", `""`), 400, `{"code": 400, "message": "metric `, ""},
		{vistaBody(t, rootKey), 400, "this is a request of Vista: post it to /populate_metric of the public listener", ""},
		{"", 400, `{"code": 400, `, ""},
	}
	for _, tt := range tests {
		jobs := &counter{}
		_, operator := testDesk(t, jobs)
		w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/populate/jobs", strings.NewReader(tt.body))
		r.Header.Set("Authorization", "Bearer token")
		operator.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) {
			t.Errorf("answered %d %s, want %d %s", w.Code, w.Body, tt.status, tt.answer)
		}
		if (len(jobs.jobs) == 1) != (tt.metric != "") || len(jobs.jobs) == 1 && jobs.jobs[0].Metric != tt.metric {
			t.Errorf("submitted %v, want %q", jobs.jobs, tt.metric)
		}
	}
}
