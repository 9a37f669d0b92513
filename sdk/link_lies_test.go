package sdk

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk/internal/frame"
)

// What a plugin may say at its end of a data socket that is no answer to call 1, with
// what the host says of it.
var lies = map[string]struct {
	says []byte
	why  string
}{
	"no frame":                 {[]byte("HTTP/1.1 200 OK\r\n\r\n"), "there is none"},
	"a kind that is none":      {framed(0, 1), "frame of kind 0"},
	"another that is none":     {framed(4, 1), "frame of kind 4"},
	"a call":                   {framed(frame.Call, 1), "frame of kind 1"},
	"a cancellation":           {framed(frame.Cancel, 1), "frame of kind 3"},
	"an unknown call":          {framed(frame.Answer, 2, 0, 0), "answer to call 2"},
	"call 0":                   {framed(frame.Answer, 0, 0, 0), "answer to call 0"},
	"far too much":             {header(math.MaxUint32), fmt.Sprint("at most ", planeLimit)},
	"a byte too much":          {header(planeLimit + 1), fmt.Sprint("at most ", planeLimit)},
	"half a header":            {header(0)[:7], "unexpected EOF"},
	"less than it has said":    {header(100), "unexpected EOF"},
	"nothing, and leaves":      {nil, "EOF"},
	"an empty answer":          {framed(frame.Answer, 1), ""},
	"bytes to spare":           {framed(frame.Answer, 1, answerOf(upTo(1), "k"), 0), ""},
	"an outcome cut off":       {framed(frame.Answer, 1, 0, 1, 0, 3, 100), ""},
	"no request":               {framed(frame.Answer, 1, answerOf(nil, "")), "0 requests of 1"},
	"too many requests":        {framed(frame.Answer, 1, answerOf([]int{0, 0}, "")), "2 requests of 1"},
	"another request":          {framed(frame.Answer, 1, answerOf([]int{1}, "")), "request 1 of 1"},
	"the last of all places":   {framed(frame.Answer, 1, 0, 1, -1, 0, 0), "request 4294967295 of 1"},
	"a count of requests":      {framed(frame.Answer, 1, 0, math.MaxUint32), ""},
	"a count of datapoints":    {framed(frame.Answer, 1, math.MaxUint32, 1, 0, 0, 0), ""},
	"datapoints that are none": {framed(frame.Answer, 1, 1, answerOf(upTo(1), strings.Repeat("k", 100))[4:]), "0 datapoints, and not 1"},
	"a count of dropped":       {framed(frame.Answer, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, math.MaxUint32, 0, 0), ""},
	"columns that are none":    {framed(frame.Answer, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, []byte("12345"), 0), "no batch"},
}

func header(length uint32) []byte {
	b := framed(frame.Answer, 1)
	binary.LittleEndian.PutUint32(b, length)
	return b
}

// Whatever a plugin says at its end, the call is answered over the portable plane,
// later ones are, too, and nothing stays behind.
func TestALinkThatLies(t *testing.T) {
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			goroutines, files := runtime.NumGoroutine(), openFiles(t)
			host, plugin := sockets(t)
			in, p := inputAt(t, host, planeLimit)
			far := farEndOf(t, plugin)
			first := ask(t.Context(), in, Request{Query: "first"})
			far.requests()
			_, _ = plugin.Write(lie.says) // the host may have enough before the end
			_ = plugin.Close()
			if got := inTime(t, "the call", first); got.s.Key != "portable" || got.err != nil {
				t.Errorf("the call: %+v", got)
			}
			inTime(t, "the end of the link", in.link.link.broken)
			if !strings.Contains(in.link.link.why.Error(), lie.why) {
				t.Errorf("it broke because of %q, want %q", in.link.link.why, lie.why)
			}
			for range 3 {
				if got := inTime(t, "a later call", ask(t.Context(), in, Request{})); got.s.Key != "portable" || got.err != nil {
					t.Errorf("a later call: %+v", got)
				}
			}
			if len(p.calls) != 4 {
				t.Errorf("%d calls over the portable plane, want 4", len(p.calls))
			}
			_ = host.Close()
			eventually(t, "nothing stays behind", func() bool {
				return runtime.NumGoroutine() <= goroutines && openFiles(t) <= files
			})
		})
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestALinkThatAnswersARequestTwice(t *testing.T) {
	host, plugin := sockets(t)
	in, p := inputAt(t, host, planeLimit)
	far := farEndOf(t, plugin)
	f := sendTogether(t, in.link, "a", "b")
	call, _ := far.requests()
	far.answer(call, []int{0}, "a")
	far.answer(call, []int{0}, "a")
	if o := inTime(t, "the first", f.group[0].done); o.submission.Key != "a" || o.err != nil {
		t.Errorf("the first: %+v", o)
	}
	if o := inTime(t, "the second", f.group[1].done); o.err != errNoLink {
		t.Errorf("the second: %+v", o)
	}
	if inTime(t, "the end of the link", in.link.link.broken); in.link.link.why != errAnsweredTwice {
		t.Errorf("it broke because of %q", in.link.link.why)
	}
	if got := inTime(t, "a later call", ask(t.Context(), in, Request{})); got.s.Key != "portable" || len(p.calls) != 1 {
		t.Errorf("a later call: %+v", got)
	}
}

func TestALinkToASinkThatLies(t *testing.T) {
	for name, says := range map[string][]byte{
		"no frame":               []byte("HTTP/1.1 200 OK\r\n\r\n"),
		"an unknown call":        framed(frame.Answer, 2, 0, 0),
		"bytes to spare":         framed(frame.Answer, 1, 0, 0, 0),
		"too little":             framed(frame.Answer, 1, 0),
		"a text cut off":         framed(frame.Answer, 1, 3, 5, []byte("four")),
		"the answer of an input": framed(frame.Answer, 1, answerOf(upTo(1), "k")),
		"far too much":           header(math.MaxUint32),
		"nothing":                nil,
	} {
		t.Run(name, func(t *testing.T) {
			host, plugin := sockets(t)
			sink, p := sinkAt(t, host, planeLimit)
			written := make(chan error, 1)
			batches := []Batch{{{Metric: "a"}}, {{Metric: "b"}}, nil}
			go func() { written <- sink.WriteAll(t.Context(), batches) }()
			if kind, call, _, err := frame.Read(bufio.NewReader(plugin), planeLimit); kind != frame.Call || call != 1 || err != nil {
				t.Fatalf("call %d of kind %d: %v", call, kind, err)
			}
			_, _ = plugin.Write(says)
			_ = plugin.Close()
			if err := inTime(t, "the call", written); err != nil || len(p.calls) != len(batches) {
				t.Errorf("the call: %v, and %d calls over the portable plane", err, len(p.calls))
			}
			inTime(t, "the end of the link", sink.link.broken)
			if err := sink.Write(t.Context(), batches[0]); err != nil || len(p.calls) != len(batches)+1 {
				t.Errorf("a later call: %v", err)
			}
		})
	}
}

// An answer to a call that was answered is no answer, and neither is one to a call
// that was given up and answered then.
func TestALinkThatAnswersACallTwice(t *testing.T) {
	host, plugin := sockets(t)
	sink, _ := sinkAt(t, host, planeLimit)
	ctx, cancel := context.WithCancel(t.Context())
	written := make(chan error, 1)
	go func() { written <- sink.Write(ctx, Batch{{Metric: "a"}}) }()
	far := farEndOf(t, plugin)
	if _, _, _, err := frame.Read(far.r, planeLimit); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := inTime(t, "the call", written); err != context.Canceled {
		t.Error(err)
	}
	if got := far.cancelled(); got != 1 {
		t.Errorf("call %d is cancelled", got)
	}
	far.say(frame.Answer, 1, 0, 0)
	go func() { written <- sink.Write(t.Context(), Batch{{Metric: "b"}}) }()
	if _, call, _, err := frame.Read(far.r, planeLimit); err != nil || call != 2 {
		t.Fatalf("call %d, %v: a late answer has broken the link", call, err)
	}
	far.say(frame.Answer, 1, 0, 0)
	inTime(t, "the end of the link", sink.link.broken)
	if err := inTime(t, "the call", written); err != nil {
		t.Error(err)
	}
}

// A plugin that answers nothing is given a bounded number of calls.
func TestCallsThatAreNeverAnsweredAreBounded(t *testing.T) {
	host, plugin := sockets(t)
	sink, p := sinkAt(t, host, planeLimit)
	go func() {
		buffer := make([]byte, 1<<20)
		for {
			if _, err := plugin.Read(buffer); err != nil {
				return
			}
		}
	}()
	for range maxCalls {
		if _, ok := sink.link.begin(writing{make(chan error, 2)}); !ok {
			t.Fatal("a call is refused too early")
		}
	}
	if err := sink.Write(t.Context(), Batch{{Metric: "a"}}); err != nil || len(p.calls) != 1 {
		t.Errorf("one more: %v, and %d calls over the portable plane", err, len(p.calls))
	}
	sink.link.forget(1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := sink.Write(ctx, Batch{{Metric: "a"}}); err != context.DeadlineExceeded {
		t.Errorf("one that has room: %v", err)
	}
}
