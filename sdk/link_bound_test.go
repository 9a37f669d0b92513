package sdk

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk/internal/frame"
)

// A request takes as much of a frame as it is counted for.
func TestRequestsAreCountedAsTheyAreWritten(t *testing.T) {
	s := newSource(7)
	for range 100 {
		group := make([]*decoding, 1+s.IntN(5))
		want := callSize
		for i := range group {
			group[i] = &decoding{request: s.request()}
			want += requestSize(&group[i].request)
		}
		if _, _, length := appendCall(nil, 1, group); length != want {
			t.Fatalf("%d requests take %d bytes, and are counted for %d", len(group), length, want)
		}
	}
}

// Whatever is long about requests, a frame with several has no more than it should,
// and none goes over the portable plane for the sake of others.
func TestFramesOfSeveralRequestsAreBounded(t *testing.T) {
	const part = 60 << 10
	long := strings.Repeat("x", part)
	for name, r := range map[string]Request{
		"route":   {Route: long},
		"method":  {Method: long},
		"query":   {Query: long},
		"names":   {Header: http.Header{long: {}}},
		"values":  {Header: http.Header{"A": {long[:part/2], long[:part/2]}}},
		"headers": {Header: http.Header{"A": make([]string, part/4)}},
		"body":    {Body: []byte(long)},
	} {
		for _, limit := range []int{planeLimit, 4 * part} {
			t.Run(name, func(t *testing.T) { sendMany(t, r, part, limit) })
		}
	}
}

// sendMany has requests of at least so many bytes wait for the same frame.
func sendMany(t *testing.T, r Request, size, limit int) {
	host, plugin := sockets(t)
	in, p := inputAt(t, host, limit)
	in.link.overdue = time.Hour
	far := farEndOf(t, plugin)
	const many = 40
	all := []<-chan asked{ask(t.Context(), in, Request{})}
	call, _ := far.requests()
	for i := range many {
		all = append(all, ask(t.Context(), in, r))
		eventually(t, "it waits", func() bool { return waitingFor(in.link) == i+1 })
	}
	far.answer(call, upTo(1), "")
	for got := 0; got < many; {
		call, requests := far.requests()
		got += len(requests)
		if most := min(maxGathered, limit) / size; len(requests) > most {
			t.Errorf("%d requests of %d bytes leave together, want at most %d", len(requests), size, most)
		}
		far.answer(call, upTo(len(requests)), "")
	}
	for _, one := range all {
		if got := inTime(t, "the answer", one); got.err != nil || got.s.Key != "" {
			t.Errorf("%+v", got)
		}
	}
	if len(p.calls) > 0 {
		t.Errorf("%d calls went over the portable plane", len(p.calls))
	}
}

// All values of a request's headers share one slice.
func TestHeadersTakeLittle(t *testing.T) {
	reading := func(headers int) float64 {
		h := make(http.Header)
		for i := range headers {
			h[string(rune('A'+i))] = []string{"v"}
		}
		call := callOf(Request{Header: h})
		return testing.AllocsPerRun(100, func() {
			c := frame.Parts(call[4:])
			readRequest(&c)
		})
	}
	if one, several := reading(1), reading(8); several > one {
		t.Errorf("%v allocations for 8 headers, want %v as for one", several, one)
	}
}

// A list of datapoints that has become long is not used again.
func TestLongListsAreNotKept(t *testing.T) {
	for range 10 {
		list := lists.Get().(*[]Datapoint)
		keepList(list, make(Batch, 1<<20))
	}
	for range 20 {
		if list := lists.Get().(*[]Datapoint); cap(*list) > 1<<19 {
			t.Fatalf("a list of %d datapoints is kept", cap(*list))
		}
	}
}
