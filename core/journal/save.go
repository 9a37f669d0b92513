package journal

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"fluxgate/sdk"
)

// Save moves the cursor behind all that Next has returned, of which so many
// datapoints were delivered and so many are dead letters. The rest of them, which
// the caller could not make use of, counts as damaged. It survives a kill at once, and a power loss about a second later. An error wraps
// [sdk.ErrUnavailable] and says that the disk does not have it yet: it counts all
// the same, is written with the next Save or about a second later, and must not be
// repeated.
func (r *Reader) Save(delivered, dead int) error {
	if delivered < 0 || dead < 0 {
		return sdk.Invalidf("%d datapoints delivered and %d dead: must not be negative", delivered, dead)
	}
	r.log.lock()
	left := r.state.at.Segment
	counted := uint64(delivered) + uint64(dead)
	r.state.delivered += uint64(delivered)
	r.state.dead += uint64(dead)
	r.state.damaged += max(r.held, counted) - counted
	r.held = 0
	return r.advance(left)
}

// Pass moves the cursor on to a place that [Log.End] has returned. What lies before
// it counts as delivered, unread. A place that the reader is past changes nothing.
// Nothing that Next has returned may wait for its Save, nor may the place be behind
// the end: that gives [sdk.ErrInvalid]. Other errors are those of Save.
func (r *Reader) Pass(to Position) error {
	r.log.lock()
	if r.held > 0 || r.log.end.Before(to) {
		defer r.log.unlock()
		return sdk.Invalidf("%s cannot pass to %d: %d datapoints are to be saved first, and the journal ends at %d", r.name, to.Number, r.held, r.log.end.Number)
	}
	if !r.next.Before(to) {
		defer r.log.unlock()
		return nil
	}
	left := r.state.at.Segment
	r.state.delivered += to.Number - r.next.Number
	r.next = to
	return r.advance(left)
}

// advance writes the cursor where it is now, and has the segment freed that it has
// left. The caller holds mu, which it frees.
func (r *Reader) advance(left uint64) error {
	r.settle()
	freed := r.state.at.Segment != left
	err := r.write()
	if freed {
		wake(r.log.untidy)
	}
	return err
}

// Revive counts n dead letters as delivered after all. Errors are those of Save;
// more than there are dead letters gives [sdk.ErrInvalid].
func (r *Reader) Revive(n int) error {
	r.log.lock()
	if n < 0 || uint64(n) > r.state.dead {
		defer r.log.unlock()
		return sdk.Invalidf("%d dead letters of %s delivered: there are %d", n, r.name, r.state.dead)
	}
	r.state.dead -= uint64(n)
	r.state.delivered += uint64(n)
	return r.write()
}

// write writes a new state to the cursor, with no sync. The caller holds mu, which
// it frees.
func (r *Reader) write() error {
	r.generation++
	r.state.end = r.log.end
	s, generation, closed := r.state, r.generation, r.log.closed
	r.log.unlock()
	if closed {
		return ErrClosed
	}
	if err := r.cursor.write(s, generation, false); err != nil {
		return fmt.Errorf("%w: the cursor of %s cannot be written: %w", sdk.ErrUnavailable, r.name, err)
	}
	return nil
}

// sync makes the cursor durable. The caller holds mu.
func (r *Reader) sync() error {
	r.state.end = r.log.end
	r.generation++
	if err := r.cursor.write(r.state, r.generation, true); err != nil {
		return fmt.Errorf("the cursor of %s cannot be saved: %w", r.name, err)
	}
	r.saved, r.durable = r.generation, r.state.at
	return nil
}

// saveCursors makes durable the cursors that have moved, and keeps no one waiting
// meanwhile. Those that it cannot save are tried again with the next call.
func (l *Log) saveCursors() error {
	l.lock()
	defer l.unlock()
	var errs []error
	for _, r := range slices.Collect(maps.Values(l.readers)) {
		if r.generation == r.saved || l.readers[r.name] != r {
			continue
		}
		r.state.end = l.end
		r.generation++
		s, generation := r.state, r.generation
		l.mu.Unlock()
		err := r.cursor.write(s, generation, true)
		l.mu.Lock()
		switch {
		case err != nil && l.readers[r.name] == r:
			errs = append(errs, fmt.Errorf("the cursor of %s cannot be saved, it is tried again: %w", r.name, err))
		case err == nil && r.saved < generation:
			r.saved, r.durable = generation, s.at
		}
	}
	return errors.Join(errs...)
}

// saveAll makes all cursors durable, with the end of the log. The caller holds mu.
func (l *Log) saveAll() error {
	var errs []error
	for _, r := range l.readers {
		if r.generation != r.saved || r.state.end != l.end {
			errs = append(errs, r.sync())
		}
	}
	return errors.Join(errs...)
}

// Drop forgets the cursor of a reader that is not open. Errors wrap
// [sdk.ErrInvalid] for one that is open or unknown, or [sdk.ErrUnavailable].
func (l *Log) Drop(name string) error {
	l.lock()
	defer l.unlock()
	r, found := l.readers[name]
	switch {
	case l.closed:
		return ErrClosed
	case !found:
		return sdk.Invalidf("there is no reader %q", name)
	case r.opened:
		return sdk.Invalidf("the reader %q is open", name)
	}
	err := l.remove(name + cursorSuffix)
	if err == nil {
		err = l.Files.Sync()
	}
	if err != nil {
		return fmt.Errorf("%w: the cursor of %s cannot be removed: %w", sdk.ErrUnavailable, name, err)
	}
	delete(l.readers, name)
	l.tell(r.cursor.close())
	wake(l.untidy)
	return nil
}
