package servers

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"fluxgate/sdk"
)

// WriteWhisper writes points to metric's whisper file in a folder of such files,
// as if each had arrived alone, in the second of its timestamp: into the finest
// archive, and from there, averaged, into the others, when half of the values
// are known. The file is made if it is not there, with the retentions given, such
// as "60s:1d,5m:7d". A second's worth of points is about 10,000.
func WriteWhisper(t testing.TB, whisperFolder, metric, retentions string, points []sdk.Point) {
	t.Helper()
	NeedPython(t, "whisper")
	var in strings.Builder
	lines := json.NewEncoder(&in)
	for _, p := range points {
		if err := lines.Encode([]any{p.Timestamp, fmt.Sprintf("%016x", math.Float64bits(p.Value))}); err != nil {
			t.Fatal(err)
		}
	}
	Python(t, archivesScript+"write(*sys.argv[1:])", in.String(), File(whisperFolder, metric), retentions)
}

// ReadWhisper returns what each archive of a whisper file holds now, the finest
// first, whatever the others hold for the same time.
func ReadWhisper(t testing.TB, file string) (archives [][]sdk.Point) {
	t.Helper()
	NeedPython(t, "whisper")
	out := Python(t, archivesScript+"read(*sys.argv[1:])", "", file)
	for _, archive := range strings.Split(out, "archive\n")[1:] {
		archives = append(archives, parsePoints(t, filepath.Base(file), archive))
	}
	return archives
}

// archivesScript writes and reads whisper files with Graphite's own code.
const archivesScript = `
import json, os, struct, sys, time, whisper

def write(path, retentions):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path):
        whisper.create(path, [whisper.parseRetentionDef(r) for r in retentions.split(',')])
    whisper.CACHE_HEADERS = True
    with open(path, 'r+b') as file:
        for line in sys.stdin:
            at, bits = json.loads(line)
            whisper.file_update(file, struct.unpack('>d', bytes.fromhex(bits))[0], at, now=at)

def read(path):
    now = int(time.time())
    for archive in whisper.info(path)['archives']:
        print('archive')
        step = archive['secondsPerPoint']
        (first, _, step), values = whisper.fetch(path, now - archive['retention'], now, now=now, archiveToSelect=step)
        for i, value in enumerate(values):
            if value is not None:
                print(first + i * step, struct.pack('>d', value).hex())
`
