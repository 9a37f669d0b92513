package main

import (
	"bytes"
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

// BenchmarkDecode tells the time for each datapoint, and which share that is of
// what the standard library needs for the same bytes.
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
		{"post=450,unusual", 450, sdk.Request{Method: "POST", Body: bytes.Replace(realMetrics(450), []byte(`"key"`), []byte(`"x":{},"key"`), 1)},
			standardDecode, "of-encoding/json"},
	} {
		in := &input{now: time.Now}
		decode := func(r sdk.Request) error {
			s, err := in.Decode(b.Context(), r)
			if err != nil || len(s.Batch) != c.metrics {
				return fmt.Errorf("%d datapoints, %s, %w", len(s.Batch), s.Invalid, err)
			}
			in.Recycle(s)
			return nil
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.request.Body) + len(c.request.Query)))
			for b.Loop() {
				if err := decode(c.request); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.metrics), "ns/datapoint")
			b.ReportMetric(share(b, c.request, decode, c.standard), c.share)
		})
	}
}

// share returns the time of a as a share of that of standard, in short turns.
func share(b *testing.B, r sdk.Request, a, standard func(sdk.Request) error) float64 {
	var spent [2]time.Duration
	for range 20 {
		for i, f := range [...]func(sdk.Request) error{a, standard} {
			start := time.Now()
			for range max(1, b.N/50) {
				if err := f(r); err != nil {
					b.Fatal(err)
				}
			}
			spent[i] += time.Since(start)
		}
	}
	return spent[0].Seconds() / spent[1].Seconds()
}
