package plugintest

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

func TestACaseIsHeldToEachOfItsFields(t *testing.T) {
	const want = `{"key": "k", "batch": [["vista.a", 60, 1.5], ["vista.a", "now", 2]], "backfill": [["vista.b", 60, 3]],
		"dropped": ["vista.c"], "dry_run": true, "key_check": true, "invalid": "line 3", "reply": {"status": 400, "body": "{}"}}`
	var c request
	if err := json.Unmarshal([]byte(want), &c.want); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	answer := func() sdk.Submission {
		return sdk.Submission{
			Key: "k", Batch: sdk.Batch{{Metric: "vista.a", Timestamp: 60, Value: 1.5}, {Metric: "vista.a", Timestamp: now, Value: 2}},
			Backfill: sdk.Batch{{Metric: "vista.b", Timestamp: 60, Value: 3}}, Dropped: []string{"vista.c"},
			DryRun: true, KeyCheck: true, Invalid: "line 3", Reply: &sdk.Reply{Status: 400, Body: []byte("{}")},
		}
	}
	if err := c.judge(answer(), nil); err != nil {
		t.Errorf("what is wanted: %v", err)
	}
	for field, changes := range map[string][]func(*sdk.Submission){
		"key": {func(s *sdk.Submission) { s.Key = "" }},
		"batch": {
			func(s *sdk.Submission) { s.Batch[0].Metric = "vista.x" },
			func(s *sdk.Submission) { s.Batch[0].Timestamp = 120 },
			func(s *sdk.Submission) { s.Batch[0].Value = 1 },
			func(s *sdk.Submission) { s.Batch[1].Timestamp -= 2 * slack },
			func(s *sdk.Submission) { s.Batch = s.Batch[:1] },
		},
		"backfill":  {func(s *sdk.Submission) { s.Backfill = nil }},
		"dropped":   {func(s *sdk.Submission) { s.Dropped = nil }},
		"dry_run":   {func(s *sdk.Submission) { s.DryRun = false }},
		"key_check": {func(s *sdk.Submission) { s.KeyCheck = false }},
		"invalid":   {func(s *sdk.Submission) { s.Invalid = "" }},
		"reply": {
			func(s *sdk.Submission) { s.Reply = nil },
			func(s *sdk.Submission) { s.Reply.Status = 401 },
			func(s *sdk.Submission) { s.Reply.Body = nil },
		},
	} {
		for i, change := range changes {
			s := answer()
			change(&s)
			if err := c.judge(s, nil); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
				t.Errorf("%s, change %d: %v", field, i, err)
			}
		}
	}
	if err := c.judge(answer(), sdk.Invalidf("no")); err == nil {
		t.Error("a refusal passes for a submission")
	}
}

func TestACaseOfARefusal(t *testing.T) {
	c := request{want: Case{Error: "no key"}}
	for err, right := range map[error]bool{
		sdk.Invalidf("no key"):     true,
		sdk.Invalidf("no"):         false,
		sdk.Unavailablef("no key"): false,
		errors.New("no key"):       false,
		nil:                        false,
	} {
		if got := c.judge(sdk.Submission{}, err); (got == nil) != right {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestRequestsAsTheyTravel(t *testing.T) {
	for name, text := range map[string]string{
		"line feeds":                   "POST /lines?a=%ff HTTP/1.1\nKey: k\n\nvista.a\r\n\r\n",
		"carriage returns":             "POST /lines?a=%ff HTTP/1.1\r\nKey: k\r\n\r\nvista.a\r\n\r\n",
		"a Content-Length that is off": "POST /lines?a=%ff HTTP/1.1\nKey: k\nContent-Length: 3\n\nvista.a\r\n\r\n",
	} {
		r, err := readRequest([]byte(text))
		if err != nil || r.Route != "POST /lines" || r.Method != "POST" || r.Query != "a=%ff" || r.Header.Get("Key") != "k" || string(r.Body) != "vista.a\r\n\r\n" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

func TestCasesThatCannotBeRead(t *testing.T) {
	const good = "GET / HTTP/1.1\n\n"
	for name, tt := range map[string]struct{ request, submission, says string }{
		"no request":              {"hello", `{}`, "request.http"},
		"a field that is none":    {good, `{"keys": "k"}`, "keys"},
		"a datapoint of two":      {good, `{"batch": [["vista.a", 60]]}`, "[metric, timestamp, value]"},
		"a timestamp that is one": {good, `{"batch": [["vista.a", "noon", 1]]}`, "noon"},
	} {
		folder := t.TempDir()
		one := filepath.Join(folder, "one")
		write := func(file, text string) {
			if err := errors.Join(os.MkdirAll(one, 0o700), os.WriteFile(filepath.Join(one, file), []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		write("request.http", tt.request)
		write("submission.json", tt.submission)
		if _, err := readCases(folder); err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), one) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readCases(t.TempDir()); err == nil || !strings.Contains(err.Error(), "has no case") {
		t.Errorf("an empty folder: %v", err)
	}
}
