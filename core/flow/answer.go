package flow

import (
	"encoding/json"
	"net/http"
	"strings"

	"fluxgate/sdk"
)

// keyValid answers a request that asks only about its key.
var keyValid = Answer{http.StatusOK, []byte(`{"status": "key valid"}`)}

// dryRun reports what would have been stored: all datapoints count, fresh or not.
func dryRun(s sdk.Submission, prefix string) Answer {
	if prefix == "" {
		prefix = "None"
	}
	names := make([]string, 0, len(s.Batch)+len(s.Backfill))
	for _, b := range []sdk.Batch{s.Batch, s.Backfill} {
		for _, d := range b {
			names = append(names, "'"+d.Metric+"'")
		}
	}
	body, err := json.Marshal(struct {
		Namespace   string `json:"namespace"`
		Message     string `json:"message"`
		IngestCount int    `json:"ingest_count"`
		DropCount   int    `json:"drop_count"`
		Metrics     string `json:"metrics"` // the names as Python prints a list
		Dropped     string `json:"dropped"`
	}{
		Namespace:   prefix,
		Message:     "metric ingestion test, no metrics were ingested only counts are reported",
		IngestCount: len(names),
		Metrics:     "[" + strings.Join(names, ", ") + "]",
		Dropped:     "[]",
	})
	if err != nil {
		panic(err) // strings and numbers are always JSON
	}
	return Answer{http.StatusOK, body}
}
