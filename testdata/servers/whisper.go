package servers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"fluxgate/sdk"
)

// Points returns what Carbon's whisper file of metric holds now, for the
// timestamps from and until and those between; nothing when there is no file
// yet. A datapoint may take a second to get there: see [CarbonServer.Await].
func (c *CarbonServer) Points(t testing.TB, metric string, from, until int64) []sdk.Point {
	t.Helper()
	out := Python(t, whisperScript+"show(*sys.argv[1:])", "", c.Whisper, metric, fmt.Sprint(from), fmt.Sprint(until))
	return parsePoints(t, metric, out)
}

// parsePoints reads lines of a timestamp and the bits of a value.
func parsePoints(t testing.TB, metric, lines string) (points []sdk.Point) {
	t.Helper()
	for line := range strings.Lines(lines) {
		timestamp, bits, _ := strings.Cut(strings.TrimSpace(line), " ")
		at, err := strconv.ParseInt(timestamp, 10, 64)
		if err != nil {
			t.Fatalf("whisper file of %s: line %q", metric, line)
		}
		value, err := strconv.ParseUint(bits, 16, 64)
		if err != nil {
			t.Fatalf("whisper file of %s: line %q", metric, line)
		}
		points = append(points, sdk.Point{Timestamp: at, Value: math.Float64frombits(value)})
	}
	return points
}

// Await returns when Carbon's whisper files hold each datapoint of want, at its
// timestamp and with its value to the bit. After thirty seconds it ends the test
// and names what is missing. Timestamps must be multiples of the metric's step.
func (c *CarbonServer) Await(t testing.TB, want sdk.Batch) {
	t.Helper()
	var in strings.Builder
	lines := json.NewEncoder(&in)
	for _, d := range want {
		if err := lines.Encode([]any{d.Metric, d.Timestamp, fmt.Sprintf("%016x", math.Float64bits(d.Value))}); err != nil {
			t.Fatal(err)
		}
	}
	out := Python(t, whisperScript+"wait(*sys.argv[1:])", in.String(), c.Whisper, fmt.Sprint(patience.Seconds()))
	if out == "" {
		return
	}
	first, _ := bufio.NewReader(strings.NewReader(out)).ReadString('\n')
	t.Fatalf("%d of %d datapoints are not in Carbon's whisper files, the first: %s", strings.Count(out, "\n"), len(want), first)
}

// whisperScript reads whisper files with Graphite's own code. A value is shown
// as its bits, in hexadecimal.
const whisperScript = `
import json, os, struct, sys, time, whisper

def points(root, metric, start, end):
    path = os.path.join(root, metric.replace('.', '/') + '.wsp')
    if not os.path.exists(path):
        return {}
    # whisper's fetch leaves out its first second, and what lies after now.
    found = whisper.fetch(path, start - 1, end, now=max(end, int(time.time())))
    if found is None:
        return {}
    (first, _, step), values = found
    return {first + i * step: struct.pack('>d', v).hex() for i, v in enumerate(values) if v is not None}

def show(root, metric, start, end):
    for at, bits in sorted(points(root, metric, int(start), int(end)).items()):
        print(at, bits)

def wait(root, seconds):
    want = {}
    for line in sys.stdin:
        metric, at, bits = json.loads(line)
        want.setdefault(metric, {})[at] = bits
    deadline = time.monotonic() + float(seconds) - 2
    while want:
        missing = []
        for metric, expected in list(want.items()):
            try:
                found = points(root, metric, min(expected), max(expected))
            except Exception:  # the file is just being made
                found = {}
            lacking = {at: bits for at, bits in expected.items() if found.get(at) != bits}
            if not lacking:
                del want[metric]
            missing += [(metric, at, bits, found.get(at)) for at, bits in lacking.items()]
        if time.monotonic() > deadline:
            for metric, at, bits, got in missing:
                print(metric, at, 'want bits', bits, 'found', got)
            return
        if missing:
            time.sleep(0.05)

`
