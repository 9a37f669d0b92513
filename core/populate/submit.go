package populate

import (
	"cmp"
	"reflect"
	"slices"

	"fluxgate/core/populate/remote"
	"fluxgate/sdk"
)

const (
	maxUnfinished = 10_000 // jobs; more are answered as unavailable
	maxFinished   = 1_000  // jobs that are kept to be looked at; the oldest go first
)

// An Asker is who asks for a job.
type Asker struct {
	Prefix string   // put before its metrics, and the bound of the jobs it sees
	Hosts  []string // from which its jobs may fetch; empty: from all that are configured
}

// Submit has r done, whose metric is canonical, and returns once that is on disk.
// A request that repeats one under way changes nothing, and gets that one's job: of
// Vista's form any for the same metric, of the plain form the very same. It returns
// no job where there is nothing to do. The error wraps [sdk.ErrInvalid] when r
// cannot be done, such as for a host from which nothing may be fetched, and
// [sdk.ErrUnavailable] when there is no room for it.
func (p *Populate) Submit(r Request, by Asker) (*Job, error) {
	s, err := p.judge(r, by)
	if err != nil {
		return nil, err
	}
	if r.Form == Vista && len(r.URLs) == 0 {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if j := p.repeated(s); j != nil {
		return clone(j.Job), nil
	}
	if len(p.live) >= maxUnfinished {
		return nil, sdk.Unavailablef("%d jobs are not finished: wait until some are, or cancel some", len(p.live))
	}
	if err := p.store.add(&s); err != nil {
		return nil, sdk.Unavailablef("the job cannot be kept: %w", err)
	}
	p.live[s.ID] = &job{saved: s}
	p.rouse()
	return clone(s.Job), nil
}

// judge returns the job that r is, with everything that is configured filled in.
func (p *Populate) judge(r Request, by Asker) (saved, error) {
	t := p.terms.Load()
	if err := allowed(t.Remote, r, by.Hosts); err != nil {
		return saved{}, err
	}
	resampler, err := t.Resampler(r.Resampler, r.Metric)
	if err != nil {
		return saved{}, err
	}
	_, sink, err := t.Sink(r.Sink)
	if err != nil {
		return saved{}, err
	}
	r.Resampler, r.Sink, r.Step = resampler.Name, sink, cmp.Or(r.Step, t.Step)
	now := p.now().Unix()
	if windows, err := windowsOf(r, aimed(r, 0, now), resampler.OverTime); err != nil {
		return saved{}, err
	} else if len(windows) > t.Windows {
		return saved{}, sdk.Invalidf("%d windows: a job may have %d: ask for a shorter range, or see populate.limits.windows", len(windows), t.Windows)
	}
	if !slices.ContainsFunc(r.URLs, t.Remote.Honours) {
		r.Login = Login{}
	}
	return saved{
		Job:   Job{State: Queued, Metric: r.Metric, Request: r, Prefix: by.Prefix, Created: p.now().UTC()},
		Login: r.Login, Hosts: by.Hosts,
	}, nil
}

// allowed refuses a request for a host from which nothing may be fetched.
func allowed(client *remote.Client, r Request, hosts []string) error {
	var narrower remote.Allow
	if len(hosts) > 0 {
		var err error
		if narrower, err = remote.ParseAllow(hosts); err != nil {
			return err
		}
	}
	for _, url := range append(slices.Clone(r.URLs), r.Remote) {
		if url == "" {
			continue
		}
		if err := client.Allowed(url, narrower); err != nil {
			return err
		}
	}
	return nil
}

// repeated returns the unfinished job that s repeats, or nil.
func (p *Populate) repeated(s saved) *job {
	for _, j := range p.live {
		if j.State.ended() {
			continue // it is on its way out
		}
		same := s.Request.Form == Vista || reflect.DeepEqual(j.Request, s.Request)
		if j.Metric == s.Metric && j.Prefix == s.Prefix && j.Request.Form == s.Request.Form && same {
			return j
		}
	}
	return nil
}

// Cancel ends a job. What it has delivered stays delivered.
func (p *Populate) Cancel(id string, by Asker) (*Job, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.find(id, by)
	if err != nil {
		return nil, err
	}
	j, unfinished := p.live[id]
	if !unfinished || j.State.ended() {
		return nil, sdk.Invalidf("job %q is %s already", id, p.current(s).State)
	}
	ended := j.saved
	ended.State = Cancelled
	ended.end(p.now())
	if err := p.store.save(ended); err != nil {
		return nil, sdk.Unavailablef("job %q: %w", id, err)
	}
	j.State, j.Ended, j.Due = ended.State, ended.Ended, nil
	p.counts.ended.WithLabelValues(string(Cancelled)).Inc()
	if j.working {
		j.cancel()
	} else {
		p.bury(j)
	}
	return clone(j.Job), nil
}

// Retry has a job go on at once: one that waits, and one that failed or was
// cancelled with the windows that were given up. One that is at work goes on without
// a pause.
func (p *Populate) Retry(id string, by Asker) (*Job, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.find(id, by)
	if err != nil {
		return nil, err
	}
	j, unfinished := p.live[id]
	switch {
	case !unfinished && s.State == Done:
		return nil, sdk.Invalidf("job %q is done", id)
	case unfinished && j.working && j.State != Cancelled:
		j.hurry = true
		return clone(j.Job), nil
	case unfinished && j.State == Cancelled:
		return nil, sdk.Unavailablef("job %q is still being cancelled", id)
	case !unfinished:
		j = again(s)
	}
	j.Due = nil
	j.forgive()
	if err := p.store.save(j.saved); err != nil {
		return nil, sdk.Unavailablef("job %q: %w", id, err)
	}
	p.live[id] = j
	p.past = slices.DeleteFunc(p.past, func(old past) bool { return old.id == id })
	p.rouse()
	return clone(j.Job), nil
}

// forgive has the windows that failed be tried at once, as if for the first time.
func (s *saved) forgive() {
	for i := range s.Windows {
		s.Windows[i].Next, s.Windows[i].Failing, s.Windows[i].Attempts = nil, nil, 0
	}
}

// again returns a job that has ended, to go on. The points of one that was cancelled
// are gone.
func again(s saved) *job {
	cancelled := s.State == Cancelled
	s.State, s.Ended, s.Error = Queued, nil, ""
	if cancelled {
		s.Pass = pass{}
	}
	for i := range s.Windows {
		if cancelled || s.Windows[i].State == GivenUp {
			s.Windows[i].State = Pending
		}
	}
	return &job{saved: s}
}

// A past is a job that has ended and is kept to be looked at.
type past struct {
	id, metric string
	form       Form
	windows    int
}

func pastOf(s saved) past { return past{s.ID, s.Metric, s.Request.Form, len(s.Windows)} }

// bury takes a job that has ended out of those that are unfinished, and forgets
// the oldest of those that have ended, and earlier ones of Vista for its metric.
func (p *Populate) bury(j *job) {
	delete(p.live, j.ID)
	own := pastOf(j.saved)
	if j.State != Failed {
		p.clear(own)
	}
	var gone []string
	p.past = slices.DeleteFunc(append(p.past, own), func(old past) bool {
		again := old.metric == own.metric && old.form == Vista && own.form == Vista
		if old.id == own.id || !again && len(p.past)-len(gone) < maxFinished {
			return false
		}
		gone = append(gone, old.id)
		p.clear(old)
		return true
	})
	if err := p.store.remove(gone...); err != nil {
		logTrouble("finished jobs cannot be forgotten", err)
	}
}

// clear removes the points of a job.
func (p *Populate) clear(old past) {
	if err := removePoints(p.folder, old.id, old.windows); err != nil {
		logTrouble("the points of a job cannot be removed", err)
	}
}
