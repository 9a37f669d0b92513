package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"fluxgate/sdk"
)

func FuzzBody(f *testing.F) {
	for _, c := range usual {
		f.Add([]byte(c.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sent := bytes.Clone(body)
		s, err := decode(t, body, nil)
		sane(t, s, err)
		if !bytes.Equal(body, sent) {
			t.Errorf("the body was changed")
		}
		text := bytes.TrimPrefix(body, []byte("\uFEFF"))
		switch {
		case !utf8.Valid(body):
			refused(t, "not UTF-8", err, "no POST data received")
			return
		case !json.Valid(text):
			refused(t, "not JSON", err, "invalid json data")
			return
		}
		sameAsStandard(t, string(bytes.TrimSpace(text)), 20)
		var object map[string]json.RawMessage
		if json.Unmarshal(text, &object) != nil || len(object) == 0 {
			refused(t, "no members", err, "no POST data received")
			return
		}
		if err == nil && s.Reply == nil && !s.KeyCheck && s.Invalid == "" {
			wholeBody(t, s, object)
		}
	})
}

// wholeBody checks that an accepted body became as many datapoints as it holds
// items, which say what encoding/json reads of them.
func wholeBody(t *testing.T, s sdk.Submission, object map[string]json.RawMessage) {
	items := []map[string]json.RawMessage{object}
	if list, many := object["metrics"]; many {
		items = nil
		if err := json.Unmarshal(list, &items); err != nil {
			t.Fatalf("accepted metrics %s: %v", list, err)
		}
	}
	batch, backfill := s.Batch, s.Backfill
	if len(batch)+len(backfill) != len(items) || len(items) == 0 {
		t.Fatalf("%d and %d datapoints of %d items", len(batch), len(backfill), len(items))
	}
	for _, i := range items {
		var fill any
		if i["fill"] != nil {
			_ = json.Unmarshal(i["fill"], &fill)
		}
		from := &batch
		if fill == true || fill == "true" || fill == "True" {
			from = &backfill
		}
		want := standard(t, i)
		if len(*from) == 0 || !same((*from)[0], want) {
			t.Fatalf("datapoint %+v is not the next of %+v", want, *from)
		}
		*from = (*from)[1:]
	}
}

// standard returns an item that was accepted as the standard library reads it.
func standard(t *testing.T, item map[string]json.RawMessage) sdk.Datapoint {
	d := sdk.Datapoint{Timestamp: now}
	if err := json.Unmarshal(item["metric"], &d.Metric); err != nil {
		t.Fatalf("accepted metric %s: %v", item["metric"], err)
	}
	number := func(raw json.RawMessage) string {
		text := string(raw)
		if raw[0] == '"' {
			if err := json.Unmarshal(raw, &text); err != nil {
				t.Fatal(err)
			}
		}
		return strings.TrimSpace(text)
	}
	var err error
	if raw := item["timestamp"]; raw != nil && string(raw) != `""` {
		if d.Timestamp, err = strconv.ParseInt(number(raw), 10, 64); err != nil {
			t.Fatalf("accepted timestamp %s: %v", raw, err)
		}
	}
	switch raw := item["value"]; string(raw) {
	case "true":
		d.Value = 1
	case "false":
	default:
		if d.Value, err = strconv.ParseFloat(number(raw), 64); err != nil {
			t.Fatalf("accepted value %s: %v", raw, err)
		}
	}
	return d
}
