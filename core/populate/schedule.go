package populate

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"fluxgate/sdk"
)

// Run works on jobs until ctx ends. What is under way then goes on after the next
// start.
func (p *Populate) Run(ctx context.Context) {
	var turns sync.WaitGroup
	defer turns.Wait()
	for {
		turn, wait := p.next(ctx)
		if turn != nil {
			turns.Go(func() {
				turn.do()
				p.rouse()
			})
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-p.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// idle is how long nobody looks for a job that is due when none is known to be.
const idle = time.Minute

// next begins the turn of the job that has been due for the longest, of those whose
// metric no other job works on. Without one it returns how long to wait.
func (p *Populate) next(ctx context.Context) (*turn, time.Duration) {
	t := p.terms.Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	now, wait := p.now(), idle
	busy := make(map[string]bool)
	var due []*job
	for _, j := range p.live {
		switch {
		case j.working:
			busy[j.Metric] = true
		case j.Due != nil && j.Due.After(now):
			wait = min(wait, j.Due.Sub(now))
		default:
			due = append(due, j)
		}
	}
	if ctx.Err() != nil || p.working() >= t.Concurrency {
		return nil, idle
	}
	slices.SortFunc(due, func(a, b *job) int { return a.since().Compare(b.since()) })
	for _, j := range due {
		if !busy[j.Metric] {
			return p.begin(ctx, j, t), 0
		}
	}
	return nil, wait
}

// working returns how many jobs are at work.
func (p *Populate) working() (n int) {
	for _, j := range p.live {
		if j.working {
			n++
		}
	}
	return n
}

// since is when a job was first due, in its turn.
func (j *job) since() time.Time {
	if j.Due != nil {
		return *j.Due
	}
	return j.Created
}

func (p *Populate) begin(ctx context.Context, j *job, terms *Terms) *turn {
	ctx, cancel := context.WithCancel(ctx)
	j.working, j.cancel = true, cancel
	return &turn{p: p, terms: terms, job: j, whole: ctx, ctx: ctx}
}

// A turn is one stretch of work on a job: until it has ended, or must wait.
type turn struct {
	p     *Populate
	terms *Terms
	job   *job
	whole context.Context // ends when the job is cancelled, or everything stops
	ctx   context.Context // ends too when another instance may hold the metric

	// How the job has ended, which nobody is told before the turn is over.
	outcome State // "": it has not
	reason  string
}

// Waits between two turns of a job that something keeps from going on.
const (
	firstWait = time.Second
	longWait  = time.Minute
	heldWait  = 2 * time.Second // while another instance works on the metric, or one that died is taken to
)

// held reports whether a turn failed because another instance works on the metric.
func held(err error) bool {
	var h interface{ Held() bool }
	return errors.As(err, &h) && h.Held()
}

// do works on the job, and says when it goes on.
func (t *turn) do() {
	defer t.job.cancel()
	wait, err := t.work()
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	j := t.job
	j.working = false
	if j.State == Cancelled {
		t.p.bury(j)
		return
	}
	if err != nil && t.whole.Err() != nil {
		return // as it is on disk it goes on after the next start
	}
	if err == nil && t.outcome.ended() {
		j.State, j.Error = t.outcome, t.reason
	}
	wait = j.judge(wait, err)
	j.Due = nil
	if j.hurry {
		j.hurry, wait = false, 0
		j.forgive()
	}
	if !j.State.ended() {
		due := t.p.now().Add(wait).UTC()
		j.Due = &due
	}
	t.put()
}

// put saves the job as the turn has left it. One whose end cannot be saved has not
// ended.
func (t *turn) put() {
	j := t.job
	state := j.State
	if state.ended() {
		j.end(t.p.now())
	}
	err := t.p.store.save(j.saved)
	switch {
	case err == nil && state.ended():
		t.p.counts.ended.WithLabelValues(string(state)).Inc()
		slog.Info("a job has ended", "job", j.ID, "metric", j.Metric, "state", state, "delivered", j.Delivered)
		t.p.bury(j)
	case err != nil:
		logTrouble("a job cannot be saved", err)
		due := t.p.now().Add(longWait).UTC()
		j.Due = &due
		if state.ended() {
			j.State, j.Ended = Delivering, nil
		}
	}
}

// judge notes how a turn ended, and returns how long to wait before the next.
func (j *job) judge(wait time.Duration, err error) time.Duration {
	switch {
	case err == nil:
		if j.stuck = 0; !j.State.ended() {
			j.Error = ""
		}
		return wait
	case held(err):
		j.Error = err.Error()
		return heldWait
	}
	j.stuck++
	j.Error = err.Error()
	wait = max(wait, pauseAfter(j.stuck))
	slog.Warn("a job waits", "job", j.ID, "metric", j.Metric, "state", j.State, "for", wait.Round(time.Millisecond), "err", err)
	return wait
}

// pauseAfter returns how long to wait after so many failures in a row, with jitter.
func pauseAfter(failures int) time.Duration {
	b := backoff.ExponentialBackOff{InitialInterval: firstWait, RandomizationFactor: 0.3, Multiplier: 2, MaxInterval: longWait}
	b.Reset()
	wait := firstWait
	for range min(failures, 10) {
		wait = b.NextBackOff()
	}
	return wait
}

// change changes the job, and saves it.
func (t *turn) change(do func(*saved)) error {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if t.job.State == Cancelled {
		return context.Canceled
	}
	do(&t.job.saved)
	if err := t.p.store.save(t.job.saved); err != nil {
		return sdk.Unavailablef("the job cannot be saved: %w", err)
	}
	return nil
}

// show changes figures of the job that need not be saved at once.
func (t *turn) show(do func(*saved)) {
	t.p.mu.Lock()
	defer t.p.mu.Unlock()
	do(&t.job.saved)
}

// work brings the job as far as it can be brought now. It returns how long to wait
// before the next turn.
func (t *turn) work() (time.Duration, error) {
	held, release, err := t.p.ledger.Hold(t.ctx, t.job.Metric)
	if err != nil {
		return firstWait, err
	}
	defer release()
	t.ctx = held
	if err := t.prepare(); errors.Is(err, sdk.ErrInvalid) {
		t.refuse(err)
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	wait, err := t.obtain()
	if err != nil {
		return 0, err
	}
	if paced, err := t.deliver(); err != nil || paced > 0 {
		return paced, err
	}
	if !t.settled() {
		return wait, nil
	}
	return 0, t.conclude()
}

// refuse ends a job that can never be done.
func (t *turn) refuse(err error) {
	slog.Warn("a job cannot be done", "job", t.job.ID, "metric", t.job.Metric, "err", err)
	t.outcome, t.reason = Failed, err.Error()
}

func (t *turn) settled() bool {
	return !slices.ContainsFunc(t.job.Windows, func(w Window) bool { return !w.settled() })
}

func logTrouble(what string, err error) { slog.Error(what, "err", err) }
