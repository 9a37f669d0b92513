package populate

import (
	"context"
	"time"
)

// A State is how far a job is.
type State string

// The states of a job.
const (
	Queued     State = "queued"
	Fetching   State = "fetching"
	Resampling State = "resampling"
	Delivering State = "delivering"
	Done       State = "done"
	Failed     State = "failed"    // some windows were given up; what could be had is delivered
	Cancelled  State = "cancelled" // by a person
)

func (s State) ended() bool { return s == Done || s == Failed || s == Cancelled }

// A Job is a request and how far it is.
type Job struct {
	ID       string     `json:"id"`
	State    State      `json:"state"`
	Metric   string     `json:"metric"` // in its canonical form
	Request  Request    `json:"request"`
	Prefix   string     `json:"prefix,omitempty"` // of the key that asked
	Created  time.Time  `json:"created"`
	Ended    *time.Time `json:"ended,omitempty"`
	Due      *time.Time `json:"due,omitempty"` // when it goes on, if it waits
	Error    string     `json:"error,omitempty"`
	Warnings []string   `json:"warnings,omitempty"`

	AsOf int64 `json:"as_of,omitempty"` // Unix seconds that count as now for all windows; 0: it has not begun
	From int64 `json:"from,omitempty"`  // Unix seconds of the first interval that is wanted
	Cut  int64 `json:"cut,omitempty"`   // Unix seconds where the last complete interval ends
	Last int64 `json:"last,omitempty"`  // newest timestamp that was there before; 0: none

	Windows   []Window `json:"windows"`
	Points    int64    `json:"points"`    // fetched
	Intervals int64    `json:"intervals"` // resampled
	Total     int64    `json:"total"`     // datapoints to deliver, as far as is known
	Delivered int64    `json:"delivered"` // datapoints
	Refused   int64    `json:"refused"`   // datapoints that the sink never takes
}

// A WindowState is how far a window is.
type WindowState string

// The states of a window.
const (
	Pending   WindowState = "pending"
	Fetched   WindowState = "fetched"
	Resampled WindowState = "resampled"
	GivenUp   WindowState = "given up"
)

// A Window is a request to the remote.
type Window struct {
	URL       string      `json:"url"`
	State     WindowState `json:"state"`
	Begin     int64       `json:"begin,omitempty"` // Unix seconds that it covers, as far as its URL tells
	End       int64       `json:"end,omitempty"`
	Shift     int64       `json:"shift,omitempty"` // seconds by which its points are labelled too late
	Step      int64       `json:"step,omitempty"`  // seconds between its points; 0: unknown
	Points    int64       `json:"points"`
	Intervals int64       `json:"intervals"`
	Attempts  int         `json:"attempts,omitempty"`
	Failing   *time.Time  `json:"failing,omitempty"` // since when
	Next      *time.Time  `json:"next,omitempty"`    // when it is tried again
	Error     string      `json:"error,omitempty"`

	Newest     int64 `json:"newest,omitempty"` // timestamp of the newest point of the answer, also of one without a value
	NewestNull bool  `json:"newest_null,omitempty"`
	Unordered  bool  `json:"unordered,omitempty"`
}

func (w *Window) settled() bool { return w.State == Resampled || w.State == GivenUp }

// saved is a job as it is kept, with what nobody is shown.
type saved struct {
	Job
	Login  Login    `json:"login"`
	Hosts  []string `json:"hosts,omitempty"` // from which the key may fetch; empty: no narrower than configured
	Known  bool     `json:"known"`           // somebody has the metric already
	Recent bool     `json:"recent"`          // the ledger's timestamp was young
	Pass   pass     `json:"pass"`
}

// end notes that a job has ended. Only one that failed may need its login again.
func (s *saved) end(now time.Time) {
	now = now.UTC()
	s.Ended, s.Due = &now, nil
	if s.State != Failed {
		s.Login = Login{}
	}
	for _, w := range s.Windows {
		if w.State == GivenUp {
			s.Error = "windows were given up: " + w.Error
		}
	}
}

// A pass delivers the points of the windows that are resampled when it begins. One
// that was not finished goes on where it was.
type pass struct {
	View   *view `json:"view,omitempty"` // of the pass under way; nil: none is
	Now    int64 `json:"now,omitempty"`  // Unix seconds from which ages are counted
	Sent   int64 `json:"sent,omitempty"` // datapoints
	Before view  `json:"before"`         // of the last pass that was finished
}

// A view is which windows count, and which are still to come. Others are given up.
type view struct {
	Windows []int `json:"windows,omitempty"`
	Pending []int `json:"pending,omitempty"`
}

// A job is one that is not finished, in memory. Its fields are guarded by the
// lock of the Populate; saved is changed by its turn alone, save for a
// cancellation.
type job struct {
	saved
	working bool
	granted bool               // may make its metric
	hurry   bool               // the next turn is to follow at once
	stuck   int                // turns in a row that failed
	cancel  context.CancelFunc // of the turn under way
}
