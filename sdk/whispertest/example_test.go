package whispertest_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/whispertest"
)

// report is the code under test: it sends how busy a node is.
func report(url, key string, now int64) error {
	const form = "%s/flux/metric_data?metric=vista.nodes.one.cpu&value=1.5&timestamp=%d&key=%s"
	answer, err := http.Get(fmt.Sprintf(form, url, now, key))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		return fmt.Errorf("fluxgate answers %s", answer.Status)
	}
	return nil
}

func testReport(t *testing.T) {
	gate := whispertest.Start(t)
	now := time.Now().Unix()
	if err := report(gate.URL, gate.Key, now); err != nil {
		t.Fatal(err)
	}
	gate.Want("vista.nodes.one.cpu", sdk.Point{Timestamp: now, Value: 1.5})
}

// A collector is tested against the whisper files that come of what it sends.
func Example() {
	var t *testing.T // as a test gets it
	_ = func() { testReport(t) }
}
