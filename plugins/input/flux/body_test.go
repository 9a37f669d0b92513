package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"fluxgate/sdk"
)

// refused checks that err is a refusal with that text.
func refused(t *testing.T, name string, err error, want string) {
	t.Helper()
	if !errors.Is(err, sdk.ErrInvalid) || err.Error() != "invalid: "+want {
		t.Errorf("%s: got %v, want %q", name, err, want)
	}
}

func TestBody(t *testing.T) {
	one := sdk.Submission{Key: "k", Batch: point("a", then, 1)}
	for _, c := range []struct {
		name, body string
		want       sdk.Submission
	}{
		{"single", `{"metric":"a","timestamp":1478021700,"value":1,"key":"k"}`, one},
		{"single, as texts", `{"metric":"a","timestamp":" +1478021700\t","value":" 1.0 ","key":"k"}`, one},
		{"single with white space", "\n{ \"metric\" : \"a\" ,\t\"timestamp\": 1478021700 ,\"value\":1 , \"key\":\"k\" }\r\n", one},
		{"escapes in names and texts", `{"m\u0065tric":"\u0061","timestamp":"\u0031478021700","value":"\u0031","\u006bey":"\u006b"}`, one},
		{"byte order mark", "\uFEFF" + `{"metric":"a","timestamp":1478021700,"value":1,"key":"k"}`, one},
		{"unknown members", `{"x":[{}],"metric":"a","timestamp":1478021700,"y":null,"value":1,"key":"k"}`, one},
		{"member names have a case", `{"Metric":"b","metric":"a","timestamp":1478021700,"value":1,"VALUE":2,"key":"k","Key":"l"}`, one},
		{"the last of equal members", `{"metric":"b","value":[2],"timestamp":{},"key":"bad","metric":"a","timestamp":1478021700,"value":1,"key":"k"}`, one},
		{"no timestamp: now", `{"metric":"a","value":1,"key":"k"}`, sdk.Submission{Key: "k", Batch: point("a", now, 1)}},
		{"blank timestamp: now", `{"metric":"a","timestamp":"","value":1,"key":"k"}`, sdk.Submission{Key: "k", Batch: point("a", now, 1)}},
		{"the name goes on as sent", `{"metric":"..a 'é'*\n","value":1,"key":"k"}`, sdk.Submission{Key: "k", Batch: point("..a 'é'*\n", now, 1)}},
		{"an empty name is the host's to judge", `{"metric":"","value":1,"key":"k"}`, sdk.Submission{Key: "k", Batch: point("", now, 1)}},
		{"range is the host's to judge", `{"metric":"a","timestamp":-5,"value":1,"key":"k"}`, sdk.Submission{Key: "k", Batch: point("a", -5, 1)}},
		{"true is 1", `{"metric":"a","timestamp":1478021700,"value":true,"key":"k"}`, one},
		{"false is 0", `{"metric":"a","value":false,"key":"k"}`, sdk.Submission{Key: "k", Batch: point("a", now, 0)}},
		{"exponents", `{"metric":"a","value":1.5E+3,"key":"k"}`, sdk.Submission{Key: "k", Batch: point("a", now, 1500)}},
		{"too small is 0", `{"metric":"a","value":1e-400,"key":"k"}`, sdk.Submission{Key: "k", Batch: point("a", now, 0)}},

		{"many, in order", `{"key":"k","metrics":[{"metric":"a","timestamp":1478021700,"value":1},{"metric":"b","value":"2.5"},{"metric":"a","value":3}]}`,
			sdk.Submission{Key: "k", Batch: sdk.Batch{{Metric: "a", Timestamp: then, Value: 1}, {Metric: "b", Timestamp: now, Value: 2.5}, {Metric: "a", Timestamp: now, Value: 3}}}},
		{"metrics decides the shape", `{"metrics":[{"metric":"a","timestamp":1478021700,"value":1}],"metric":"b","value":9,"key":"k"}`, one},
		{"the last of equal lists, whole", `{"metrics":[{"metric":"b","value":2},{"metric":"c","value":2}],"key":"k","metrics":[{"metric":"a","timestamp":1478021700,"value":1}]}`, one},
		{"the last of equal members of an item", `{"key":"k","metrics":[{"metric":null,"value":2,"metric":"a","value":1,"timestamp":1478021700}]}`, one},
		{"fill sorts the datapoints", `{"key":"k","metrics":[{"metric":"a","timestamp":123,"value":1,"fill":"true"},{"metric":"a","timestamp":1478021700,"value":1},{"metric":"b","timestamp":5,"value":2,"fill":true}]}`,
			sdk.Submission{Key: "k", Batch: point("a", then, 1), Backfill: sdk.Batch{{Metric: "a", Timestamp: 123, Value: 1}, {Metric: "b", Timestamp: 5, Value: 2}}}},
		{"fill of one", `{"metric":"a","timestamp":123,"value":1,"fill":"True","key":"k"}`, sdk.Submission{Key: "k", Backfill: point("a", 123, 1)}},
		{"fill beside metrics", `{"metrics":[{"metric":"a","timestamp":1478021700,"value":1}],"fill":true,"key":"k"}`, one},

		{"validate_key", `{"validate_key":true,"key":"k"}`, sdk.Submission{Key: "k", KeyCheck: true}},
		{"validate_key beside bad metrics", `{"validate_key":"yes","key":"k","metrics":5}`, sdk.Submission{Key: "k", KeyCheck: true}},
		{"validate_key that is no", `{"validate_key":"FALSE","key":"k","metric":"a","timestamp":1478021700,"value":1}`, one},
		{"test", `{"test":true,"metric":"a","timestamp":1478021700,"value":1,"key":"k"}`, sdk.Submission{Key: "k", DryRun: true, Batch: point("a", then, 1)}},
		{"test that is no", `{"test":"False","metric":"a","timestamp":1478021700,"value":1,"key":"k"}`, one},
		{"blank status is none", `{"status":"","metric":"a","timestamp":1478021700,"value":1,"key":"k"}`, one},

		{"key is a number", `{"metric":"a","timestamp":1478021700,"value":1,"key":12345}`, sdk.Submission{Batch: one.Batch}},
		{"key is null", `{"metric":"a","timestamp":1478021700,"value":1,"key":null}`, sdk.Submission{Batch: one.Batch}},
		{"key is blank", `{"metric":"a","timestamp":1478021700,"value":1,"key":""}`, sdk.Submission{Batch: one.Batch}},
		{"key is a list", `{"metric":"a","timestamp":1478021700,"value":1,"key":["k"]}`, sdk.Submission{Batch: one.Batch}},
		{"blanks around a key stay", `{"metric":"a","timestamp":1478021700,"value":1,"key":" k "}`, sdk.Submission{Key: " k ", Batch: one.Batch}},
	} {
		got, err := decode(t, []byte(c.body), nil)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %s:\ngot  %+v, %v\nwant %+v", c.name, c.body, got, err, c.want)
		}
	}
}

func TestBodyFaults(t *testing.T) {
	for _, c := range []struct {
		name, body, invalid string // of a body whose key is k
		batch, backfill     sdk.Batch
	}{
		{"nothing", `{"key":"k"}`, "no metric data passed", nil, nil},
		{"no metric", `{"value":1,"key":"k"}`, "no metric data passed", nil, nil},
		{"no value", `{"metric":"a","key":"k"}`, "no metric data passed", nil, nil},
		{"no value, bad timestamp", `{"metric":"a","timestamp":"x","key":"k"}`, "no metric data passed", nil, nil},
		{"metric is a number; the key is not told", `{"metric":123,"key":"k","timestamp":5,"value":1,"fill":false}`,
			`invalid metric - {"metric": 123, "timestamp": 5, "value": 1, "fill": false}`, nil, nil},
		{"metric is null", `{"metric":null,"value":1,"key":"k"}`, `invalid metric - {"metric": null, "value": 1}`, nil, nil},
		{"timestamp is null", `{"metric":"a","timestamp":null,"value":1,"key":"k"}`,
			`invalid timestamp - None - timestamp is not an int - {"metric": "a", "timestamp": null, "value": 1}`, nil, nil},
		{"timestamp is true", `{"key":"k","metrics":[{"metric":"a","timestamp":true,"value":1}]}`,
			`invalid timestamp - True - timestamp is not an int - {"metric":"a","timestamp":true,"value":1}`, nil, nil},
		{"timestamp is false", `{"key":"k","metrics":[{"metric":"a","timestamp":false,"value":1}]}`,
			`invalid timestamp - False - timestamp is not an int - {"metric":"a","timestamp":false,"value":1}`, nil, nil},
		{"timestamp has a fraction", `{"key":"k","metrics":[{"metric":"a","timestamp":1478021700.0,"value":1}]}`,
			`invalid timestamp - 1478021700.0 - timestamp is not an int - {"metric":"a","timestamp":1478021700.0,"value":1}`, nil, nil},
		{"timestamp has an exponent", `{"key":"k","metrics":[{"metric":"a","timestamp":1e9,"value":1}]}`,
			`invalid timestamp - 1e9 - timestamp is not an int - {"metric":"a","timestamp":1e9,"value":1}`, nil, nil},
		{"timestamp is a blank", `{"key":"k","metrics":[{"metric":"a","timestamp":" ","value":1}]}`,
			`invalid timestamp -   - timestamp is not an int - {"metric":"a","timestamp":" ","value":1}`, nil, nil},
		{"timestamp is a list", `{"key":"k","metrics":[{"metric":"a","timestamp":[1],"value":1}]}`,
			`invalid timestamp - [1] - timestamp is not an int - {"metric":"a","timestamp":[1],"value":1}`, nil, nil},
		{"timestamp beyond int64, of a fill too", `{"key":"k","metrics":[{"metric":"a","timestamp":99999999999999999999,"value":1,"fill":true}]}`,
			`invalid timestamp - 99999999999999999999 - timestamp is not a valid current unix timestamp - {"metric":"a","timestamp":99999999999999999999,"value":1,"fill":true}`, nil, nil},
		{"bad timestamp before a bad value", `{"key":"k","metrics":[{"metric":"a","timestamp":"x"}]}`,
			`invalid timestamp - x - timestamp is not an int - {"metric":"a","timestamp":"x"}`, nil, nil},
		{"blank value", `{"metric":"a","value":"","key":"k"}`,
			`no value parameter present - {"metric": "a", "value": ""}`, point("a", now, 0), nil},
		{"item without value", `{"key":"k","metrics":[{"metric":"a"}]}`,
			`no value parameter present - {"metric":"a"}`, point("a", now, 0), nil},
		{"item with blank value, a fill", `{"key":"k","metrics":[{"metric":"a","timestamp":5,"value":"","fill":true}]}`,
			`no value parameter present - {"metric":"a","timestamp":5,"value":"","fill":true}`, nil, point("a", 5, 0)},
		{"value is null", `{"key":"k","metrics":[{"metric":"a","value":null}]}`, `invalid value - {"metric":"a","value":null}`, point("a", now, 0), nil},
		{"value is a list", `{"key":"k","metrics":[{"metric":"a","value":[1]}]}`, `invalid value - {"metric":"a","value":[1]}`, point("a", now, 0), nil},
		{"value is an object", `{"key":"k","metrics":[{"metric":"a","value":{}}]}`, `invalid value - {"metric":"a","value":{}}`, point("a", now, 0), nil},
		{"value is the text true", `{"key":"k","metrics":[{"metric":"a","value":"true"}]}`, `invalid value - {"metric":"a","value":"true"}`, point("a", now, 0), nil},
		{"value is too big", `{"key":"k","metrics":[{"metric":"a","value":1e400}]}`, `invalid value - {"metric":"a","value":1e400}`, point("a", now, 0), nil},
		{"value is a blank", `{"key":"k","metrics":[{"metric":"a","value":" "}]}`, `invalid value - {"metric":"a","value":" "}`, point("a", now, 0), nil},

		{"metrics is an object", `{"key":"k","metrics":{"a":1}}`, `invalid metric - {"a":1}`, nil, nil},
		{"metrics is a text", `{"key":"k","metrics":"text"}`, `invalid metric - "text"`, nil, nil},
		{"metrics is null, beside a single one", `{"key":"k","metrics":null,"metric":"a","value":1}`, `invalid metric - null`, nil, nil},
		{"metrics is empty", `{"key":"k","metrics":[ ],"metric":"a","value":1}`, "no metric data passed", nil, nil},
		{"item is a number", `{"key":"k","metrics":[1,2]}`, "invalid metric - 1", nil, nil},
		{"item is a list", `{"key":"k","metrics":[["metric"]]}`, `invalid metric - ["metric"]`, nil, nil},
		{"item is empty", `{"key":"k","metrics":[{}]}`, "invalid metric - {}", nil, nil},
		{"item without metric", `{"key":"k","metrics":[{"value":1}]}`, `invalid metric - {"value":1}`, nil, nil},
		{"an item has no members of the one before", `{"key":"k","metrics":[{"metric":"a","value":1},{}]}`, "invalid metric - {}", point("a", now, 1), nil},
		{"the first fault is told, what was before it is kept",
			`{"key":"k","metrics":[{"metric":"a","value":1},{"metric":"f","timestamp":1,"value":2,"fill":true},{"metric":"b","value":"x"},{"metric":7},{"metric":"c","value":1}]}`,
			`invalid value - {"metric":"b","value":"x"}`,
			sdk.Batch{{Metric: "a", Timestamp: now, Value: 1}, {Metric: "b", Timestamp: now}}, point("f", 1, 2)},
		{"long items are cut", `{"key":"k","metrics":[{"metric":"a","value":"` + strings.Repeat("x", 2000) + `"}]}`,
			`invalid value - {"metric":"a","value":"` + strings.Repeat("x", 1021-len(`{"metric":"a","value":"`)) + "...", point("a", now, 0), nil},
	} {
		want := sdk.Submission{Key: "k", Invalid: c.invalid, Batch: c.batch, Backfill: c.backfill}
		got, err := decode(t, []byte(c.body), nil)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s:\ngot  %+v, %v\nwant %+v", c.name, c.body, got, err, want)
		}
	}
}

func TestBodyWithoutKey(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"not UTF-8", "{\"key\":\"\xff\"}", "no POST data received"},
		{"not UTF-8 before not JSON", "{\xff", "no POST data received"},
		{"surrogate in bytes", "{\"key\":\"\xed\xa0\x80\"}", "no POST data received"},
		{"empty", "", "invalid json data"},
		{"byte order mark alone", "\uFEFF", "invalid json data"},
		{"two byte order marks", "\uFEFF\uFEFF{\"status\":1}", "invalid json data"},
		{"byte order mark behind", "{\"status\":1}\uFEFF", "invalid json data"},
		{"cut off", `{"status":1`, "invalid json data"},
		{"a form", "metric=a&value=1", "invalid json data"},
		{"two values", `{"status":1} {"status":1}`, "invalid json data"},
		{"comma at the end", `{"status":1,}`, "invalid json data"},
		{"comment", `{"status":1 /* well */}`, "invalid json data"},
		{"single quotes", `{'status':1}`, "invalid json data"},
		{"NaN", `{"metric":"a","value":NaN,"key":"k"}`, "invalid json data"},
		{"Infinity", `{"metric":"a","value":Infinity,"key":"k"}`, "invalid json data"},
		{"plus sign", `{"metric":"a","value":+1,"key":"k"}`, "invalid json data"},
		{"leading zero", `{"metric":"a","value":01,"key":"k"}`, "invalid json data"},
		{"control character in a text", "{\"status\":\"\n\"}", "invalid json data"},
		{"vertical tab between", "{\"status\":\v1}", "invalid json data"},
		{"deeper than the standard library reads", `{"status":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}", "invalid json data"},
		{"no members", " { } ", "no POST data received"},
		{"null", "null", "no POST data received"},
		{"list", `[{"status":1}]`, "no POST data received"},
		{"text", `"text"`, "no POST data received"},
		{"number", "5", "no POST data received"},
		{"no key", `{"metric":"a","value":1}`, "no key passed"},
		{"no key, blank status", `{"status":""}`, "no key passed"},
		{"no key to validate", `{"validate_key":true}`, "no key passed"},
	} {
		got, err := decode(t, []byte(c.body), nil)
		refused(t, c.name, err, c.want)
		if !reflect.DeepEqual(got, sdk.Submission{}) {
			t.Errorf("%s: submission %+v beside the refusal", c.name, got)
		}
	}
}

func TestBodyHeaders(t *testing.T) {
	for _, c := range []struct {
		name, member string
		header       http.Header
		want         sdk.Submission
	}{
		{"key", ``, http.Header{"Key": {"h"}}, sdk.Submission{Key: "h"}},
		{"key before the member", `,"key":"m"`, http.Header{"Key": {"h"}}, sdk.Submission{Key: "h"}},
		{"key before a member that is none", `,"key":null`, http.Header{"Key": {"h"}}, sdk.Submission{Key: "h"}},
		{"empty key is none", `,"key":"m"`, http.Header{"Key": {""}}, sdk.Submission{Key: "m"}},
		{"key twice is no key", `,"key":"m"`, http.Header{"Key": {"h", "h"}}, sdk.Submission{}},
		{"key that is not UTF-8", ``, http.Header{"Key": {"\xff"}}, sdk.Submission{Key: "\xff"}},
		{"test", `,"key":"m"`, http.Header{"X-Test-Only": {"false"}}, sdk.Submission{Key: "m", DryRun: true}},
		{"test, empty", `,"key":"m"`, http.Header{"X-Test-Only": {""}}, sdk.Submission{Key: "m", DryRun: true}},
	} {
		c.want.Batch = point("a", now, 1)
		got, err := decode(t, []byte(`{"metric":"a","value":1`+c.member+`}`), c.header)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
	}
}

func TestYes(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "true": true, "false": false, "null": false,
		"1": true, "-1": true, "0.5": true, "1e400": true, "0": false, "-0": false, "0.0": false, "0e5": false,
		`""`: false, `"false"`: false, `"FALSE"`: false, `"fal\u0073e"`: false,
		`"true"`: true, `"no"`: true, `" "`: true, `"0"`: true, `"falſe"`: true, `"false "`: true,
		"[]": false, "[1]": false, "{}": false, `{"a":1}`: false,
	} {
		if got := isYes(value); got != want {
			t.Errorf("isYes(%s) = %v", value, got)
		}
	}
}

func TestFill(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "true": true, `"true"`: true, `"True"`: true, `"tru\u0065"`: true,
		`"TRUE"`: false, `" true"`: false, "false": false, "1": false, `"1"`: false, "null": false, "[true]": false, `""`: false,
	} {
		if got := (&item{fill: value}).isFill(); got != want {
			t.Errorf("fill %s is %v", value, got)
		}
	}
}

func TestHealth(t *testing.T) {
	tested := func(code int) string { return fmt.Sprintf(`{"code": %d, "data": "Status code test - %d"}`, code, code) }
	for _, c := range []struct {
		body   string
		status int
		answer string
	}{
		{`{"status":"true"}`, 200, `{"status": "ok"}`},
		{`{"status":false}`, 200, `{"status": "ok"}`},
		{`{"status":null}`, 200, `{"status": "ok"}`},
		{`{"status":" "}`, 200, `{"status": "ok"}`},
		{`{"status":[]}`, 200, `{"status": "ok"}`},
		{`{"metrics":[{"metric":"a","value":"x"}],"status":"x","key":"k"}`, 200, `{"status": "ok"}`},
		{`{"status":1,"status_code":200}`, 200, tested(200)},
		{`{"status":1,"status_code":400}`, 400, tested(400)},
		{`{"status":1,"status_code":401}`, 401, tested(401)},
		{`{"status":1,"status_code":" +400 "}`, 400, tested(400)},
		{`{"status_code":"0401","status":1}`, 401, tested(401)},
		{`{"status":1,"status_code":"207"}`, 207, multiStatus},
		{`{"status":1,"status_code":503}`, 204, ""},
		{`{"status":1,"status_code":-400}`, 204, ""},
		{`{"status":1,"status_code":99999999999999999999}`, 204, ""},
	} {
		s, err := decode(t, []byte(c.body), nil)
		if err != nil || s.Reply == nil {
			t.Errorf("%s: %+v, %v", c.body, s, err)
			continue
		}
		if s.Reply.Status != c.status || string(s.Reply.Body) != c.answer {
			t.Errorf("%s: got %d %s, want %d %s", c.body, s.Reply.Status, s.Reply.Body, c.status, c.answer)
		}
		if c.answer != "" && !json.Valid(s.Reply.Body) {
			t.Errorf("%s: the answer is not JSON: %s", c.body, s.Reply.Body)
		}
	}
	for code, told := range map[string]string{
		`"abc"`: "abc", `""`: "", "400.0": "400.0", "4e2": "4e2", "null": "null", "true": "true", "[400]": "[400]",
	} {
		_, err := decode(t, []byte(`{"status":1,"status_code":`+code+`}`), nil)
		refused(t, code, err, "invalid status_code - "+told+" - status_code is not an int")
	}
}
