package populate

import (
	"errors"
	"fmt"
	"slices"

	"fluxgate/sdk"
)

// clone returns a copy that nobody else changes.
func clone(j Job) *Job {
	j.Windows, j.Warnings = slices.Clone(j.Windows), slices.Clone(j.Warnings)
	return &j
}

// Jobs returns the jobs that by may see and want says yes to, the newest first, at
// most limit.
func (p *Populate) Jobs(by Asker, limit int, want func(Job) bool) ([]Job, error) {
	now := p.unfinished()
	jobs := []Job{}
	err := p.store.each(func(s saved) error {
		job, ok := now[s.ID] // which may be further than it was saved
		if !ok {
			job = &s.Job
		}
		if by.sees(job.Metric) && want(*job) {
			jobs = append(jobs, *job)
		}
		if len(jobs) == limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return jobs, err
}

// unfinished returns copies of the jobs that are not finished, by id. Nothing may
// wait for the lock while it reads the store.
func (p *Populate) unfinished() map[string]*Job {
	p.mu.Lock()
	defer p.mu.Unlock()
	jobs := make(map[string]*Job, len(p.live))
	for id, j := range p.live {
		jobs[id] = clone(j.Job)
	}
	return jobs
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
