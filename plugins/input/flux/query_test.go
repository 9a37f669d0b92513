package main

import (
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"fluxgate/sdk"
)

const (
	then = 1478021700 // the timestamp in the tests
	now  = 1478021760 // the time of their requests
)

// point is the batch of one datapoint.
func point(metric string, timestamp int64, value float64) sdk.Batch {
	return sdk.Batch{{Metric: metric, Timestamp: timestamp, Value: value}}
}

func TestQuery(t *testing.T) {
	testHeader := http.Header{"X-Test-Only": {""}}
	for _, c := range []struct {
		name, query string
		header      http.Header
		want        sdk.Submission
	}{
		{"all four", "metric=a.b&value=1&timestamp=1478021700&key=k", nil,
			sdk.Submission{Key: "k", Batch: point("a.b", then, 1)}},
		{"any order", "key=k&timestamp=1478021700&value=1&metric=a.b", nil,
			sdk.Submission{Key: "k", Batch: point("a.b", then, 1)}},
		{"no timestamp: now", "metric=a.b&value=1&key=k", nil, sdk.Submission{Key: "k", Batch: point("a.b", now, 1)}},
		{"the name goes on as sent", "metric=.a..b%27%2A.&value=1&key=k", nil,
			sdk.Submission{Key: "k", Batch: point(".a..b'*.", now, 1)}},
		{"a plus is a blank, in numbers too", "metric=a+b&value=+7&timestamp=+1478021700&key=k", nil,
			sdk.Submission{Key: "k", Batch: point("a b", then, 7)}},
		{"decoded once", "metric=a%252Eb&value=1&key=k", nil, sdk.Submission{Key: "k", Batch: point("a%2Eb", now, 1)}},
		{"names are decoded", "m%65tric=a&val%75e=1&key=k", nil, sdk.Submission{Key: "k", Batch: point("a", now, 1)}},
		{"broken escapes stay", "metric=%%41%zz%4&value=1&key=100%", nil,
			sdk.Submission{Key: "100%", Batch: point("%A%zz%4", now, 1)}},
		{"a semicolon is text", "metric=a;value=2&value=1&key=k", nil,
			sdk.Submission{Key: "k", Batch: point("a;value=2", now, 1)}},
		{"empty parts are skipped", "&metric=a&&value=1&key=k&", nil, sdk.Submission{Key: "k", Batch: point("a", now, 1)}},
		{"only the first equals sign divides", "metric=a=b&value=1&key=k", nil,
			sdk.Submission{Key: "k", Batch: point("a=b", now, 1)}},
		{"bytes that are not UTF-8", "metric=a%ff\xfe&value=1&key=k\xff", nil,
			sdk.Submission{Key: "k\uFFFD", Batch: point("a\uFFFD", now, 1)}},
		{"raw bytes that are not UTF-8", "metric=a\xfe&value=1&key=k\xc3", nil,
			sdk.Submission{Key: "k\uFFFD", Batch: point("a\uFFFD", now, 1)}},
		{"raw bytes that are UTF-8", "metric=é&value=1&key=k", nil, sdk.Submission{Key: "k", Batch: point("é", now, 1)}},
		{"the key header is not read", "metric=a&value=1&key=k", http.Header{"Key": {"other"}},
			sdk.Submission{Key: "k", Batch: point("a", now, 1)}},

		{"fill", "metric=a&value=1&timestamp=123&fill=true&key=k", nil,
			sdk.Submission{Key: "k", Backfill: point("a", 123, 1)}},
		{"fill at the front", "fill=true&metric=a&value=1&timestamp=123&key=k", nil,
			sdk.Submission{Key: "k", Backfill: point("a", 123, 1)}},
		{"fill without timestamp: now", "metric=a&value=1&fill=true&key=k", nil,
			sdk.Submission{Key: "k", Backfill: point("a", now, 1)}},
		{"fill=True is no", "metric=a&value=1&fill=True&key=k", nil, sdk.Submission{Key: "k", Batch: point("a", now, 1)}},
		{"fill without value is no", "metric=a&value=1&fill&key=k", nil, sdk.Submission{Key: "k", Batch: point("a", now, 1)}},
		{"fill twice is no", "metric=a&value=1&fill=true&fill=true&key=k", nil,
			sdk.Submission{Key: "k", Batch: point("a", now, 1)}},

		{"test", "metric=a&value=1&test=true&key=k", nil,
			sdk.Submission{Key: "k", DryRun: true, Batch: point("a", now, 1)}},
		{"test=True is no", "metric=a&value=1&test=True&key=k", nil, sdk.Submission{Key: "k", Batch: point("a", now, 1)}},
		{"test=false is no", "metric=a&value=1&test=false&key=k", nil, sdk.Submission{Key: "k", Batch: point("a", now, 1)}},
		{"test twice is no", "metric=a&value=1&test=true&test=true&key=k", nil,
			sdk.Submission{Key: "k", Batch: point("a", now, 1)}},
		{"test by an empty header", "metric=a&value=1&key=k", testHeader,
			sdk.Submission{Key: "k", DryRun: true, Batch: point("a", now, 1)}},
		{"test by a header that says false", "metric=a&value=1&key=k", http.Header{"X-Test-Only": {"false"}},
			sdk.Submission{Key: "k", DryRun: true, Batch: point("a", now, 1)}},

		{"status", "status=true", nil, healthy()},
		{"status without value, behind a whole metric", "metric=a&value=abc&key=k&status", nil, healthy()},
		{"status in front", "status=&metric=a&timestamp=x&value=1&key=k", nil, healthy()},
		{"status twice", "status=1&status=2", nil, healthy()},

		{"blank key", "metric=a&value=1&key=", nil, sdk.Submission{Batch: point("a", now, 1)}},
		{"key twice is none", "metric=a&value=1&key=k&key=k", nil, sdk.Submission{Batch: point("a", now, 1)}},
	} {
		got, err := decodeQuery(c.query, c.header, now, new(lists))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %q:\ngot  %+v, %v\nwant %+v", c.name, c.query, got, err, c.want)
		}
	}
}

func TestQueryFaults(t *testing.T) {
	for _, c := range []struct {
		name, query, invalid string
		batch, backfill      sdk.Batch
	}{
		{"no metric", "value=1&key=k", "no metric parameter passed", nil, nil},
		{"blank metric", "metric=&value=1&key=k", "no metric parameter passed", nil, nil},
		{"no metric before a bad timestamp", "timestamp=x&value=x&key=k", "no metric parameter passed", nil, nil},
		{"metric twice", "metric=a&metric=b&value=1&key=k", "invalid metric - ['a', 'b'] - invalid characters in name", nil, nil},
		{"blank metric twice", "metric=&metric=&value=1&key=k", "invalid metric - ['', ''] - invalid characters in name", nil, nil},
		{"word for timestamp", "metric=a&timestamp=abc&value=1&key=k", "invalid timestamp - abc - timestamp is not an int", nil, nil},
		{"blank timestamp", "metric=a&timestamp=&value=1&key=k", "invalid timestamp -  - timestamp is not an int", nil, nil},
		{"timestamp as sent", "metric=a&timestamp=%201.5+&value=1&key=k", "invalid timestamp -  1.5  - timestamp is not an int", nil, nil},
		{"timestamp twice", "metric=a&timestamp=1&timestamp=2&value=1&key=k",
			"invalid timestamp - ['1', '2'] - timestamp is not an int", nil, nil},
		{"timestamp beyond int64", "metric=a&timestamp=%2B99999999999999999999&value=1&key=k",
			"invalid timestamp - +99999999999999999999 - timestamp is not a valid current unix timestamp", nil, nil},
		{"bad timestamp before a bad value", "metric=a&value=bad&timestamp=bad&key=k",
			"invalid timestamp - bad - timestamp is not an int", nil, nil},
		{"bad timestamp of a fill", "metric=a&timestamp=abc&value=1&fill=true&key=k", "invalid timestamp", nil, nil},
		{"timestamp of a fill beyond int64", "metric=a&timestamp=99999999999999999999&value=1&fill=true&key=k", "invalid timestamp", nil, nil},
		{"timestamp of a fill twice", "metric=a&timestamp=1&timestamp=1&value=1&fill=true&key=k", "invalid timestamp", nil, nil},
		{"no value: the datapoint is told", "metric=a&timestamp=1478021700&key=k", "no value parameter passed", point("a", then, 0), nil},
		{"no value of a fill", "metric=a&timestamp=123&fill=true&key=k", "no value parameter passed", nil, point("a", 123, 0)},
		{"blank value", "metric=a&value=&key=k", "invalid value - ", point("a", now, 0), nil},
		{"word for value", "metric=a&value=true&key=k", "invalid value - true", point("a", now, 0), nil},
		{"value as sent", "metric=a&value=+1_000%09&key=k", "invalid value -  1_000\t", point("a", now, 0), nil},
		{"value too big", "metric=a&value=1e400&key=k", "invalid value - 1e400", point("a", now, 0), nil},
		{"value twice", "metric=a&value=1&value=2&key=k", "invalid value - ['1', '2']", point("a", now, 0), nil},
		{"value thrice", "metric=a&value=1&value=2&value=&key=k", "invalid value - ['1', '2', '']", point("a", now, 0), nil},
		{"long value is cut", "metric=a&key=k&value=" + strings.Repeat("x", 2000),
			"invalid value - " + strings.Repeat("x", 1021) + "...", point("a", now, 0), nil},
	} {
		want := sdk.Submission{Key: "k", Invalid: c.invalid, Batch: c.batch, Backfill: c.backfill}
		got, err := decodeQuery(c.query, nil, now, new(lists))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q:\ngot  %+v, %v\nwant %+v", c.name, c.query, got, err, want)
		}
	}
}

func TestQueryWithoutKey(t *testing.T) {
	for _, c := range []struct{ name, query, want string }{
		{"empty", "", "no key parameter passed"},
		{"no key", "metric=a&value=1", "no key parameter passed"},
		{"semicolons do not separate", "metric=a;value=1;key=k", "no key parameter passed"},
		{"the first unknown parameter", "metric=a&foo=1&bar=2&key=k", "Invalid parameter received - foo"},
		{"unknown behind the key", "metric=a&value=1&key=k&foo", "Invalid parameter received - foo"},
		{"unknown beside status", "status=true&foo=1", "Invalid parameter received - foo"},
		{"other case", "metric=a&value=1&KEY=k", "Invalid parameter received - KEY"},
		{"unknown name, decoded", "a%20b%FF=1", "Invalid parameter received - a b\uFFFD"},
		{"no name", "=1&key=k", "Invalid parameter received - "},
		{"long name", strings.Repeat("é", 2000), "Invalid parameter received - " + strings.Repeat("é", 510) + "..."},
	} {
		got, err := decodeQuery(c.query, nil, now, new(lists))
		refused(t, c.name, err, c.want)
		if !reflect.DeepEqual(got, sdk.Submission{}) {
			t.Errorf("%s: submission %+v beside the refusal", c.name, got)
		}
	}
}

func FuzzQuery(f *testing.F) {
	f.Fuzz(func(t *testing.T, query string) {
		s, err := decodeQuery(query, nil, now, new(lists))
		p, _ := readQuery(query)
		sane(t, s, err)
		if err != nil || s.Reply != nil {
			return
		}
		if n := len(s.Batch) + len(s.Backfill); n > 1 || (s.Invalid == "" && n != 1) {
			t.Errorf("%q: %d datapoints", query, n)
		}
		standard, err := url.ParseQuery(query)
		if err != nil {
			return // semicolons and broken escapes are errors there
		}
		for name, want := range standard {
			for i := range want {
				want[i] = strings.ToValidUTF8(want[i], "\uFFFD")
			}
			got := p.named(strings.ToValidUTF8(name, "\uFFFD"))
			if got == nil || !reflect.DeepEqual(append([]string{got.value}, got.more...), want) {
				t.Errorf("%q: parameter %q is %+v, want %q", query, name, got, want)
			}
		}
	})
}

// sane checks what holds for every decoded request.
func sane(t *testing.T, s sdk.Submission, err error) {
	t.Helper()
	message := s.Invalid
	if err != nil {
		message = err.Error()
	}
	if !utf8.ValidString(message) || len(message) > 3*maxQuote {
		t.Errorf("message of %d bytes: %q", len(message), message)
	}
	if err != nil || s.Reply != nil {
		if s.Key != "" || s.Batch != nil || s.Backfill != nil || s.Invalid != "" || s.KeyCheck {
			t.Errorf("a submission beside an answer: %+v, %v", s, err)
		}
		return
	}
	for _, b := range []sdk.Batch{s.Batch, s.Backfill} {
		for _, d := range b {
			if math.IsNaN(d.Value) || math.IsInf(d.Value, 0) || !utf8.ValidString(d.Metric) {
				t.Errorf("let %+v through", d)
			}
		}
	}
}
