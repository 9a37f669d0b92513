package populate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fluxgate/core/populate/remote"
	"fluxgate/sdk"
)

// asAfter is from how long after the job's beginning on a window is asked for as of
// then: ages in its URL would otherwise mean other times than those of its
// neighbours.
const asAfter = 60 // seconds

// obtain fetches and resamples what is due. A window that fails keeps no other from
// being used. It returns how long to wait for the next one.
func (t *turn) obtain() (time.Duration, error) {
	for i := range t.job.Windows {
		w := &t.job.Windows[i]
		if w.settled() || w.Next != nil && w.Next.After(t.p.now()) {
			continue
		}
		err := t.obtainWindow(i)
		if t.ctx.Err() != nil {
			return 0, cmp.Or(err, t.ctx.Err())
		}
		if err != nil {
			err = t.postpone(i, err)
		}
		if err != nil {
			return 0, err
		}
	}
	return t.untilNext(), nil
}

func (t *turn) enter(s State) error {
	there := false
	if t.show(func(j *saved) { there = j.State == s }); there {
		return nil
	}
	return t.change(func(j *saved) { j.State = s })
}

// obtainWindow brings one window to where its points can be delivered.
func (t *turn) obtainWindow(i int) error {
	if t.job.Windows[i].State == Pending {
		if err := t.enter(Fetching); err != nil {
			return err
		}
		if err := t.fetch(i); err != nil {
			return err
		}
	}
	if err := t.enter(Resampling); err != nil {
		return err
	}
	err := t.resample(i)
	if errors.Is(err, errDamaged) {
		err = cmp.Or(t.change(func(s *saved) { s.Windows[i].State = Pending }), err)
	}
	return err
}

// postpone notes that a window failed: it is tried again later, or given up when
// that is of no use or has gone on for too long.
func (t *turn) postpone(i int, failure error) error {
	now := t.p.now().UTC()
	next, counts := now.Add(pauseAfter(t.job.Windows[i].Attempts+1)), true
	if paused, ok := errors.AsType[*remote.Paused](failure); ok {
		next, counts = now.Add(time.Until(paused.Until)), false
	}
	return t.change(func(s *saved) {
		w := &s.Windows[i]
		if w.State == Pending {
			w.Points = 0
		}
		if counts {
			w.Attempts++
		}
		if counts || w.Error == "" { // why the host is left alone tells more than that it is
			w.Error = failure.Error()
		}
		if w.Failing == nil {
			w.Failing = &now
		}
		w.Next = &next
		if errors.Is(failure, sdk.ErrInvalid) || now.After(t.patience(*w.Failing)) {
			w.State, w.Next = GivenUp, nil
		}
	})
}

// untilNext returns how long until the first of the windows that are waited for is
// due.
func (t *turn) untilNext() time.Duration {
	wait := longWait
	for _, w := range t.job.Windows {
		if !w.settled() && w.Next != nil {
			wait = min(wait, w.Next.Sub(t.p.now()))
		}
	}
	return max(wait, 0)
}

// fetch has the wanted points of a window on disk.
func (t *turn) fetch(i int) error {
	w := t.job.Windows[i]
	out, err := createPoints(pointsFile(t.p.folder, t.job.ID, i, fetchedFile))
	if err != nil {
		return err
	}
	h := &haul{aim: aim{from: t.job.From, cut: t.job.Cut}, shift: w.Shift, out: out}
	answer, err := t.terms.Remote.Fetch(t.ctx, t.query(w), func(s remote.Sample) error {
		if h.seen%progressEvery == 0 {
			t.show(func(s *saved) { s.Windows[i].Points = out.n })
		}
		return h.take(s)
	})
	if err != nil {
		out.abandon()
		return err
	}
	if err := out.finish(); err != nil {
		return err
	}
	return t.change(func(s *saved) {
		w := &s.Windows[i]
		w.State, w.Error, w.Next, w.Failing = Fetched, "", nil, nil
		w.Points, w.Step, w.Unordered = out.n, h.steps.common(), h.unordered
		w.Newest, w.NewestNull = h.newest.Timestamp, h.newest.Null
		s.Points += out.n
		s.warn(told(answer, s.Request.Form)...)
	})
}

// progressEvery is after how many points of an answer the job shows that it moves.
const progressEvery = 4096

// query returns what is asked of the remote now.
func (t *turn) query(w Window) remote.Query {
	url := w.URL
	if t.p.now().Unix() >= t.job.AsOf+asAfter && t.job.Request.Form == Vista {
		url = remote.AsOf(remote.Kind(t.job.Request.Kind), url, t.job.AsOf)
	}
	return t.job.query(url)
}

func (s *saved) query(url string) remote.Query {
	var hosts remote.Allow // nil: no narrower
	if len(s.Hosts) > 0 {
		hosts = remote.Allow{} // nothing, were they unreadable by now
		if read, err := remote.ParseAllow(s.Hosts); err == nil {
			hosts = read
		}
	}
	return remote.Query{
		Kind: remote.Kind(s.Request.Kind), URL: url, Hosts: hosts, OnlySeries: s.Request.Form == Plain,
		Login: remote.Login{User: s.Login.User, Password: s.Login.Password, Token: s.Login.Token},
	}
}

// told returns what an answer gives reason to warn of.
func told(a remote.Answer, form Form) []string {
	warnings := a.Warnings
	if len(a.Series) > 1 && form == Vista {
		others := strings.Join(a.Series[1:], ", ")
		if a.More > 0 {
			others += fmt.Sprintf(" and %d more", a.More)
		}
		warnings = append(warnings, fmt.Sprintf("the remote has several series, of which %s was taken, and not %s", a.Series[0], others))
	}
	return warnings
}

// maxWarnings bounds what a job says.
const maxWarnings = 20

// warn adds warnings that were not given yet.
func (s *saved) warn(warnings ...string) {
	for _, w := range warnings {
		if len(s.Warnings) < maxWarnings && !slices.Contains(s.Warnings, w) {
			s.Warnings = append(s.Warnings, w)
		}
	}
}

// A haul takes the points of an answer that are wanted.
type haul struct {
	aim
	shift     int64
	out       *pointsWriter
	seen      int64
	newest    remote.Sample
	steps     steps
	written   int64 // timestamp of the point before
	unordered bool
}

func (h *haul) take(s remote.Sample) error {
	s.Timestamp -= h.shift
	if h.seen++; h.seen > 1 {
		h.steps.add(s.Timestamp - h.newest.Timestamp)
	}
	if h.seen == 1 || s.Timestamp >= h.newest.Timestamp {
		h.newest = s
	}
	if s.Null || s.Timestamp < h.from || s.Timestamp >= h.cut {
		return nil
	}
	h.unordered = h.unordered || s.Timestamp < h.written
	h.written = s.Timestamp
	return h.out.add(sdk.Point{Timestamp: s.Timestamp, Value: s.Value})
}

// Steps counts how often distances between points occur.
type steps struct {
	counts map[int64]int
	n      int
}

// maxSteps is how many distances are looked at: a series has few kinds of them.
const maxSteps = 4096

func (s *steps) add(distance int64) {
	if s.n == maxSteps || distance <= 0 {
		return
	}
	if s.counts == nil {
		s.counts = make(map[int64]int)
	}
	s.n++
	s.counts[distance]++
}

// common returns the most common distance in seconds, the smallest of several, or
// 0 without any.
func (s *steps) common() (step int64) {
	for distance, n := range s.counts {
		if best := s.counts[step]; n > best || n == best && distance < step {
			step = distance
		}
	}
	return step
}
