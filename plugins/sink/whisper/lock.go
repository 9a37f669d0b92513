package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
)

// flock takes the lock that carbon-cache takes with WHISPER_LOCK_WRITES; it is
// given back when file is closed.
func flock(ctx context.Context, file *os.File) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := tryFlock(file)
		if err == nil {
			return nil
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			return fmt.Errorf("lock: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("locked by another process: %w", ctx.Err())
		case <-time.After(wait):
		}
	}
}

func tryFlock(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// locks is a lock for each file that is being written. The zero value is ready.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the lock is given back
}

// lock waits for the lock of path. The caller gives it back with unlock.
func (l *locks) lock(ctx context.Context, path string) (unlock func(), err error) {
	for {
		l.mu.Lock()
		busy := l.held[path]
		if busy == nil {
			free := make(chan struct{})
			if l.held == nil {
				l.held = make(map[string]chan struct{})
			}
			l.held[path] = free
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.held, path)
				l.mu.Unlock()
				close(free)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("being written by another batch: %w", ctx.Err())
		}
	}
}
