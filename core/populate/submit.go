package populate

import (
	"cmp"
	"errors"
	"fmt"
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
	if len(r.URLs) > t.Windows {
		return saved{}, sdk.Invalidf("%d URLs: a job may have %d: see populate.limits.windows", len(r.URLs), t.Windows)
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
		same := s.Request.Form == Vista || reflect.DeepEqual(j.Request, s.Request)
		if j.Metric == s.Metric && j.Prefix == s.Prefix && j.Request.Form == s.Request.Form && same {
			return j
		}
	}
	return nil
}

// clone returns a copy that nobody else changes.
func clone(j Job) *Job {
	j.Windows, j.Warnings = slices.Clone(j.Windows), slices.Clone(j.Warnings)
	return &j
}

// Jobs returns the jobs that by may see, the newest first, at most limit.
func (p *Populate) Jobs(by Asker, limit int) ([]Job, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	jobs := []Job{}
	err := p.store.each(func(s saved) error {
		if len(jobs) == limit {
			return errEnough
		}
		if by.sees(s.Metric) {
			jobs = append(jobs, *p.current(s))
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return jobs, err
}

var errEnough = errors.New("enough")

// current returns a job as it is now, which may be further than it was saved.
func (p *Populate) current(s saved) *Job {
	if j, ok := p.live[s.ID]; ok {
		return clone(j.Job)
	}
	return clone(s.Job)
}

// sees reports whether a key may look at jobs for a metric.
func (a Asker) sees(metric string) bool {
	return a.Prefix == "" || metric == a.Prefix || len(metric) > len(a.Prefix) && metric[:len(a.Prefix)+1] == a.Prefix+"."
}

// Job returns one job. The error wraps [sdk.ErrInvalid] where by sees none of that
// id.
func (p *Populate) Job(id string, by Asker) (*Job, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := p.find(id, by)
	if err != nil {
		return nil, err
	}
	return p.current(s), nil
}

// ErrNoJob means that there is no such job, as far as who asks may know.
var ErrNoJob = fmt.Errorf("%w: there is no such job", sdk.ErrInvalid)

func (p *Populate) find(id string, by Asker) (saved, error) {
	s, found, err := p.store.find(id)
	if err == nil && (!found || !by.sees(s.Metric)) {
		err = fmt.Errorf("job %q: %w", id, ErrNoJob)
	}
	return s, err
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
	if !unfinished {
		return nil, sdk.Invalidf("job %q is %s already", id, s.State)
	}
	now := p.now().UTC()
	j.State, j.Ended, j.Due = Cancelled, &now, nil
	if err := p.store.save(j.saved); err != nil {
		return nil, sdk.Unavailablef("job %q: %w", id, err)
	}
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

// bury takes a job that has ended out of those that are unfinished, and forgets
// the oldest of those that have ended, and earlier ones of Vista for its metric.
func (p *Populate) bury(j *job) {
	delete(p.live, j.ID)
	if j.State == Done || j.State == Cancelled {
		p.clear(j.saved)
	}
	finished := 0
	var gone []string
	err := p.store.each(func(s saved) error {
		if !s.State.ended() || s.ID == j.ID {
			return nil
		}
		again := s.Metric == j.Metric && s.Request.Form == Vista && j.Request.Form == Vista
		if finished++; again || finished > maxFinished {
			gone = append(gone, s.ID)
			p.clear(s)
		}
		return nil
	})
	if err == nil {
		err = p.store.remove(gone...)
	}
	if err != nil {
		logTrouble("finished jobs cannot be forgotten", err)
	}
}

// clear removes the points of a job.
func (p *Populate) clear(s saved) {
	if err := removePoints(p.folder, s.ID, len(s.Windows)); err != nil {
		logTrouble("the points of a job cannot be removed", err)
	}
}
