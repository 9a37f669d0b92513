package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"testing"
	"time"

	"fluxgate/sdk"
)

// realMetrics returns the body of a POST of n metrics of about 106 bytes each.
func realMetrics(n int) []byte {
	b := []byte(`{"key": "self0123456789abcdefghijABCDEFGH", "metrics": [`)
	for i := range n {
		if i > 0 {
			b = append(b, ", "...)
		}
		name := fmt.Sprintf("vista.nodes.web-%04d.cpu.%s", i, [...]string{"percent.user", "percent.system", "load.average.15"}[i%3])
		b = fmt.Appendf(b, `{"metric": %q, "timestamp": %d, "value": %.3f}`, name, 1478021700+i%60, 4567.775+float64(i*i)/7)
	}
	return append(b, "]}"...)
}

const (
	realMetric = `{"metric": "vista.nodes.web-0001.cpu.percent.user", "timestamp": 1478021700, "value": 4567.775, "key": "self0123456789abcdefghijABCDEFGH"}`
	realQuery  = "metric=vista.nodes.web-0001.cpu.percent.user&value=4567.775&timestamp=1478021700&key=self0123456789abcdefghijABCDEFGH"
)

// A standardBody is a body as encoding/json reads it.
type standardBody struct {
	standardItem
	Key     string
	Metrics []standardItem
}

type standardItem struct {
	Metric    string
	Timestamp int64
	Value     float64
}

func standardDecode(r sdk.Request) error { return json.Unmarshal(r.Body, new(standardBody)) }

func standardQuery(r sdk.Request) error {
	q, err := url.ParseQuery(r.Query)
	if err != nil {
		return err
	}
	if _, err = strconv.ParseInt(q.Get("timestamp"), 10, 64); err != nil {
		return err
	}
	_, err = strconv.ParseFloat(q.Get("value"), 64)
	return err
}

// BenchmarkDecode tells the time for each datapoint, and its share of what the
// standard library needs for the same bytes, measured right afterwards.
func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		name     string
		metrics  int
		request  sdk.Request
		standard func(sdk.Request) error
		share    string
	}{
		{"get", 1, sdk.Request{Method: "GET", Query: realQuery}, standardQuery, "of-net/url"},
		{"post=1", 1, sdk.Request{Method: "POST", Body: []byte(realMetric)}, standardDecode, "of-encoding/json"},
		{"post=450", 450, sdk.Request{Method: "POST", Body: realMetrics(450)}, standardDecode, "of-encoding/json"},
		{"post=450,careful", 450, sdk.Request{Method: "POST", Body: append([]byte("\uFEFF"), realMetrics(450)...)}, nil, ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			in := &input{now: time.Now}
			b.ReportAllocs()
			b.SetBytes(int64(len(c.request.Body) + len(c.request.Query)))
			for b.Loop() {
				s, err := in.Decode(b.Context(), c.request)
				if err != nil || s.Invalid != "" || len(s.Batch) != c.metrics {
					b.Fatal(len(s.Batch), s.Invalid, err)
				}
				in.Recycle(s)
			}
			spent := b.Elapsed()
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N*c.metrics), "ns/datapoint")
			if c.standard != nil {
				b.ReportMetric(spent.Seconds()/timeOf(b, c.standard, c.request).Seconds(), c.share)
			}
		})
	}
}

// timeOf returns how long b.N calls of f would take, from a tenth of them.
func timeOf(b *testing.B, f func(sdk.Request) error, r sdk.Request) time.Duration {
	n := max(1, b.N/10)
	start := time.Now()
	for range n {
		if err := f(r); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start) * time.Duration(b.N) / time.Duration(n)
}
