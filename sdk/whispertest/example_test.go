package whispertest_test

import (
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/whispertest"
)

// report is the code under test: it sends the temperature of a room.
func report(door, key string, degrees float64, at time.Time) error {
	query := url.Values{
		"metric": {"rooms.one.temperature"}, "value": {strconv.FormatFloat(degrees, 'g', -1, 64)},
		"timestamp": {strconv.FormatInt(at.Unix(), 10)}, "key": {key},
	}
	response, err := http.Get(door + "?" + query.Encode())
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// A test of a program that sends metrics.
func Example() {
	test := func(t *testing.T) {
		c := whispertest.Defaults()
		c.Retentions, c.XFilesFactor = "60s:1d,5m:7d", 0
		gate := c.Start(t)

		at := time.Now().Truncate(5 * time.Minute)
		if err := report(gate.URL+"/flux/metric_data", gate.Key, 21.5, at); err != nil {
			t.Fatal(err)
		}
		gate.Want("rooms.one.temperature", sdk.Point{Timestamp: at.Unix(), Value: 21.5})
		gate.WantArchive("rooms.one.temperature", 5*time.Minute, sdk.Point{Timestamp: at.Unix(), Value: 21.5})
	}
	_ = test // go test calls it TestReport
}

func TestExample(t *testing.T) {
	t.Parallel()
	gate := whispertest.Start(t)
	at := time.Now().Truncate(time.Minute)
	if err := report(gate.URL+"/flux/metric_data", gate.Key, 21.5, at); err != nil {
		t.Fatal(err)
	}
	gate.Want("rooms.one.temperature", sdk.Point{Timestamp: at.Unix(), Value: 21.5})
}
