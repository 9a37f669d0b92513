package remote

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

// decode reads a document with room for a thousand points.
func decode(kind Kind, document string) ([]Sample, Answer, error) {
	var samples []Sample
	d := decoder{scanner: scanner{in: bufio.NewReader(strings.NewReader(document))}, left: 1000, take: func(s Sample) error {
		samples = append(samples, s)
		return nil
	}}
	answer, err := d.decode(kind)
	return samples, answer, err
}

func TestDecodeGraphite(t *testing.T) {
	tests := []struct {
		name, document string
		want           []Sample
		series         []string
		warning        string
	}{
		{"points", `[{"target":"a.b","datapoints":[[1.5,1700000040],[-2,1700000100]]}]`,
			[]Sample{{1700000040, 1.5, false}, {1700000100, -2, false}}, []string{"a.b"}, ""},
		{"nulls", `[{"target":"a.b","datapoints":[[null,1700000040],[2,1700000100]]}]`,
			[]Sample{{1700000040, 0, true}, {1700000100, 2, false}}, []string{"a.b"}, ""},
		{"bare words", `[{"target":"a.b","datapoints":[[NaN,1700000040],[Infinity,1700000100],[-Infinity,1700000160]]}]`,
			[]Sample{{1700000040, 0, true}, {1700000100, 0, true}, {1700000160, 0, true}}, []string{"a.b"}, ""},
		{"fractional timestamps", `[{"target":"a.b","datapoints":[[1,1700000099.9],[3,1700000100.2]]}]`,
			[]Sample{{1700000099, 1, false}, {1700000100, 3, false}}, []string{"a.b"}, ""},
		{"large and small", `[{"datapoints":[[9007199254740993,1700000040],[1e+300,1700000100],[5e-324,1700000160],[1e999,1700000220]]}]`,
			[]Sample{{1700000040, 9007199254740992, false}, {1700000100, 1e300, false}, {1700000160, 5e-324, false}, {1700000220, 0, true}}, []string{""}, ""},
		{"texts", `[{"target":"a.b","datapoints":[["1.5","1700000040"],["x",1700000100],["0x10",1700000160],["1_0",1700000220],["",1700000280]]}]`,
			[]Sample{{1700000040, 1.5, false}, {1700000100, 0, true}, {1700000160, 0, true}, {1700000220, 0, true}, {1700000280, 0, true}}, []string{"a.b"}, ""},
		{"values of other kinds", `[{"target":"a.b","datapoints":[[true,1700000040],[[1],1700000100],[{"a":1},1700000160]]}]`,
			[]Sample{{1700000040, 0, true}, {1700000100, 0, true}, {1700000160, 0, true}}, []string{"a.b"}, ""},
		{"bounds of timestamps", `[{"target":"a.b","datapoints":[[1,0],[2,0.9],[3,1],[4,4294967295],[5,4294967296],[6,-5],[7,1700000040123],[8,null],[9,NaN],[10]]}]`,
			[]Sample{{1, 3, false}, {4294967295, 4, false}}, []string{"a.b"}, "8 points have no timestamp"},
		{"points that are none", `[{"target":"a.b","datapoints":[5,null,[],"x",[1,1700000040,"more",[2]]]}]`,
			[]Sample{{1700000040, 1, false}}, []string{"a.b"}, "4 points have no timestamp"},
		{"any order and unknown members", `[{"tags":{"name":"a.b","x":[1,{}]},"datapoints":[[1,1700000040]],"xFilesFactor":0,"target":"a.b"}]`,
			[]Sample{{1700000040, 1, false}}, []string{"a.b"}, ""},
		{"the first of two", `[{"target":"a.x","datapoints":[[1,1700000040]]},{"target":"a.y","datapoints":[[50,1700000040]]}]`,
			[]Sample{{1700000040, 1, false}}, []string{"a.x", "a.y"}, ""},
		{"no series", `[]`, nil, nil, ""},
		{"no points", `[{"target":"a.b","datapoints":[]}]`, nil, []string{"a.b"}, ""},
		{"no datapoints", `[{"target":"a.b","datapoints":null}]`, nil, []string{"a.b"}, ""},
	}
	for _, test := range tests {
		check(t, Graphite, test.name, test.document, test.want, test.series, test.warning)
	}
}

func check(t *testing.T, kind Kind, name, document string, want []Sample, series []string, warning string) {
	t.Helper()
	samples, answer, err := decode(kind, document)
	if err != nil || !reflect.DeepEqual(samples, want) || !reflect.DeepEqual(answer.Series, series) {
		t.Errorf("%s: %v, %+v, %v; want %v of %q", name, samples, answer, err, want, series)
	}
	if got := strings.Join(answer.Warnings, "; "); !strings.Contains(got, warning) || (warning == "") != (got == "") {
		t.Errorf("%s: warnings %q, want %q", name, got, warning)
	}
}

func TestDecodePrometheus(t *testing.T) {
	matrix := func(result string) string {
		return `{"status":"success","data":{"resultType":"matrix","result":` + result + `}}`
	}
	tests := []struct {
		name, document string
		want           []Sample
		series         []string
		warning        string
	}{
		{"points", matrix(`[{"metric":{"__name__":"node_load1"},"values":[[1700000040.123,"1"],[1700000055.999,"2.5"]]}]`),
			[]Sample{{1700000040, 1, false}, {1700000055, 2.5, false}}, []string{"node_load1"}, ""},
		{"not finite", matrix(`[{"metric":{},"values":[[1700000040,"NaN"],[1700000100,"+Inf"],[1700000160,"-Inf"],[1700000220,"1e+06"]]}]`),
			[]Sample{{1700000040, 0, true}, {1700000100, 0, true}, {1700000160, 0, true}, {1700000220, 1e6, false}}, []string{"{}"}, ""},
		{"labels", matrix(`[{"metric":{"job":"x","__name__":"up","i":"\"q\""},"values":[[1700000040,"1"]]}]`),
			[]Sample{{1700000040, 1, false}}, []string{`up{job="x",i="\"q\""}`}, ""},
		{"the first of two", matrix(`[{"metric":{"i":"1"},"values":[[1700000040,"1"]]},{"metric":{"i":"2"},"values":[[1700000040,"2"]]}]`),
			[]Sample{{1700000040, 1, false}}, []string{`{i="1"}`, `{i="2"}`}, ""},
		{"any order", `{"infos":[],"data":{"result":[{"values":[[1700000040,1]],"metric":{}}],"resultType":"matrix","stats":{}},"status":"success"}`,
			[]Sample{{1700000040, 1, false}}, []string{"{}"}, ""},
		{"warnings", `{"status":"success","warnings":["slow store"],"infos":["not a counter"],"data":{"resultType":"matrix","result":[]}}`,
			nil, nil, "slow store; not a counter"},
		{"an instant vector", `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1700000040,"1"]}]}}`,
			nil, []string{"{}"}, "of one instant"},
		{"a scalar", `{"status":"success","data":{"resultType":"scalar","result":[1700000040,"1"]}}`, nil, nil, "of one instant"},
		{"histograms", matrix(`[{"metric":{},"histograms":[[1700000040,{"count":"1"}]]}]`), nil, []string{"{}"}, "native histograms"},
		{"no data", `{"status":"success","data":null}`, nil, nil, ""},
	}
	for _, test := range tests {
		check(t, Prometheus, test.name, test.document, test.want, test.series, test.warning)
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name     string
		kind     Kind
		document string
		want     string
	}{
		{"an object of Graphite", Graphite, `{"error":"x"}`, "not JSON"},
		{"null", Graphite, `null`, "not JSON"},
		{"a series that is none", Graphite, `[5]`, "not JSON"},
		{"half an answer", Graphite, `[{"target":"a.b","datapoints":[[1,1700000040],[2,1700`, "ends too early"},
		{"half a point", Graphite, `[{"target":"a.b","datapoints":[[1,1700000040],[2`, "ends too early"},
		{"a list of Prometheus", Prometheus, `[]`, "not JSON"},
		{"no status", Prometheus, `{"data":{"result":[]}}`, "status"},
		{"an error", Prometheus, `{"status":"error","errorType":"bad_data","error":"parse error"}`, "bad_data: parse error"},
		{"an error behind the data", Prometheus, `{"data":{"result":[{"values":[[1,"1"]]}]},"status":"error","error":"late","errorType":"internal"}`, "internal: late"},
		{"half an answer of Prometheus", Prometheus, `{"status":"success","data":{"result":[{"values":[[1,"1"]]}]}`, "ends too early"},
	}
	for _, test := range tests {
		_, _, err := decode(test.kind, test.document)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestDecodeCountsSeries(t *testing.T) {
	var b strings.Builder
	b.WriteString(`[{"target":"` + strings.Repeat("é", maxName) + `"}`)
	for i := range 12 {
		fmt.Fprintf(&b, `,{"target":"a.%d","datapoints":[[1,1700000040]]}`, i)
	}
	samples, answer, err := decode(Graphite, b.String()+"]")
	if err != nil || len(samples) != 0 || len(answer.Series) != 10 || answer.More != 3 || answer.Series[9] != "a.8" {
		t.Errorf("%v, %+v, %v", samples, answer, err)
	}
	if len(answer.Series[0]) > maxName+3 {
		t.Errorf("a name of %d bytes", len(answer.Series[0]))
	}
}

func TestDecodeBoundsPoints(t *testing.T) {
	document := `[{"datapoints":[[1,1]]},{"datapoints":[` + strings.Repeat("[1,1],", 999) + `[1,1]]}]`
	if _, _, err := decode(Graphite, document); !errors.Is(err, errTooMany) {
		t.Errorf("1001 points in two series: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`[{"target":"a","datapoints":[[1,1700000040],[null,5.5]]},{"target":"b"}]`)
	f.Add(`{"status":"success","data":{"result":[{"metric":{"a":"b"},"values":[[1,"NaN"],["2","3"]]}]},"warnings":["w"]}`)
	f.Fuzz(func(t *testing.T, document string) {
		for _, kind := range []Kind{Graphite, Prometheus} {
			samples, answer, _ := decode(kind, document)
			for _, s := range samples {
				if s.Timestamp < 1 || s.Timestamp > maxTimestamp || math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
					t.Errorf("%s: %+v", kind, s)
				}
			}
			if len(answer.Series) > maxNames || len(answer.Warnings) > maxNames {
				t.Errorf("%s: %+v", kind, answer)
			}
		}
	})
}

// A quarter of a year of minutes.
func BenchmarkDecode(b *testing.B) {
	const points = 129_600
	var graphite, prometheus bytes.Buffer
	graphite.WriteString(`[{"target": "a.b", "datapoints": [[0.5, 1692230400]`)
	prometheus.WriteString(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1692230400.123,"0.5"]`)
	for i := 1; i < points; i++ {
		fmt.Fprintf(&graphite, `, [%v, %d]`, float64(i)/7, 1692230400+i*60)
		fmt.Fprintf(&prometheus, `,[%d.123,"%v"]`, 1692230400+i*60, float64(i)/7)
	}
	graphite.WriteString(`], "tags": {}}]`)
	prometheus.WriteString(`]}]}}`)
	for kind, document := range map[Kind][]byte{Graphite: graphite.Bytes(), Prometheus: prometheus.Bytes()} {
		b.Run(string(kind), func(b *testing.B) {
			b.SetBytes(int64(len(document)))
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				d := decoder{scanner: scanner{in: bufio.NewReaderSize(bytes.NewReader(document), 64<<10)}, left: points, take: func(Sample) error {
					n++
					return nil
				}}
				if _, err := d.decode(kind); err != nil || n != points {
					b.Fatal(n, err)
				}
			}
		})
	}
}
