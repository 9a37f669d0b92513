package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func hostRows() []row {
	return []row{
		{"F26", "no file descriptors are left", "what is connected goes on; connections are taken again within 2 s", fewFiles},
		{"F27", "thousands of idle and slow connections", "normal requests do not notice; at most 256 MiB", underLoad(plan{}, manyConnections, tellTimes)},
		{"F31", "a whisper file is damaged", "that metric alone becomes a dead letter", damagedFile},
		{"F32", "Apache in front restarts", "a sender that tries again loses nothing", apacheRestarts},
	}
}

// fewFiles gives Fluxgate two hundred descriptors, and opens more connections.
func fewFiles(r *run) error {
	launcher, err := findProgram("prlimit")
	if err != nil {
		return notRun(err.Error())
	}
	s, err := r.site(plan{idle: true})
	if err != nil {
		return err
	}
	s.argv = append([]string{launcher, "--nofile=200:200"}, s.argv...)
	if err := s.open(); err != nil {
		return err
	}
	pid := s.pid()
	for range r.count(10, 1) {
		if err := s.crowd(); err != nil {
			return err
		}
		r.Runs++
	}
	if !s.running() || s.pid() != pid {
		s.breaks("fluxgate has ended")
	}
	return s.settle()
}

// crowd holds more connections than Fluxgate has descriptors, and measures how
// long it takes until a new one is served once they are gone.
func (s *site) crowd() error {
	var conns []net.Conn
	defer func() { closeAll(conns) }()
	for range 400 {
		c, err := net.DialTimeout("tcp", s.listen, time.Second)
		if err != nil {
			break // the kernel's queue is full as well
		}
		conns = append(conns, c)
	}
	if len(conns) < 200 {
		return fmt.Errorf("only %d connections could be opened", len(conns))
	}
	if err := s.progress(100); err != nil { // those connected go on
		return err
	}
	if err := s.run.wait(s.span(3*time.Second, time.Second)); err != nil {
		return err
	}
	closeAll(conns)
	took, err := until(s.ctx, 2*time.Second, "a new connection is served", func() bool { return s.admits(s.ctx, theKey) })
	s.note("new connections served after %.2f s", took.Seconds())
	return err
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		_ = c.Close() // also a second time
	}
}

func manyConnections(s *site) error {
	idle, slow := s.count(5000, 500), s.count(2000, 200)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if uint64(idle+slow+500) > limit.Cur {
		return notRun(fmt.Sprintf("%d open files are allowed here", limit.Cur))
	}
	var conns []net.Conn
	defer func() { closeAll(conns) }()
	for range idle + slow {
		c, err := net.DialTimeout("tcp", s.listen, 5*time.Second)
		if err != nil {
			return err
		}
		conns = append(conns, c)
	}
	s.Runs = len(conns)
	const head = "POST /flux/metric_data_post HTTP/1.1\r\nHost: chaos\r\nContent-Length: 100000\r\n\r\n"
	for end := time.Now().Add(s.span(20*time.Second, 3*time.Second)); time.Now().Before(end); {
		for i, c := range conns[idle:] {
			sent := head[:min(len(head), 1+i%len(head))]
			_, _ = c.Write([]byte(sent[len(sent)-1:])) // it may have been hung up on
		}
		if err := s.run.wait(200 * time.Millisecond); err != nil {
			return err
		}
	}
	memory := resident(s.pid())
	s.note("%d idle and %d slow connections, %d MiB", idle, slow, memory>>20)
	if memory > 256<<20 {
		s.breaks("fluxgate takes %d MiB", memory>>20)
	}
	return nil
}

// damagedFile has a whisper file that is none.
func damagedFile(r *run) error {
	if err := hasWhisper(); err != nil {
		return err
	}
	s, err := r.site(plan{sinks: []string{files}})
	if err != nil {
		return err
	}
	const metric = "damaged.by.hand"
	path := filepath.Join(s.tree, strings.ReplaceAll(metric, ".", "/")+".wsp")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte("no whisper file"), 0o644); err != nil {
		return err
	}
	for range r.count(20, 2) {
		b, err := s.sendOne(metric)
		if err != nil {
			return err
		}
		s.dead = append(s.dead, b...)
		r.Runs++
		if err := s.progress(200); err != nil {
			return err
		}
	}
	if _, err := until(r.ctx, patience, "dead letters are listed", func() bool {
		out, err := s.command(r.ctx, "dead", "list")
		return err == nil && strings.Contains(string(out), metric)
	}); err != nil {
		s.breaks("%v", err)
	}
	return s.settle()
}
