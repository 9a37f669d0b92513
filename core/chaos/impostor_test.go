package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"fluxgate/sdk"
)

// The test binary, called fluxgate, is an impostor: it keeps the faces of
// Fluxgate, and breaks one promise. The rows must see which.

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "fluxgate" {
		if err := impostor(os.Args[1:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	os.Exit(m.Run())
}

// faultEnv names the promise that an impostor breaks.
const faultEnv = "CHAOS_FAULT"

type impostorConfig struct {
	Listen, Admin, Data string
	Sinks               map[string]struct{ Config struct{ Address string } }
}

// An impostorServer delivers lines to one Carbon before it answers, unless its
// fault says otherwise.
type impostorServer struct {
	impostorConfig
	fault string

	mu      sync.Mutex
	books   readerBooks
	newest  map[string]int64 // of each metric, as far as it is remembered
	held    sdk.Batch        // of a batch that is to come late
	n       int              // requests so far
	waiting atomic.Int64
	queue   chan sdk.Batch
	journal *os.File // a batch on each line
	cursor  int      // how many of them are delivered
}

func impostor(args []string) error {
	s := &impostorServer{fault: os.Getenv(faultEnv), newest: map[string]int64{}, queue: make(chan sdk.Batch, 100_000)}
	for i, arg := range args {
		if arg == "--config" {
			text, err := os.ReadFile(args[i+1])
			if err != nil {
				return err
			}
			if err := yaml.Unmarshal(text, &s.impostorConfig); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return err
	}
	if text, err := os.ReadFile(s.file()); err == nil {
		if err := json.Unmarshal(text, &s.books); err != nil {
			return err
		}
	}
	if text, err := os.ReadFile(s.file() + ".newest"); err == nil {
		_ = json.Unmarshal(text, &s.newest) // it may have been cut off
	}
	if s.journals() {
		if err := s.openJournal(); err != nil {
			return err
		}
	}
	if args[0] == "journal" {
		return s.verify()
	}
	return s.serve()
}

func (s *impostorServer) file() string { return filepath.Join(s.Data, "books") }

func (s *impostorServer) verify() error {
	b := s.books
	b.Reader = lines
	switch s.fault {
	case "disk books short":
		b.Accepted /= 2
		b.Delivered /= 2
	case "disk books unbalanced":
		b.Delivered--
	case "disk books of nothing":
		return nil
	}
	return json.NewEncoder(os.Stdout).Encode(diskBooks{Logs: []logBooks{{Log: "live", Readers: []readerBooks{b}}}})
}

func (s *impostorServer) serve() error {
	public, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return err
	}
	admin, err := net.Listen("tcp", s.Admin)
	if err != nil {
		return err
	}
	go func() { log.Print(http.Serve(public, http.HandlerFunc(s.post))) }()
	go func() { log.Print(http.Serve(admin, http.HandlerFunc(s.admin))) }()
	go s.deliverQueue()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	<-stop
	if s.fault == "leaves with 1" {
		os.Exit(1)
	}
	return nil
}

func (s *impostorServer) admin(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/metrics" || s.fault == "silent gauge" {
		return
	}
	imbalance := 0
	if s.fault == "unbalanced" {
		imbalance = 1
	}
	fmt.Fprintf(w, "%s{sink=\"lines\"} %d\nfluxgate_waiting_datapoints{sink=\"lines\"} %d\n", imbalanceGauge, imbalance, s.waiting.Load())
}

func (s *impostorServer) post(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	b, err := readBody(text)
	if err != nil || s.fault == "refuses" {
		http.Error(w, fmt.Sprint(err), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.take(b); err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// take is what happens to a request before it is answered.
func (s *impostorServer) take(b sdk.Batch) error {
	s.n++
	if s.journals() {
		text, err := json.Marshal(b)
		if err != nil {
			return err
		}
		if _, err := s.journal.Write(append(text, '\n')); err != nil {
			return err
		}
		s.later(b)
		return nil
	}
	switch {
	case s.fault == "answers from memory":
		s.later(b)
		return nil
	case s.fault == "remembers before it delivers":
		if b[0].Timestamp <= s.newest[b[0].Metric] {
			return nil
		}
		s.newest[b[0].Metric] = b[0].Timestamp
		s.save(s.file()+".newest", s.newest)
		time.Sleep(2 * time.Millisecond)
	case s.n%20 != 0:
	case s.fault == "loses":
		s.count(1)
		b = b[1:]
	case s.fault == "makes up":
		b = append(b, sdk.Datapoint{Metric: "made.up", Timestamp: b[0].Timestamp, Value: 1})
	case s.fault == "changes":
		b[0].Value++
	case s.fault == "counts twice":
		s.count(10_000)
	case s.fault == "duplicates":
		if err := s.send(b); err != nil {
			return err
		}
	case s.fault == "reorders" && s.held == nil:
		s.held = b
		return nil
	}
	err := s.deliver(b)
	if s.held != nil && s.held[0].Metric == b[0].Metric && err == nil {
		late := s.held
		s.held = nil
		return s.deliver(late)
	}
	return err
}

// journals reports whether batches are written down before they are answered,
// and delivered afterwards.
func (s *impostorServer) journals() bool {
	return s.fault == "has a journal" || s.fault == "moves on before it writes"
}

// openJournal cuts off a torn tail, makes the books, and queues what is not
// delivered yet.
func (s *impostorServer) openJournal() (err error) {
	if s.journal, err = os.OpenFile(s.file()+".journal", os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil {
		return err
	}
	text, err := io.ReadAll(s.journal)
	if err != nil {
		return err
	}
	whole := string(text[:bytes.LastIndexByte(text, '\n')+1])
	if err := s.journal.Truncate(int64(len(whole))); err != nil {
		return err
	}
	if text, err := os.ReadFile(s.file() + ".cursor"); err == nil {
		if err := json.Unmarshal(text, &s.cursor); err != nil {
			return err
		}
	}
	s.books = readerBooks{}
	n := 0
	for line := range strings.Lines(whole) {
		var b sdk.Batch
		if err := json.Unmarshal([]byte(line), &b); err != nil {
			return err
		}
		s.books.Accepted += len(b)
		if n++; n <= s.cursor {
			s.books.Delivered += len(b)
		} else {
			s.books.Waiting += len(b)
			s.later(b)
		}
	}
	return nil
}

func (s *impostorServer) moveOn() {
	s.cursor++
	s.save(s.file()+".cursor", s.cursor)
}

// later delivers b when it has been answered for some time.
func (s *impostorServer) later(b sdk.Batch) {
	s.waiting.Add(int64(len(b)))
	s.queue <- b
}

func (s *impostorServer) deliverQueue() {
	for b := range s.queue {
		time.Sleep(5 * time.Millisecond)
		s.mu.Lock()
		if s.fault == "moves on before it writes" {
			s.moveOn()
			time.Sleep(2 * time.Millisecond)
		}
		err := s.deliver(b)
		for err != nil {
			err = s.deliver(b)
		}
		if s.fault == "has a journal" {
			s.moveOn()
		}
		s.waiting.Add(-int64(len(b)))
		s.mu.Unlock()
	}
}

// deliver sends b to Carbon and writes the books.
func (s *impostorServer) deliver(b sdk.Batch) error {
	if err := s.send(b); err != nil {
		return err
	}
	s.count(len(b))
	return nil
}

// send sends b to Carbon and waits for its acknowledgement.
func (s *impostorServer) send(b sdk.Batch) error {
	c, err := net.DialTimeout("tcp", s.Sinks[lines].Config.Address, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	for _, d := range b {
		if _, err := fmt.Fprintf(c, "%s %v %d\n", d.Metric, strconv.FormatFloat(d.Value, 'f', -1, 64), d.Timestamp); err != nil {
			return err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("no acknowledgement: %w", err)
	}
	return nil
}

// count writes the books.
func (s *impostorServer) count(n int) {
	s.books.Accepted += n
	s.books.Delivered += n
	s.save(s.file(), s.books)
}

func (s *impostorServer) save(path string, what any) {
	text, err := json.Marshal(what)
	if err == nil {
		err = os.WriteFile(path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func readBody(text []byte) (b sdk.Batch, err error) {
	var posted struct {
		Metrics []struct{ Metric, Timestamp, Value string }
	}
	if err := json.Unmarshal(text, &posted); err != nil {
		return nil, err
	}
	for _, m := range posted.Metrics {
		d, err := parseLine(strings.Join([]string{m.Metric, m.Value, m.Timestamp}, " "))
		if err != nil {
			return nil, err
		}
		b = append(b, d)
	}
	return b, nil
}
