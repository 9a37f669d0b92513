package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func journalRows() []row {
	return []row{
		{"F2", "kill -9 at each step of the journal", "nothing synced is lost, and only what was not acknowledged comes twice", models("Crash|TestModel$")},
		{"F3", "power loss", "what was synced stays; a torn tail is cut; a flipped bit costs one record, and is told", models("Crash|BitFlip|SumsAreNotChecked")},
		{"F4", "the journal's disk is full", "503 and Retry-After, sinks go on, and it recovers within 5 s of having room", diskFull},
		{"F4", "the journal's budget is spent", "503 and Retry-After, nothing accepted is dropped, and it recovers within 5 s", budgetSpent},
		{"F5", "fdatasync fails, or the disk is slow", "no false 2xx: the segment is sealed, and a failed sync is not tried again", models("EveryCall|ASyncThatDoesNothing")},
		{"F6", "the n-th call fails, for every n", "no panic, no leak, and the books balance", models("EveryCall")},
	}
}

// models runs the journal's own tests whose name has one of some words.
func models(words string) func(*run) error {
	return func(r *run) error {
		if r.quick {
			return notRun("make test runs the tests of core/journal")
		}
		root, err := moduleRoot()
		if err != nil {
			return notRun(err.Error())
		}
		if tests, _ := filepath.Glob(filepath.Join(root, "core", "journal", "*_test.go")); len(tests) == 0 {
			return notRun("there is no core/journal with tests")
		}
		cmd := exec.CommandContext(r.ctx, "go", "test", "-count=1", "-timeout", "300s", "-v", "-run", words, "./core/journal")
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		r.Runs = len(regexp.MustCompile(`(?m)^--- PASS`).FindAll(out, -1))
		if skipped := regexp.MustCompile(`(?m)^ *--- SKIP.*`).Find(out); skipped != nil {
			r.breaks("%s", skipped)
		}
		if err != nil {
			return fmt.Errorf("%w: %s", err, out[max(0, len(out)-1000):])
		}
		if r.Runs == 0 {
			return notRun("core/journal has no test named " + words)
		}
		r.note("tests of core/journal: -run %s", strings.ReplaceAll(words, "|", " or "))
		return nil
	}
}

// moduleRoot returns the folder of go.mod, here or above.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("there is no source here")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// heavy is a load that fills a journal soon.
var heavy = shape{metrics: 100, pad: 200, pause: time.Millisecond}

const tmpfsSize = 16 << 20

// limits are those of a Fluxgate with a small journal, which can hold only small
// requests.
func limits(journal int) map[string]any {
	return map[string]any{"limits": map[string]any{"journal": journal, "body": 1 << 20}}
}

// diskFull has the folder data on a small file system of its own, and takes its
// room away.
func diskFull(r *run) error {
	settings := limits(2 * tmpfsSize) // so that the disk is full before
	s, err := r.site(plan{load: heavy, idle: true, sinks: []string{pickles, lines}, settings: settings})
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return notRun("only root can mount a small file system")
	}
	if err := os.Mkdir(s.data, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", s.data, "tmpfs", 0, fmt.Sprintf("size=%d", tmpfsSize)); err != nil {
		return notRun("a small file system cannot be mounted: " + err.Error())
	}
	s.atEnd(func() {
		s.kill()
		_ = syscall.Unmount(s.data, syscall.MNT_DETACH) // whatever keeps it busy
	})
	if err := s.open(); err != nil {
		return err
	}
	for range r.count(10, 1) {
		if err := s.fillDisk(); err != nil {
			return err
		}
		r.Runs++
	}
	return s.settle()
}

// fillDisk leaves no room until requests are refused, sees to it that what waits
// is still delivered, and gives the room back.
func (s *site) fillDisk() error {
	if err := s.fakes[pickles].be(refuses); err != nil {
		return err
	}
	ballast := filepath.Join(s.data, "ballast")
	if err := fillUp(ballast); err != nil {
		return err
	}
	defer os.Remove(ballast)
	if err := s.untilRefused(); err != nil {
		return err
	}
	if err := s.fakes[pickles].be(takes); err != nil {
		return err
	}
	held := len(s.fakes[pickles].batch())
	if _, err := until(s.ctx, patience, "the sink goes on with a full disk", func() bool {
		return len(s.fakes[pickles].batch()) > held || s.waiting() == 0
	}); err != nil {
		return err
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	return s.recovers()
}

// fillUp writes a file until the disk is full.
func fillUp(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		_, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (s *site) untilRefused() error {
	full := s.load.full.Load()
	_, err := until(s.ctx, time.Minute, "a request is answered 503", func() bool { return s.load.full.Load() > full })
	return err
}

// recovers measures how long it takes until requests are taken again.
func (s *site) recovers() error {
	seen := s.load.seen.Load()
	took, err := until(s.ctx, 5*time.Second, "requests are taken again", func() bool {
		return s.load.seen.Load() > seen+int64(len(s.load.writers)*s.load.metrics)
	})
	s.note("taken again after %.2f s", took.Seconds())
	return err
}

func budgetSpent(r *run) error {
	s, err := r.site(plan{load: heavy, settings: limits(16 << 20)})
	if err != nil {
		return err
	}
	for range r.count(5, 1) {
		if err := s.fakes[pickles].be(refuses); err != nil {
			return err
		}
		if err := s.untilRefused(); err != nil {
			return err
		}
		if err := r.wait(time.Second); err != nil {
			return err
		}
		if err := s.fakes[pickles].be(takes); err != nil {
			return err
		}
		if err := s.recovers(); err != nil {
			return err
		}
		r.Runs++
	}
	return s.settle()
}
