package main

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// The log's names, which no metric's file can have, in the root folder. The
// second is of a log that is being written.
const (
	logName    = ".waiting"
	newLogName = ".waiting.new"
)

// maxLine is how long a line of the log is at most, in bytes, without the metric.
const maxLine = 64

// A waitLog is the file behind a [waiting], of which each line is a checksum,
// a timestamp, a value and a metric: that datapoint waits. With a dash for the
// timestamp it says instead that so many as the value tells, the first that
// waited of the metric, are in their file.
type waitLog struct {
	root     *os.Root // nil: it is not open
	lock     *os.File // the root folder, which is locked as long as the log is open
	file     *os.File
	size     int64
	doubtful bool // what the file holds may not be what it should
}

func appendLine(b []byte, left, middle, metric string) []byte {
	text := left + " " + middle + " " + metric
	return fmt.Appendf(b, "%08x %s\n", crc32.ChecksumIEEE([]byte(text)), text)
}

// appendTo adds the lines of f.
func (f filing) appendTo(b []byte) []byte {
	for _, p := range f.points {
		b = appendLine(b, strconv.FormatInt(p.Timestamp, 10), strconv.FormatFloat(p.Value, 'g', -1, 64), f.metric)
	}
	return b
}

func appendSettled(b []byte, metric string, n int) []byte {
	return appendLine(b, "-", strconv.Itoa(n), metric)
}

// parseLine reads a line, without its end. In the place of points it returns the
// number of those that are settled, or 0.
func parseLine(line string) (f filing, settled int, err error) {
	sum, text, _ := strings.Cut(line, " ")
	if want := fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))); sum != want {
		return f, 0, errors.New("its checksum is wrong")
	}
	left, rest, _ := strings.Cut(text, " ")
	middle, metric, _ := strings.Cut(rest, " ")
	f.metric = metric
	if f.path, err = schema.Path(metric); err != nil {
		return f, 0, err
	}
	if left == "-" {
		settled, err = strconv.Atoi(middle)
		return f, settled, err
	}
	var p sdk.Point
	if p.Timestamp, err = strconv.ParseInt(left, 10, 64); err != nil {
		return f, 0, err
	}
	if p.Value, err = strconv.ParseFloat(middle, 64); err != nil {
		return f, 0, err
	}
	f.points = []sdk.Point{p}
	return f, 0, nil
}

// open reads the log in the folder at path, and makes it where it is missing and
// wanted. It reports whether the log is open. Only one process can have it open.
func (w *waiting) open(path string, wanted bool) (opened bool, err error) {
	if !wanted {
		if info, err := os.Stat(filepath.Join(path, logName)); err != nil || info.Size() == 0 {
			return false, nil
		}
	}
	w.change.Lock()
	defer w.change.Unlock()
	l := &w.log
	defer func() {
		if err != nil {
			_ = l.close()
			w.forget()
		}
	}()
	if l.root, err = os.OpenRoot(path); err != nil {
		return false, err
	}
	if l.lock, err = l.root.Open("."); err != nil {
		return false, err
	}
	if err := tryFlock(l.lock); err == syscall.EWOULDBLOCK {
		return false, fmt.Errorf("%s: another process makes files here, in which only one at a time may where datapoints wait for theirs", path)
	} else if err != nil {
		return false, fmt.Errorf("lock %s: %w", path, err)
	}
	if l.file, err = l.root.OpenFile(logName, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return false, err
	}
	if err := l.lock.Sync(); err != nil {
		return false, err
	}
	return true, w.replay()
}

// replay finds what waits in the log. What cannot be read was never acknowledged
// if it is the last line, and is lost otherwise.
func (w *waiting) replay() error {
	lost := 0
	lines := bufio.NewReaderSize(w.log.file, 1<<20)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			w.log.doubtful = line != "" || lost > 0
			break
		}
		if err != nil {
			return err
		}
		w.log.size += int64(len(line))
		f, settled, err := parseLine(strings.TrimSuffix(line, "\n"))
		if err != nil {
			lost++
			continue
		}
		if e := w.all[f.path]; settled > 0 && e != nil {
			w.remove(e, settled)
		} else if len(f.points) > 0 {
			w.insert(f)
		}
	}
	if lost > 0 {
		slog.Error("datapoints that waited for their files are lost: the log is damaged", "file", logName, "lines", lost)
	}
	return nil
}

// forget empties the memory of what waits.
func (w *waiting) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all, w.order, w.bytes = nil, nil, 0
}

// append adds lines to the log, and waits until they are on the disk if they must
// be. Where it fails, the log does not have them.
func (l *waitLog) append(lines []byte, sync bool) error {
	_, err := l.file.WriteAt(lines, l.size)
	if err == nil && sync {
		err = syscall.Fdatasync(int(l.file.Fd()))
	}
	if err != nil { // what is on the disk by now is not known, also after a sync
		l.doubtful = true
		return errors.Join(err, l.file.Truncate(l.size))
	}
	l.size += int64(len(lines))
	return nil
}

// clear empties the log.
func (l *waitLog) clear() error {
	if err := l.file.Truncate(0); err != nil {
		l.doubtful = true
		return err
	}
	l.size, l.doubtful = 0, false
	return nil
}

// rewrite puts a log of lines in the place of this one. At any time there is one
// of the two.
func (l *waitLog) rewrite(lines iter.Seq[[]byte]) error {
	file, err := l.root.OpenFile(newLogName, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	size, out := int64(0), bufio.NewWriterSize(file, 1<<20)
	for b := range lines {
		n, _ := out.Write(b) // Flush tells its error
		size += int64(n)
	}
	if err = errors.Join(out.Flush(), file.Sync()); err == nil {
		err = l.root.Rename(newLogName, logName)
	}
	if err != nil {
		return errors.Join(err, file.Close(), l.root.Remove(newLogName))
	}
	_ = l.file.Close()
	l.file, l.size = file, size
	err = l.lock.Sync() // its name
	l.doubtful = err != nil
	return err
}

// close gives the log back, so that another process can open it.
func (w *waiting) close() error {
	w.change.Lock()
	defer w.change.Unlock()
	return w.log.close()
}

func (l *waitLog) close() (err error) {
	for _, file := range []*os.File{l.file, l.lock} {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
	}
	if l.root != nil {
		err = errors.Join(err, l.root.Close())
	}
	*l = waitLog{}
	return err
}
