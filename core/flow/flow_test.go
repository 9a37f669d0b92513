package flow

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"fluxgate/sdk"
)

const now = 1478021760

// memory is a ledger and both journals: it keeps everything.
type memory struct {
	last    map[string]int64
	stored  sdk.Batch
	beats   []string
	fault   error // of the journals
	stuck   bool  // nothing is delivered
	awaited int   // how often delivery was
}

func (m *memory) Look(b sdk.Batch) func() (sdk.Batch, func(error) error) {
	return func() (fresh sdk.Batch, _ func(error) error) {
		for _, d := range b {
			if d.Timestamp > m.last[d.Metric] {
				fresh = append(fresh, d)
			}
		}
		return fresh, func(err error) error {
			for _, d := range fresh {
				if err == nil {
					m.last[d.Metric] = d.Timestamp
				}
			}
			return err
		}
	}
}

func (m *memory) Beat(name string) { m.beats = append(m.beats, name) }

func (m *memory) Append(b sdk.Batch) (kept func() error, delivered func(context.Context) error) {
	return func() error {
			if m.fault == nil {
				m.stored = append(m.stored, b...)
			}
			return m.fault
		}, func(ctx context.Context) error {
			m.awaited++
			if m.stuck {
				<-ctx.Done()
				return errors.New("sink has not taken it")
			}
			return nil
		}
}

// submits is an input that reads the same submission from every request.
type submits sdk.Submission

func (s submits) Decode(context.Context, sdk.Request) (sdk.Submission, error) {
	s.Batch, s.Backfill = slices.Clone(s.Batch), slices.Clone(s.Backfill)
	return sdk.Submission(s), nil
}

type refuses struct{ error }

func (r refuses) Decode(context.Context, sdk.Request) (sdk.Submission, error) {
	return sdk.Submission{}, r.error
}

func point(metric string, timestamp int64) sdk.Batch {
	return sdk.Batch{{Metric: metric, Timestamp: timestamp, Value: 1}}
}

func newTestFlow(m *memory) *Flow {
	var keys Keys
	err := errors.Join(keys.Add("k", Grant{}), keys.Add("acme", Grant{Prefix: "acme"}), keys.Add("sure", Grant{Ack: AckDelivered}))
	if err != nil {
		panic(err)
	}
	f := &Flow{
		Ledger: m, Journal: m, Fill: m,
		Now: func() time.Time { return time.Unix(now, 0) }, Books: NewBooks(prometheus.NewRegistry()),
	}
	f.Admit(Terms{keys, Window{time.Hour, time.Minute}})
	return f
}

func TestAccept(t *testing.T) {
	full := sdk.Unavailablef("the journal is full")
	tests := []struct {
		name   string
		in     sdk.Input
		method string
		fault  error
		status int
		err    string
		stored []string // names
		last   int64    // of a.b, which has now-60
	}{
		{name: "fresh", in: submits{Key: "k", Batch: point("a.b", now)}, status: 204, stored: []string{"a.b"}, last: now},
		{name: "seen before", in: submits{Key: "k", Batch: point("a.b", now-60)}, status: 204},
		{name: "canonical before it is judged", in: submits{Key: "k", Batch: point(".a..b", now-60)}, status: 204},
		{name: "prefix", in: submits{Key: "acme", Batch: point("a.b", now)}, status: 204, stored: []string{"acme.a.b"}},
		{name: "wrong key", in: submits{Key: "x", Batch: point("a.b", now), Invalid: "told later"}, err: "invalid key"},
		{name: "wrong key asks about itself", in: submits{Key: "x", KeyCheck: true}, err: "invalid key"},
		{name: "right key asks about itself", in: submits{Key: "k", KeyCheck: true, Invalid: "not looked at"}, status: 200},
		{name: "refused behind the key", in: submits{Key: "k", Invalid: "no metric data passed"}, err: "invalid: no metric data passed"},
		{name: "refused before the key", in: refuses{sdk.Invalidf("no key passed")}, err: "invalid: no key passed"},
		{name: "the first fault is told", in: submits{Key: "k", Batch: point("a;b", now), Invalid: "second"},
			err: "invalid: invalid metric - a;b - invalid characters in name"},
		{name: "name before timestamp", in: submits{Key: "k", Batch: point("a;b", 1)},
			err: "invalid: invalid metric - a;b - invalid characters in name"},
		{name: "all or nothing", in: submits{Key: "k", Batch: append(point("a.b", now), point("c", 1)...)},
			err: "invalid: invalid timestamp - 1 - timestamp is not a valid current unix timestamp"},
		{name: "the item is named where there may be several", method: "POST", in: submits{Key: "k", Batch: point("c", now+61)},
			err: `invalid: invalid timestamp - 1478021821 - timestamp is more than 1 minute in the future - {'metric': "c", 'timestamp': 1478021821, 'value': 1}`},
		{name: "backfill of any age", in: submits{Key: "k", Backfill: point("a.b", 123)}, status: 204, stored: []string{"a.b"}},
		{name: "backfill of none", in: submits{Key: "k", Backfill: point("a.b", 0)},
			err: "invalid: invalid timestamp"},
		{name: "backfill of none among several", method: "POST", in: submits{Key: "k", Backfill: point("a.b", 1<<32)},
			err: `invalid: invalid timestamp - 4294967296 - timestamp is not between 1 and 4294967295 - {'metric': "a.b", 'timestamp': 4294967296, 'value': 1}`},
		{name: "not a number", in: submits{Key: "k", Batch: sdk.Batch{{Metric: "c", Timestamp: now, Value: math.NaN()}}},
			err: "invalid: invalid value - NaN"},
		{name: "dry run", in: submits{Key: "k", Batch: point("a.b", now), DryRun: true}, status: 200},
		{name: "dry run is judged", in: submits{Key: "k", Batch: point("a;b", now), DryRun: true},
			err: "invalid: invalid metric - a;b - invalid characters in name"},
		{name: "journal full", in: submits{Key: "k", Batch: point("a.b", now)}, fault: full, err: "unavailable: the journal is full"},
		{name: "journal full for backfill", in: submits{Key: "k", Batch: point("a.b", now), Backfill: point("c", 5)}, fault: full,
			err: "unavailable: the journal is full"},
		{name: "reply needs no key", in: submits{Reply: &sdk.Reply{Status: 207}}, status: 207},
		{name: "reply with no status", in: submits{Reply: &sdk.Reply{Status: 42}}, err: "the input replied with a status that is none"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := &memory{last: map[string]int64{"a.b": now - 60}, fault: tt.fault}
			if tt.method == "" {
				tt.method = "GET"
			}
			answer, err := newTestFlow(m).Accept(t.Context(), tt.in, sdk.Request{Method: tt.method})
			text := ""
			if err != nil {
				text = err.Error()
			}
			if answer.Status != tt.status || text != tt.err {
				t.Errorf("answered %d, %q; want %d, %q", answer.Status, text, tt.status, tt.err)
			}
			var names []string
			for _, d := range m.stored {
				names = append(names, d.Metric)
			}
			if !slices.Equal(names, tt.stored) {
				t.Errorf("stored %v, want %v", names, tt.stored)
			}
			if want := max(tt.last, now-60); m.last["a.b"] != want {
				t.Errorf("the ledger has %d for a.b, want %d", m.last["a.b"], want)
			}
		})
	}
}

func TestWindow(t *testing.T) {
	w := Window{time.Hour, time.Minute}
	for timestamp, want := range map[int64]string{
		now: "", now - 3600: "", now + 60: "",
		now - 3601:     "too old, older than 3600 seconds",
		now + 61:       "more than 1 minute in the future",
		-now:           "not a valid current unix timestamp",
		999_999_999:    "not a valid current unix timestamp",
		10_000_000_000: "not a valid current unix timestamp",
	} {
		err := w.refuse(timestamp, now)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("timestamp %d: %v, want %q", timestamp, err, want)
		}
	}
	for ahead, want := range map[time.Duration]string{90 * time.Second: "90 seconds", 5 * time.Minute: "5 minutes", 0: "0 seconds"} {
		if err := (Window{time.Hour, ahead}).refuse(now+1000, now); !strings.Contains(err.Error(), "more than "+want+" in") {
			t.Errorf("max_ahead %v: %v", ahead, err)
		}
	}
}

func TestHealthCheckIsASignOfLife(t *testing.T) {
	m := &memory{}
	f := newTestFlow(m)
	for _, status := range []int{200, 204, 400} {
		if _, err := f.Accept(t.Context(), submits{Reply: &sdk.Reply{Status: status}}, sdk.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(m.beats, []string{"flux.listen"}) {
		t.Errorf("beats are %v, want one flux.listen", m.beats)
	}
}

func TestDryRunReport(t *testing.T) {
	m := &memory{last: map[string]int64{}}
	in := submits{Key: "acme", DryRun: true, Batch: append(point("a", now), point("b", now)...), Backfill: point("c", 5)}
	answer, err := newTestFlow(m).Accept(t.Context(), in, sdk.Request{Method: "POST"})
	want := `{"namespace":"acme","message":"metric ingestion test, no metrics were ingested only counts are reported",` +
		`"ingest_count":3,"drop_count":0,"metrics":"['acme.a', 'acme.b', 'acme.c']","dropped":"[]"}`
	if err != nil || string(answer.Body) != want {
		t.Errorf("got %s, %v; want %s", answer.Body, err, want)
	}
}

func TestBooks(t *testing.T) {
	m := &memory{last: map[string]int64{"a": now}}
	f := newTestFlow(m)
	for _, s := range []submits{
		{Key: "k", Batch: append(point("a", now), point("b", now)...), Backfill: point("c", 5)},
		{Key: "x", Batch: append(point("a", now), point("b", now)...)},
		{Key: "k", Invalid: "it"},
	} {
		_, _ = f.Accept(t.Context(), s, sdk.Request{}) // the answers are other tests' subject
	}
	for name, c := range map[string]prometheus.Counter{
		"2 accepted": f.Books.accepted, "1 duplicate": f.Books.duplicate,
		"2 refused for the key": f.Books.refused.WithLabelValues("key"), "1 refused as invalid": f.Books.refused.WithLabelValues("invalid"),
	} {
		if got := testutil.ToFloat64(c); string(rune('0'+int(got))) != name[:1] {
			t.Errorf("counted %v, want %s", got, name)
		}
	}
}

// stuck is an input that never answers by itself.
type stuck struct{}

func (stuck) Decode(ctx context.Context, _ sdk.Request) (sdk.Submission, error) {
	<-ctx.Done()
	return sdk.Submission{}, ctx.Err()
}

func TestInputThatDoesNotAnswerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		f := newTestFlow(&memory{})
		_, err := f.Accept(context.Background(), stuck{}, sdk.Request{})
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != decodeTimeout {
			t.Errorf("told %v after %v, want a deadline after %v", err, took, decodeTimeout)
		}
		if n := testutil.ToFloat64(f.Books.refused.WithLabelValues("unavailable")); n != 1 || !errors.Is(err, sdk.ErrUnavailable) {
			t.Errorf("told %v, and %v are counted as unavailable", err, n)
		}
	})
}

// What the one who asks gives up is not the input's.
func TestEndOfTheCallerIsNoneOfTheInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late, end := context.WithTimeout(context.Background(), decodeTimeout/2)
		defer end()
		gone, leave := context.WithCancel(context.Background())
		leave()
		for _, ctx := range []context.Context{late, gone} {
			if _, err := newTestFlow(&memory{}).Accept(ctx, stuck{}, sdk.Request{}); err != ctx.Err() {
				t.Errorf("told %v, want %v", err, ctx.Err())
			}
		}
	})
}

func TestAcknowledgement(t *testing.T) {
	tests := []struct {
		name, key, header string
		stuck             bool
		awaited           int
		err               string
	}{
		{name: "durable unless said otherwise", key: "k", stuck: true},
		{name: "by key", key: "sure", awaited: 2},
		{name: "by header", key: "k", header: "delivered", awaited: 2},
		{name: "a header does not weaken", key: "sure", header: "durable", awaited: 2},
		{name: "a header may say what holds", key: "k", header: "durable", stuck: true},
		{name: "no such acknowledgement", key: "k", header: "memory",
			err: `invalid: header X-Fluxgate-Ack: "memory" is no acknowledgement: it is durable or delivered`},
		{name: "not delivered in time", key: "sure", stuck: true, awaited: 2,
			err: "unavailable: accepted, not yet delivered: sink has not taken it\nsink has not taken it"},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			m := &memory{last: map[string]int64{}, stuck: tt.stuck}
			f := newTestFlow(m)
			began := time.Now()
			in := submits{Key: tt.key, Batch: point("a", now), Backfill: point("b", 5)}
			_, err := f.Accept(t.Context(), in, sdk.Request{Header: http.Header{AckHeader: {tt.header}}})
			if text := fmt.Sprint(err); text != tt.err && !(err == nil && tt.err == "") {
				t.Errorf("%s: told %q, want %q", tt.name, text, tt.err)
			}
			if m.awaited != tt.awaited {
				t.Errorf("%s: delivery was awaited %d times, want %d", tt.name, m.awaited, tt.awaited)
			}
			if took := time.Since(began); tt.stuck && tt.awaited > 0 != (took == deliveryTimeout) {
				t.Errorf("%s: answered after %v", tt.name, took)
			}
			if accepted := testutil.ToFloat64(f.Books.accepted); (accepted == 2) != (tt.header != "memory") {
				t.Errorf("%s: %v accepted", tt.name, accepted)
			}
		})
	}
}

func TestDuplicatesAloneAreAwaitedToo(t *testing.T) {
	m := &memory{last: map[string]int64{"a": now}}
	if _, err := newTestFlow(m).Accept(t.Context(), submits{Key: "sure", Batch: point("a", now)}, sdk.Request{}); err != nil {
		t.Fatal(err)
	}
	if m.awaited != 1 || len(m.stored) != 0 {
		t.Errorf("awaited %d times, stored %v", m.awaited, m.stored)
	}
}
