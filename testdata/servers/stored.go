package servers

import (
	"encoding/binary"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluxgate/sdk"
)

// Stored returns what the finest archives of all whisper files below folder hold,
// in no order.
func Stored(t testing.TB, folder string) (all sdk.Batch) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".wsp" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, strings.TrimSuffix(path, ".wsp"))
		all = append(all, finest(strings.ReplaceAll(name, "/", "."), text)...)
		return err
	})
	if err != nil && !os.IsNotExist(err) { // what is being made may come and go
		t.Fatal(err)
	}
	return all
}

// finest reads the finest archive of a whisper file. A file that is not whole yet
// has nothing in it.
func finest(metric string, file []byte) (b sdk.Batch) {
	const head, point = 16 + 12, 12 // the head of a file with that of its first archive; bytes
	if len(file) < head {
		return nil
	}
	offset, count := binary.BigEndian.Uint32(file[16:]), binary.BigEndian.Uint32(file[24:])
	for i := range int(count) {
		at := int(offset) + i*point
		if at+point > len(file) {
			return nil
		}
		if timestamp := binary.BigEndian.Uint32(file[at:]); timestamp != 0 {
			b = append(b, sdk.Datapoint{
				Metric: metric, Timestamp: int64(timestamp), Value: math.Float64frombits(binary.BigEndian.Uint64(file[at+4:])),
			})
		}
	}
	return b
}
