// Package journal is a durable log of records with readers, each of which has a
// cursor on disk. It knows bytes and how many datapoints they hold, not their
// format.
//
// A log is a folder of segments, which are files that were written with zeros
// ahead of need, so that a commit changes no metadata. What is acknowledged
// survives a crash of the process and of the machine. A record that is damaged
// later is passed over, counted and reported, and costs none but itself. Opening
// repairs what a crash has left.
//
// An open log has three goroutines: one commits what is appended, one prepares
// segments, saves cursors and frees what is no longer needed, and one sums up
// segments.
package journal

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync"
	"time"

	"fluxgate/sdk"
)

var (
	// ErrFull says that the budget leaves no room. It wraps [sdk.ErrUnavailable].
	ErrFull = fmt.Errorf("%w: the journal is full", sdk.ErrUnavailable)
	// ErrClosed says that the log is closed. It wraps [sdk.ErrUnavailable].
	ErrClosed = fmt.Errorf("%w: the journal is closed", sdk.ErrUnavailable)
)

const (
	minSegment = 1 << 20
	maxSegment = 64 << 20
	pause      = time.Second // between two tries to make a segment, and two syncs of a cursor
)

// A Position is a place between two records. Number counts the datapoints before
// it since the log was made; it never repeats.
type Position struct {
	Segment, Number uint64
	Offset          int64
}

// Before says whether p comes before q in the log.
func (p Position) Before(q Position) bool { return p.Number < q.Number }

// Options are those of a log.
type Options struct {
	Budget    int64                                 // bytes of segments and summaries on disk, prepared ones included; at least two segments
	Segment   int64                                 // bytes of a segment; 0: a sixteenth of the budget, between 1 and 64 MiB
	Files     Files                                 // nil: the operating system's, in the folder
	Report    func(err error)                       // told of what is damaged, torn, or fails behind the scenes; nil: nobody. Called from any goroutine, must not block
	Summarize func(records iter.Seq[Record]) []byte // sums up a sealed segment for Replay, but the newest of them, where the budget has room; a record's data is good until the next; nil: no summaries

	now       func() time.Time // nil: time.Now
	quiet     bool             // no goroutine: a test does their work
	unchecked bool             // sums are believed
}

// complete sets what is not set, or says what is wrong.
func (o *Options) complete(path string) error {
	if o.Segment == 0 {
		o.Segment = min(max(o.Budget/16, minSegment), maxSegment)
	}
	o.Segment = aligned(o.Segment)
	if o.Segment < 2*dataStart || o.Segment > 1<<31 {
		return sdk.Invalidf("segments of %d bytes: must be between %d bytes and 2 GiB", o.Segment, 2*dataStart)
	}
	if o.Budget < 2*o.Segment {
		return sdk.Invalidf("a budget of %d bytes is less than two segments of %d bytes: give it more", o.Budget, o.Segment)
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	if o.Files != nil {
		return nil
	}
	o.Files = folder(path)
	return os.MkdirAll(path, 0o700)
}

// A Log is open. All methods are safe for concurrent use.
type Log struct {
	Options
	guard io.Closer // keeps other processes out

	mu        sync.Mutex
	segments  []*segment // in use, oldest first
	active    *segment   // the newest of them, while it may be written to
	spare     []*segment // prepared
	doomed    []*segment // of no use, but not removed yet
	number    uint64     // of the newest segment ever made
	preparing int64      // bytes
	charged   int64
	end       Position
	readers   map[string]*Reader
	queue     *group
	changed   chan struct{} // closed when readers have something to look at
	closed    bool
	failure   error     // why no segment could be made
	retry     time.Time // when one may be tried again
	reported  map[place]bool
	untold    []error // for Report, once mu is free

	buffer []byte // of the last commit, guarded by committing

	committing, making     sync.Mutex
	queued, untidy, sealed chan struct{} // wake the goroutines
	closing                chan struct{}
	running                sync.WaitGroup
}

// A place is one of which a damage is reported once.
type place struct {
	segment uint64
	offset  int64
}

// Open opens the log in a folder, or makes it. It repairs what a crash has left,
// and reports what is lost. It returns an error only when the folder cannot be
// used at all, when its end cannot be read, so that nothing acknowledged is written
// over, when another process has it open, or for options that are invalid.
func Open(folder string, o Options) (*Log, error) {
	if err := o.complete(folder); err != nil {
		return nil, err
	}
	guard, err := o.Files.Lock()
	if err != nil {
		return nil, err
	}
	l := &Log{
		Options: o, guard: guard, queue: newGroup(),
		readers: map[string]*Reader{}, reported: map[place]bool{},
		changed: make(chan struct{}), closing: make(chan struct{}),
		queued: make(chan struct{}, 1), untidy: make(chan struct{}, 1), sealed: make(chan struct{}, 1),
	}
	l.lock()
	err = l.load()
	l.unlock()
	if err != nil {
		return nil, errors.Join(err, l.release())
	}
	if !o.quiet {
		l.start()
	}
	return l, nil
}

// start starts the goroutines.
func (l *Log) start() {
	ticker := time.NewTicker(pause)
	l.running.Go(func() { l.loop(l.queued, nil, l.commit) })
	l.running.Go(func() { defer ticker.Stop(); l.loop(l.untidy, ticker.C, l.tidy) })
	l.running.Go(func() { l.loop(l.sealed, nil, l.summarize) })
	wake(l.untidy)
	wake(l.sealed)
}

// loop does work whenever it is woken, until the log is closed.
func (l *Log) loop(woken <-chan struct{}, tick <-chan time.Time, work func()) {
	for {
		select {
		case <-l.closing:
			return
		case <-woken:
		case <-tick:
		}
		work()
	}
}

// wake wakes the goroutine that waits for c.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (l *Log) lock() { l.mu.Lock() }

// unlock frees mu and tells what was found meanwhile.
func (l *Log) unlock() {
	untold := l.untold
	l.untold = nil
	l.mu.Unlock()
	for _, err := range untold {
		l.Report(err)
	}
}

// tell reports err. The caller holds mu.
func (l *Log) tell(err error) {
	if err != nil {
		l.untold = append(l.untold, err)
	}
}

// report tells err at once. The caller does not hold mu.
func (l *Log) report(err error) {
	if err != nil {
		l.Report(err)
	}
}

// damaged reports d, once for each place. The caller holds mu.
func (l *Log) damaged(d Damage) {
	at := place{d.Segment, d.Offset}
	if !l.reported[at] {
		l.reported[at] = true
		l.tell(d)
	}
}

// time returns that of the log's clock.
func (l *Log) time() time.Time { return l.Options.now() }

// End returns the position behind the last record on disk.
func (l *Log) End() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// Charge says how many bytes are kept elsewhere that count against the budget.
func (l *Log) Charge(bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.charged = max(bytes, 0)
}

// Close saves the cursors and closes the log. Appends under way fail, and so does
// the next Next of each reader, which closes the file that it reads from.
func (l *Log) Close() error {
	l.lock()
	if l.closed {
		l.unlock()
		return ErrClosed
	}
	l.closed = true
	close(l.closing)
	l.notify()
	l.unlock()
	l.running.Wait()
	l.committing.Lock()
	defer l.committing.Unlock()
	l.refuse(nil, ErrClosed)
	l.lock()
	defer l.unlock()
	return errors.Join(l.saveAll(), l.release())
}

// release closes all files. The caller holds mu, or has the only reference.
func (l *Log) release() error {
	var errs []error
	for _, s := range append(l.spare, l.active) {
		if s != nil && s.file != nil {
			errs = append(errs, s.file.Close())
		}
	}
	for _, r := range l.readers {
		errs = append(errs, r.cursor.close())
	}
	return errors.Join(append(errs, l.guard.Close())...)
}

// notify wakes the readers that wait. The caller holds mu.
func (l *Log) notify() {
	close(l.changed)
	l.changed = make(chan struct{})
}
