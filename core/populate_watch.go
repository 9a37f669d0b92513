package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fluxgate/core/populate"
)

const (
	lookEvery = 500 * time.Millisecond // between two looks at a job
	tellEvery = 5 * time.Second        // between two lines that tell of the same state

	// silence is how long a server that does not answer is asked again: one that is
	// started again goes on with its jobs.
	silence = 30 * time.Second
)

// watch tells how far a job is until it has ended, and returns it.
func watch(ctx context.Context, server *console, job populate.Job, t *teller) (populate.Job, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	heard := time.Now()
	for {
		t.tell(job, time.Now())
		if hasEnded(job.State) {
			t.end()
			return job, nil
		}
		select {
		case <-ctx.Done():
			t.end()
			return job, goesOn(server, job.ID, fmt.Errorf("not looking any more"))
		case <-tick.C:
		}
		next, err := fetchJob(ctx, server, job.ID, "")
		if err == nil {
			job, heard = next, time.Now()
		} else if ctx.Err() == nil && time.Since(heard) > silence {
			t.end()
			return job, goesOn(server, job.ID, err)
		}
	}
}

// goesOn says how to look at a job that nobody watches any more.
func goesOn(server *console, id string, err error) error {
	return fmt.Errorf("%w: job %s goes on: look at it with: %s, and end it with: %s", err, id,
		server.command("populate show "+id), server.command("populate cancel "+id))
}

// A teller tells how far a job is: on a terminal in one line that is drawn again,
// elsewhere in a line for each news.
type teller struct {
	out   io.Writer
	width func() int // of the terminal, in letters; 0: it is none

	marks []mark
	state populate.State // told last
	told  time.Time      // when
}

// newTeller returns one that writes to out.
func newTeller(out io.Writer) *teller {
	return &teller{out: out, width: func() int {
		f, ok := out.(*os.File)
		if !ok || !isTerminal(f) {
			return 0
		}
		return columns(f)
	}}
}

// columns returns the width of a terminal; 0 if f is none.
func columns(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	if size.Col == 0 {
		return 80 // it does not know
	}
	return int(size.Col)
}

const barWidth = 20

// tell tells of a job, if there is something to tell.
func (t *teller) tell(j populate.Job, now time.Time) {
	t.marks = noted(t.marks, mark{now, j.Delivered})
	line := status(j, paceOf(t.marks, rest(j)), now)
	if width := t.width(); width > 0 {
		line = fmt.Sprintf("%s %3.0f%%  %s", bar(share(j), barWidth), 100*share(j), line)
		fmt.Fprintf(t.out, "\r%s\x1b[K", fitted(line, width-1))
		return
	}
	if j.State == t.state && now.Sub(t.told) < tellEvery {
		return
	}
	t.state, t.told = j.State, now
	fmt.Fprintf(t.out, "job %s: %s\n", j.ID, line)
}

// end leaves the line that was drawn.
func (t *teller) end() {
	if t.width() > 0 {
		fmt.Fprintln(t.out)
	}
}

// fitted returns the first letters of a line, as many as width, without any that
// would move the cursor.
func fitted(line string, width int) string {
	letters := []rune(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, line))
	return string(letters[:max(0, min(len(letters), width))])
}
