package whispertest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"fluxgate/sdk"
)

// door is where metrics are taken.
const door = "/metric_data_post"

// sendTimeout is longer than Fluxgate waits for its sinks.
const sendTimeout = 40 * time.Second

// Send sends a datapoint as any sender does, and returns when it is in the
// metric's file. It fails the test unless it is taken. As ever, what is not newer
// than what its metric already has is taken and dropped.
func (g *Gate) Send(metric string, value float64, at time.Time) {
	g.t.Helper()
	g.SendBatch(sdk.Batch{{Metric: metric, Timestamp: at.Unix(), Value: value}})
}

// SendBatch is like [Gate.Send], for datapoints that travel in one request.
func (g *Gate) SendBatch(b sdk.Batch) {
	g.t.Helper()
	g.send("send", b, false)
}

// Backfill is like [Gate.SendBatch], and has datapoints stored whatever their
// age and whatever their metrics already have.
func (g *Gate) Backfill(b sdk.Batch) {
	g.t.Helper()
	g.send("backfill", b, true)
}

func (g *Gate) send(verb string, b sdk.Batch, fill bool) {
	g.t.Helper()
	if err := g.post(b, fill); err != nil {
		g.t.Fatalf("%s %s: %v", verb, summary(b), err)
	}
}

func summary(b sdk.Batch) string {
	if len(b) != 1 {
		return fmt.Sprintf("%d datapoints", len(b))
	}
	return fmt.Sprintf("%s %v %d", b[0].Metric, b[0].Value, b[0].Timestamp)
}

// post returns nil once b is in its files.
func (g *Gate) post(b sdk.Batch, fill bool) error {
	type item struct {
		Metric    string  `json:"metric"`
		Timestamp int64   `json:"timestamp"`
		Value     float64 `json:"value"`
		Fill      bool    `json:"fill,omitempty"`
	}
	items := make([]item, len(b))
	for i, d := range b {
		items[i] = item{d.Metric, d.Timestamp, d.Value, fill}
	}
	body, err := json.Marshal(map[string]any{"key": g.Key, "metrics": items})
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPost, g.URL+door, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Fluxgate-Ack", "delivered")
	client := http.Client{Timeout: sendTimeout}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("answered %s: %s", response.Status, strings.TrimSpace(string(text)))
	}
	return errors.Join(err, response.Body.Close())
}
