package main

import (
	"strings"

	"fluxgate/sdk"
)

// An item is what a body says of one datapoint: its members as they were sent,
// empty where they are missing.
type item struct {
	metric, timestamp, value, fill string

	sent string // the element of a list; empty for the one in the body itself
}

func (i *item) read(object string) {
	for m := membersOf(object); m.next(); {
		i.set(m.name, m.value)
	}
}

// set keeps a member if it is one of an item's.
func (i *item) set(name, value string) {
	switch name {
	case "metric":
		i.metric = value
	case "timestamp":
		i.timestamp = value
	case "value":
		i.value = value
	case "fill":
		i.fill = value
	}
}

// addTo adds the datapoint to s, or returns what is wrong with it. Where that is
// the value, the datapoint is added all the same and holds 0, for its name and
// timestamp to be judged first. A list that is still empty gets room for that
// many.
func (i *item) addTo(s *sdk.Submission, now int64, room int) (fault string) {
	if !isString(i.metric) {
		return "invalid metric - " + i.String()
	}
	d := sdk.Datapoint{Metric: unquote(i.metric), Timestamp: now}
	if i.timestamp != "" && i.timestamp != emptyText {
		var reason string
		d.Timestamp, reason = parseTimestamp(plain(i.timestamp))
		if reason != "" {
			return "invalid timestamp - " + quote(spoken(i.timestamp)) + " - " + reason + " - " + i.String()
		}
	}
	d.Value, fault = i.number()
	batch := &s.Batch
	if i.isFill() {
		batch = &s.Backfill
	}
	if *batch == nil {
		*batch = make(sdk.Batch, 0, room)
	}
	*batch = append(*batch, d)
	return fault
}

// number returns the value, or what is wrong with it.
func (i *item) number() (value float64, fault string) {
	switch i.value {
	case "", emptyText:
		return 0, "no value parameter present - " + i.String()
	case "true":
		return 1, ""
	case "false":
		return 0, ""
	}
	value, ok := parseValue(plain(i.value))
	if !ok {
		return 0, "invalid value - " + i.String()
	}
	return value, ""
}

func (i *item) isFill() bool {
	if !isString(i.fill) {
		return i.fill == "true"
	}
	text := unquote(i.fill)
	return text == "true" || text == "True"
}

// String returns the item as a message repeats it. Of the one in the body
// itself these are its own members alone, since the key stands beside them.
func (i *item) String() string {
	if i.sent != "" {
		return quote(i.sent)
	}
	var b strings.Builder
	for _, m := range [...]struct{ name, value string }{
		{"metric", i.metric}, {"timestamp", i.timestamp}, {"value", i.value}, {"fill", i.fill},
	} {
		if m.value != "" {
			b.WriteString(`, "` + m.name + `": ` + m.value)
		}
	}
	return quote("{" + strings.TrimPrefix(b.String(), ", ") + "}")
}

// spoken returns a timestamp as a message repeats it: words as Python spells
// them, texts without their quotes.
func spoken(value string) string {
	switch value {
	case "null":
		return "None"
	case "true":
		return "True"
	case "false":
		return "False"
	}
	return plain(value)
}
