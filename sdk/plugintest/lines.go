package plugintest

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"fluxgate/sdk"
)

// Lines reads what is stored from lines of a metric, a value and a timestamp, as
// Carbon takes them. What is none is left out: a sink may store what is bad, and a
// line may be half written.
func Lines(text string) (stored sdk.Batch) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 3 || !strings.HasSuffix(line, "\n") {
			continue
		}
		value, odd := strconv.ParseFloat(words[1], 64)
		timestamp, bad := strconv.ParseInt(words[2], 10, 64)
		if odd == nil && bad == nil {
			stored = append(stored, sdk.Datapoint{Metric: words[0], Timestamp: timestamp, Value: value})
		}
	}
	return stored
}

// LinesOf is [Lines] of a file, which may come only with the first datapoint.
func LinesOf(path string) (stored sdk.Batch, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return Lines(string(text)), err
}
