// Fluxgate-input-csv takes rows "metric,timestamp,value" by POST, with the API key as the password of
// HTTP's basic authentication: curl --user :KEY --data-binary @rows.csv http://fluxgate/csv
package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"fluxgate/sdk"
)

func main() { sdk.ServeInput(input{Comma: ","}, open) }

type input struct {
	Comma string `koanf:"comma" help:"what stands between the columns, a single character"`
}

func (c input) Validate() error {
	if len(c.Comma) != 1 || strings.ContainsAny(c.Comma, "\"\r\n\x00") {
		return fmt.Errorf("comma %q: must be a single character, and no quote or end of line", c.Comma)
	}
	return nil
}

func open(_ context.Context, configured input) (sdk.Input, error) { return configured, nil }

func (c input) Decode(_ context.Context, r sdk.Request) (sdk.Submission, error) {
	_, key, ok := (&http.Request{Header: r.Header}).BasicAuth()
	if !ok {
		return sdk.Submission{}, sdk.Invalidf("no key: send it as the password of basic authentication")
	}
	s := sdk.Submission{Key: key}
	rows := csv.NewReader(bytes.NewReader(r.Body))
	rows.Comma, rows.FieldsPerRecord = rune(c.Comma[0]), 3
	for {
		row, err := rows.Read()
		if err == io.EOF {
			return s, nil
		}
		d, err := datapoint(row, err)
		if err != nil {
			s.Invalid = err.Error()
			return s, nil
		}
		s.Batch = append(s.Batch, d)
	}
}

// datapoint reads a row, unless there was an error before.
func datapoint(row []string, err error) (d sdk.Datapoint, _ error) {
	if err != nil {
		return d, err
	}
	if d.Timestamp, err = strconv.ParseInt(row[1], 10, 64); err != nil {
		return d, fmt.Errorf("timestamp %q: must be a number of seconds", row[1])
	}
	if d.Value, err = strconv.ParseFloat(row[2], 64); err != nil || math.IsNaN(d.Value) || math.IsInf(d.Value, 0) {
		return d, fmt.Errorf("value %q: must be a finite number", row[2])
	}
	d.Metric = row[0]
	return d, nil
}
