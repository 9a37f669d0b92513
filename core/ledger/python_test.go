package ledger

import (
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestFloatsAreAsPythonPrintsThem(t *testing.T) {
	for value, want := range map[float64]string{
		0: "0.0", 3: "3.0", 0.1: "0.1", -2.5: "-2.5", 1e-4: "0.0001", 1e-5: "1e-05", 1e15: "1000000000000000.0",
		1e16: "1e+16", 123456789.123456789: "123456789.12345679", 1.2345678901234568e+29: "1.2345678901234568e+29", 5e-324: "5e-324",
		math.NaN(): "None", math.Inf(1): "None", math.Inf(-1): "None",
	} {
		if got := string(appendFloat(nil, value)); got != want {
			t.Errorf("%g is printed %q, want %q", value, got, want)
		}
	}
}

func listText(timestamp int64, value float64) string {
	return string(appendList(nil, timestamp, value))
}

func dictText(timestamp int64, value float64) string {
	return string(appendDict(nil, timestamp, value))
}

// FuzzListText and FuzzDictText: what is written is read back, and is no longer
// than what is planned for.
func FuzzListText(f *testing.F) { fuzzText(f, listText, "[", "]") }

func FuzzDictText(f *testing.F) { fuzzText(f, dictText, "{'timestamp': ", "}") }

func fuzzText(f *testing.F, text func(int64, float64) string, begin, end string) {
	for _, value := range []float64{0, math.Copysign(0, -1), 1, 0.1, 1e-5, 1e16, -1.7976931348623157e308, 5e-324, 123456789.123456789} {
		f.Add(int64(1478021700), value)
	}
	f.Add(int64(0), 1.0)
	f.Add(int64(math.MaxInt64), 1.0)
	f.Add(int64(1478021700), math.NaN())
	f.Add(int64(1478021700), math.Inf(-1))
	f.Fuzz(func(t *testing.T, timestamp int64, value float64) {
		if timestamp < 0 {
			return // never accepted
		}
		entry := text(timestamp, value)
		if got := timestampOf(entry); got != timestamp {
			t.Errorf("%q is read back as %d, want %d", entry, got, timestamp)
		}
		inner, ok := strings.CutPrefix(entry, begin)
		if !ok || !strings.HasSuffix(entry, end) {
			t.Fatalf("%q is no literal", entry)
		}
		_, digits, _ := strings.Cut(strings.ReplaceAll(strings.TrimSuffix(inner, end), "'value': ", ""), ", ")
		if math.IsNaN(value) || math.IsInf(value, 0) {
			if digits != "None" {
				t.Errorf("python cannot read %q", entry)
			}
			return
		}
		if read, err := strconv.ParseFloat(digits, 64); err != nil || math.Float64bits(read) != math.Float64bits(value) {
			t.Errorf("the value of %q is read back as %v, %v", entry, read, err)
		}
		if !strings.ContainsAny(digits, ".e") {
			t.Errorf("python would read the value of %q as a whole number", entry)
		}
	})
}
