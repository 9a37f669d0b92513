package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"fluxgate/core/flow"
	"fluxgate/core/populate"
	"fluxgate/core/web"
	"fluxgate/sdk"
)

// planTime is how long it may take to find out what a job would do: less than a
// request has for its answer.
const planTime = 60 * time.Second

// An engine works on jobs.
type engine interface {
	Submit(r populate.Request, by populate.Asker) (*populate.Job, error)
	Plan(ctx context.Context, r populate.Request, by populate.Asker) (*populate.Plan, error)
	Jobs(by populate.Asker, limit int, want func(populate.Job) bool) ([]populate.Job, error)
	Job(id string, by populate.Asker) (*populate.Job, error)
	Cancel(id string, by populate.Asker) (*populate.Job, error)
	Retry(id string, by populate.Asker) (*populate.Job, error)
}

// A desk is where jobs are asked for, and asked after.
type desk struct {
	engine
	admit func(key string) (flow.Grant, error)
	now   func() time.Time
}

// public returns what whoever has a key may ask.
func (d desk) public() web.Endpoints {
	return web.Endpoints{
		"POST /populate_metric":                  d.post,
		"GET /populate_metric/jobs":              d.keyed(d.list),
		"GET /populate_metric/jobs/{id}":         d.keyed(d.one(d.Job)),
		"POST /populate_metric/jobs/{id}/cancel": d.keyed(d.one(d.Cancel)),
		"POST /populate_metric/jobs/{id}/retry":  d.keyed(d.one(d.Retry)),
	}
}

// operator returns what the operator may ask, of all jobs.
func (d desk) operator() web.Endpoints {
	return web.Endpoints{
		"POST /populate/jobs":             d.order,
		"GET /populate/jobs":              unbound(d.list),
		"GET /populate/jobs/{id}":         unbound(d.one(d.Job)),
		"POST /populate/jobs/{id}/cancel": unbound(d.one(d.Cancel)),
		"POST /populate/jobs/{id}/retry":  unbound(d.one(d.Retry)),
	}
}

// post takes a request for history. What is wrong with it is told only to whoever
// has a key.
func (d desk) post(r *http.Request, body []byte) (flow.Answer, error) {
	p, err := populate.Decode(body, r.Header.Get("key"), d.now())
	if err != nil {
		return flow.Answer{}, err
	}
	by, err := d.asker(p.Key)
	if err != nil {
		return flow.Answer{}, err
	}
	return d.take(r.Context(), p, by)
}

// order takes a request of the operator, who needs no key.
func (d desk) order(r *http.Request, body []byte) (flow.Answer, error) {
	p, err := populate.Decode(body, "of the operator", d.now())
	if err != nil {
		return flow.Answer{}, err
	}
	if p.Request.Form == populate.Vista {
		return flow.Answer{}, sdk.Invalidf("this is a request of Vista: post it to /populate_metric of the public listener")
	}
	return d.take(r.Context(), p, populate.Asker{})
}

// take does what a request asks for. To Vista it tells nothing but that all is well.
func (d desk) take(ctx context.Context, p populate.Posted, by populate.Asker) (flow.Answer, error) {
	if p.Invalid != "" {
		return flow.Answer{}, sdk.Invalidf("%s", p.Invalid)
	}
	request, sent := p.Request, p.Request.Metric
	var err error
	if request.Metric, err = flow.Canonical(sent, by.Prefix); err != nil {
		return flow.Answer{}, sdk.Invalidf("invalid metric - %s - %w", sent, err)
	}
	if request.DryRun {
		ctx, cancel := context.WithTimeout(ctx, planTime)
		defer cancel()
		plan, err := d.Plan(ctx, request, by)
		return told(http.StatusOK, plan, err)
	}
	job, err := d.Submit(request, by)
	if err == nil && request.Form == populate.Vista {
		return flow.Answer{Status: http.StatusNoContent}, nil
	}
	return told(http.StatusAccepted, job, err)
}

// asker returns who has a key.
func (d desk) asker(key string) (populate.Asker, error) {
	grant, err := d.admit(key)
	return populate.Asker{Prefix: grant.Prefix, Hosts: grant.Hosts}, err
}

// A question is about jobs, of those that somebody may see.
type question func(r *http.Request, by populate.Asker) (any, error)

// keyed lets whoever has a key ask, in the header or the query.
func (d desk) keyed(ask question) web.Endpoint {
	return func(r *http.Request, _ []byte) (flow.Answer, error) {
		key := r.Header.Get("key")
		if key == "" {
			key = r.URL.Query().Get("key")
		}
		by, err := d.asker(key)
		if err != nil {
			return flow.Answer{}, err
		}
		result, err := ask(r, by)
		return told(http.StatusOK, result, err)
	}
}

// unbound asks for the operator.
func unbound(ask question) web.Endpoint {
	return func(r *http.Request, _ []byte) (flow.Answer, error) {
		result, err := ask(r, populate.Asker{})
		return told(http.StatusOK, result, err)
	}
}

// told returns the answer that has a result as JSON.
func told(status int, result any, err error) (flow.Answer, error) {
	if err != nil {
		return flow.Answer{}, err
	}
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false) // people read the URLs
	err = e.Encode(result)
	return flow.Answer{Status: status, Body: bytes.TrimSpace(body.Bytes())}, err
}

// one asks something about the job that the route names.
func (desk) one(ask func(id string, by populate.Asker) (*populate.Job, error)) question {
	return func(r *http.Request, by populate.Asker) (any, error) {
		id := r.PathValue("id")
		job, err := ask(id, by)
		if errors.Is(err, populate.ErrNoJob) {
			err = fmt.Errorf("%w: there is no job %q", web.ErrNotFound, id)
		}
		return job, err
	}
}

// list tells of several jobs, the newest first.
func (d desk) list(r *http.Request, by populate.Asker) (any, error) {
	s, err := readSelection(r.URL.Query(), by.Prefix)
	if err != nil {
		return nil, err
	}
	return d.Jobs(by, s.limit, s.wants)
}
