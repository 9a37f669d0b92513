package main

import (
	"bytes"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

func newInput() *input { return &input{now: func() time.Time { return time.Unix(now, 0) }} }

// decode reads a body as the plugin does, and checks that it makes no difference
// whether the scanner takes the body.
func decode(t *testing.T, body []byte, header http.Header) (sdk.Submission, error) {
	t.Helper()
	want, wantErr := decodeBody(body, header, now)
	scanned, taken := scanBody(body, header, now, new(lists))
	if taken && (wantErr != nil || !reflect.DeepEqual(scanned, want) || !sameBatch(scanned.Batch, want.Batch) || !sameBatch(scanned.Backfill, want.Backfill)) {
		t.Errorf("%q:\nscanned %+v\nwant    %+v, %v", body, scanned, want, wantErr)
	}
	if taken && !usualForm.Match(body) {
		t.Errorf("%q: taken, and of no usual form", body)
	}
	if !taken && !reflect.DeepEqual(scanned, sdk.Submission{}) {
		t.Errorf("%q: not taken, and yet scanned %+v", body, scanned)
	}
	got, err := newInput().Decode(t.Context(), sdk.Request{Method: "POST", Header: header, Body: body})
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(err, wantErr) {
		t.Errorf("%q:\ngot  %+v, %v\nwant %+v, %v", body, got, err, want, wantErr)
	}
	return got, err
}

func sameBatch(a, b sdk.Batch) bool {
	for i := range a {
		if !same(a[i], b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

// same tells 0 from minus zero.
func same(a, b sdk.Datapoint) bool {
	return a == b && math.Float64bits(a.Value) == math.Float64bits(b.Value)
}

// usual are bodies that the scanner takes.
var usual = []struct{ name, body string }{
	{"one metric", `{"key":"k","metric":"a.b","timestamp":1478021700,"value":4567.775}`},
	{"key last", `{"metric":"a.b","value":1,"timestamp":1478021700,"key":"k"}`},
	{"a list", `{"key": "k", "metrics": [{"metric": "a", "timestamp": 1478021700, "value": 1}, {"metric": "b", "timestamp": 1478021700, "value": -2.5}]}`},
	{"a list before the key", `{"metrics":[{"value":1,"metric":"a","timestamp":1478021700}],"key":"k"}`},
	{"no timestamps", `{"key":"k","metrics":[{"metric":"a","value":1},{"metric":"b","value":2}]}`},
	{"blank timestamps", `{"key":"k","metrics":[{"metric":"a","timestamp":"","value":1},{"metric":"b","timestamp":5,"value":2,"timestamp":""}]}`},
	{"numbers as texts", `{"key":"k","metrics":[{"metric":"a","timestamp":"1478021700","value":"4567.775"},{"metric":"a","timestamp":" +1 ","value":" .5e1 "}]}`},
	{"fill", `{"key":"k","metrics":[{"metric":"a","timestamp":1,"value":1,"fill":true},{"metric":"b","value":2,"fill":"true"},{"metric":"c","value":3,"fill":"True"}]}`},
	{"no fill", `{"key":"k","metrics":[{"metric":"a","value":1,"fill":false},{"metric":"b","value":2,"fill":"false"},{"metric":"c","value":3,"fill":"TRUE"}]}`},
	{"fill of one", `{"key":"k","metric":"a","timestamp":5,"value":1,"fill":"true"}`},
	{"some are fills", `{"key":"k","metrics":[{"metric":"a","value":1,"fill":true},{"metric":"b","value":2},{"metric":"c","value":3,"fill":true}]}`},
	{"one beside a list", `{"metric":"a","value":1,"fill":true,"metrics":[{"metric":"b","value":2}],"key":"k"}`},
	{"equal members", `{"key":"j","metrics":[{"metric":"a","value":1,"fill":true,"metric":"b","value":2,"fill":false,"timestamp":5,"timestamp":6}],"key":"k"}`},
	{"white space", "\t{\r\n \"key\" : \"k\" , \"metrics\"\n:\t[ { \"metric\" : \"a\" , \"value\" : 1 } , { \"metric\" : \"b\" , \"value\" : 2 } ] } \r\n"},
	{"numbers", `{"key":"k","metrics":[{"metric":"a","value":-0},{"metric":"a","value":0.30000000000000004},{"metric":"a","value":1e-05},{"metric":"a","value":-1.5E+300},{"metric":"a","value":123456789012345678901234567890}]}`},
	{"one form", `{"key":"k","metrics":[{"metric": "a.b", "timestamp": 5, "value": 1.5}, {"metric": "c", "timestamp": 1478021700, "value": -2}, {"metric": "", "timestamp": 7, "value": 3e2}]}`},
	{"one form in another order", `{"metrics":[{"value":1,"timestamp":2,"metric":"a"},{"value":-3.25,"timestamp":4,"metric":"b"}],"key":"k"}`},
	{"forms in turns", `{"metrics":[{"metric":"a","timestamp":2,"value":1},{"metric":"b","timestamp":"3","value":2},{"metric":"c","timestamp":4,"value":"3"},{"metric":"d","timestamp":5,"value":4},{"metric":"e","value":5},{"metric":"f","timestamp":6,"value":6,"fill":true},{"metric":"g","timestamp":7,"value":7}],"key":"k"}`},
	{"a form with texts", `{"metrics":[{"metric":"a","timestamp":"2","value":"1.5"},{"metric":"b","timestamp":"3","value":"-2"},{"metric":"b","timestamp":" +4 ","value":".5"},{"metric":"b","timestamp":"","value":"7"}],"key":"k"}`},
	{"a form without a timestamp", `{"metrics":[{"metric":"a","metric":"b","value":1},{"metric":"c","metric":"d","value":2}],"key":"k"}`},
	{"a fill like a number", `{"metrics":[{"metric":"a","value":1,"fill":"7"},{"metric":"b","value":2,"fill":"8"}],"key":"k"}`},
	{"a form with more behind it", `{"metrics":[{"metric":"a","timestamp":2,"value":1},{"metric":"b","timestamp":3,"value":2,"value":3},{"metric":"c","timestamp":4,"value":5 }],"key":"k"}`},
	{"empty names", `{"key":"","metric":"","value":1}`},
}

func TestUsualBodiesAreScanned(t *testing.T) {
	for _, c := range usual {
		s, err := decode(t, []byte(c.body), nil)
		if _, taken := scanBody([]byte(c.body), nil, now, new(lists)); !taken || err != nil || s.Invalid != "" {
			t.Errorf("%s: %s: taken is %v: %+v, %v", c.name, c.body, taken, s, err)
		}
	}
}

func TestNamesOfEveryLength(t *testing.T) {
	name := "servers.web-1.disk~[0]/{used}, all; 100%"
	for n := range len(name) {
		for behind := range 10 {
			body := []byte(`{"key":"k","value":1,"metric":"` + name[:n] + `"}` + strings.Repeat(" ", behind))
			s, err := decode(t, body, nil)
			if _, taken := scanBody(body, nil, now, new(lists)); !taken || err != nil || s.Batch[0].Metric != name[:n] {
				t.Errorf("%s: taken is %v: %+v, %v", body, taken, s, err)
			}
		}
	}
}

// Of a usual body that is cut off, or in which one byte is another, both roads
// must make the same.
func TestScanOfDamagedBodies(t *testing.T) {
	for _, c := range usual {
		body := []byte(c.body)
		for i, was := range body {
			decode(t, body[:i], nil)
			for _, other := range []byte("\"\\{}[],:.+-01eEtfn \n\x00\x1f\x7f\x80\xff/") {
				body[i] = other
				decode(t, body, nil)
			}
			body[i] = was
		}
	}
}

func TestUnusualBodiesAreNotScanned(t *testing.T) {
	item := `{"metric":"a","value":1}`
	bodies := []string{
		"", " ", "{}", "null", item, `{"key":"k"}`, `{"key":5,"metric":"a","value":1}`, `{"key":"k","metrics":[]}`, `{"key":"k","metrics":[{}]}`,
		`{"key":"k","metrics":{}}`, `{"key":"k","metrics":[` + item + `,]}`, `{"key":"k","metrics":[` + item + `],}`, `{"key":"k","metrics":[` + item + `]`,
		`{"key":"k","metrics":[` + item + `]}}`, `{"key":"k","metrics":[` + item + `]} x`, `{"key":"k","metrics":[` + item + "]}\x00",
		`{"key":"k","metrics":[` + item + `],"metrics":[` + item + `]}`, `{"key":"k","metric":"a"}`, `{"key":"k","value":1}`,
		`{"key":"k","metrics":[` + item + `],"x":1}`, `{"key":"k","metrics":[{"metric":"a","value":1,"x":1}]}`,
		`{"key":"k","metrics":[` + item + `],"test":false}`, `{"key":"k","metrics":[` + item + `],"status":""}`, `{"key":"k","metrics":[` + item + `],"validate_key":0}`,
		`{"key":"k","metric":"\u0061","value":1}`, `{"key":"k","metric":"é","value":1}`, "{\"key\":\"k\",\"metric\":\"a\tb\",\"value\":1}", "\uFEFF" + `{"key":"k","metric":"a","value":1}`,
		`{"key":"k","metric":"a","value":01}`, `{"key":"k","metric":"a","value":+1}`, `{"key":"k","metric":"a","value":.5}`, `{"key":"k","metric":"a","value":5.}`,
		`{"key":"k","metric":"a","value":5.e1}`, `{"key":"k","metric":"a","value":1e400}`, `{"key":"k","metric":"a","value":NaN}`, `{"key":"k","metric":"a","value":true}`,
		`{"key":"k","metric":"a","value":""}`, `{"key":"k","metric":"a","value":"NaN"}`, `{"key":"k","metric":"a","value":1,"timestamp":" "}`,
		`{"key":"k","metric":"a","value":1,"timestamp":1.0}`, `{"key":"k","metric":"a","value":1,"timestamp":01}`, `{"key":"k","metric":"a","value":1,"timestamp":9223372036854775808}`,
		`{"key":"k","metric":"a","value":1,"fill":null}`, `{"key":"k","metric":"a","value":1,"fill":truefalse}`,
	}
	for _, second := range []string{ // in the form of the first, but for a value
		`"\u0061","timestamp":2,"value":1}`, `"é","timestamp":2,"value":1}`, `5,"timestamp":2,"value":1}`, `"a","timestamp":02,"value":1}`,
		`"a","timestamp":-2,"value":1}`, `"a","timestamp":0,"value":1}`, `"a","timestamp":2.0,"value":1}`, `"a","timestamp":,"value":1}`,
		`"a","timestamp":9223372036854775808,"value":1}`, `"a","timestamp":2,"value":01}`, `"a","timestamp":2,"value":+1}`, `"a","timestamp":2,"value":.5}`,
		`"a","timestamp":2,"value":1e400}`, `"a","timestamp":2,"value":NaN}`, `"a","timestamp":2,"value":}`, `"a","timestamp":2,"value":1`, `"a","timestamp":2,"value":1}}`,
	} {
		bodies = append(bodies, `{"key":"k","metrics":[{"metric":"a","timestamp":2,"value":1},{"metric":`+second+`]}`)
	}
	for _, body := range bodies {
		decode(t, []byte(body), nil)
		if s, taken := scanBody([]byte(body), nil, now, new(lists)); taken {
			t.Errorf("%s: taken as %+v", body, s)
		}
	}
}

var placeholder = regexp.MustCompile(`{{[^}]*}}`)

// recordedBodies returns the bodies of testdata/requests.
func recordedBodies(t *testing.T) (bodies [][]byte) {
	files, err := filepath.Glob("../../../testdata/requests/*/*request.http")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := bytes.Cut(text, []byte("\n\n"))
		if !bytes.HasPrefix(text, []byte("POST")) {
			continue
		}
		bodies = append(bodies, placeholder.ReplaceAllFunc(body, func(p []byte) []byte {
			if bytes.HasSuffix(p, []byte("_KEY}}")) {
				return []byte("self0123456789abcdefghijABCDEFGH")
			}
			return []byte("1478021700")
		}))
	}
	return bodies
}

// usualForm is the form of the bodies that the scanner takes: of which it takes
// those that are accepted and have one list at most.
var usualForm = func() *regexp.Regexp {
	const space, text, integer = `[ \t\r\n]*`, `"[ !#-\[\]-\x7f]*"`, `[1-9][0-9]*`
	member := func(name, value string) string { return `"` + name + `"` + space + `:` + space + `(` + value + `)` }
	several := func(what string) string { return space + what + space + `(,` + space + what + space + `)*` }
	point := strings.Join([]string{
		member("metric", text), member("timestamp", text+`|`+integer), member("fill", text+`|true|false`),
		member("value", text+`|-?(0|`+integer+`)(\.[0-9]+)?([eE][+-]?[0-9]+)?`),
	}, "|")
	list := `\[` + several(`\{`+several(`(`+point+`)`)+`\}`) + `\]`
	return regexp.MustCompile(`^` + space + `\{` + several(`(`+point+`|`+member("key", text)+`|`+member("metrics", list)+`)`) + `\}` + space + `$`)
}()

// The other recorded bodies are unusual on purpose.
func TestRecordedBodies(t *testing.T) {
	accepted, usual, scanned := 0, 0, 0
	for _, body := range recordedBodies(t) {
		s, err := decode(t, body, nil)
		if err != nil || s.Invalid != "" || s.Reply != nil || s.KeyCheck {
			continue
		}
		accepted++
		isUsual := usualForm.Match(body) && bytes.Count(body, []byte(`"metrics"`)) < 2
		if isUsual {
			usual++
		}
		_, taken := scanBody(body, nil, now, new(lists))
		if taken {
			scanned++
		}
		if taken != isUsual {
			t.Errorf("scanned is %v, usual is %v: %s", taken, isUsual, body)
		}
	}
	t.Logf("of %d accepted bodies %d are usual, %d are scanned", accepted, usual, scanned)
	if scanned*3 < accepted*2 {
		t.Errorf("of %d accepted bodies only %d are scanned", accepted, scanned)
	}
}
