package sdk

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"
	"unsafe"
)

// sameBatch compares values by their bits: those that are not a number are not equal.
func sameBatch(a, b Batch) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d datapoints, want %d", len(a), len(b))
	}
	for i := range a {
		if a[i].Metric != b[i].Metric || a[i].Timestamp != b[i].Timestamp || math.Float64bits(a[i].Value) != math.Float64bits(b[i].Value) {
			return fmt.Errorf("datapoint %d: %v, want %v", i, a[i], b[i])
		}
	}
	return nil
}

// isPartOf reports whether text is a part of data, and no copy.
func isPartOf(text string, data []byte) bool {
	if text == "" {
		return true
	}
	begin, from := uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	return begin >= from && begin+uintptr(len(text)) <= from+uintptr(len(data))
}

// FuzzReadBatch reads whatever bytes as columns. What is a batch is written as the
// same bytes again, and refers to nothing but these.
func FuzzReadBatch(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(AppendBatch(nil, nil))
	f.Add(AppendBatch(nil, Batch{{"a.b", 1478021700, 1.5}, {"", -1, math.Inf(1)}, {"a\xff", math.MinInt64, math.NaN()}}))
	f.Add(AppendBatch(nil, Batch{{"a.b", 1, 1}})[:25])
	f.Add(append(AppendBatch(nil, Batch{{"a.b", 1, 1}}), 0))
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		kept := bytes.Clone(data)
		before := Batch{{"before", 1, 2}}
		b, err := ReadBatch(before, data)
		if n := countBatch(data); n*datapointSize > len(data) || err == nil && n != len(b)-1 {
			t.Fatalf("%d datapoints in %d bytes, of which %d are read", n, len(data), len(b)-1)
		}
		if !bytes.Equal(data, kept) || b[0] != before[0] {
			t.Fatal("what it reads, or what was there before, is changed")
		}
		if err != nil {
			if !errors.Is(err, ErrInvalid) || len(b) != 1 {
				t.Fatalf("%v, and %d datapoints", err, len(b)-1)
			}
			return
		}
		for _, d := range b[1:] {
			if !isPartOf(d.Metric, data) {
				t.Fatalf("metric %q is not in the data", d.Metric)
			}
		}
		if again := AppendBatch([]byte("x"), b[1:]); !bytes.Equal(again[1:], data) {
			t.Fatalf("%x became %x", data, again[1:])
		}
	})
}

// FuzzAppendBatch writes batches made of whatever bytes, and reads them back.
func FuzzAppendBatch(f *testing.F) {
	f.Add([]byte("a.b\x00c\x00\x00d"), int64(1), 0.5, 3)
	f.Add([]byte(nil), int64(math.MinInt64), math.NaN(), 0)
	f.Fuzz(func(t *testing.T, names []byte, timestamp int64, value float64, spare int) {
		var b Batch
		for i, name := range bytes.Split(names, []byte{0}) {
			b = append(b, Datapoint{string(name), timestamp + int64(i), value * float64(i+1)})
		}
		dst := make([]byte, 2, 2+min(max(spare, 0), 1<<16))
		data := AppendBatch(dst, b)
		got, err := ReadBatch(nil, data[2:])
		if err != nil {
			t.Fatal(err)
		}
		if err := sameBatch(got, b); err != nil || !bytes.Equal(data[:2], []byte{0, 0}) {
			t.Fatal(err)
		}
	})
}

func TestColumnsAreMadeAndReadInTheMemoryThereIs(t *testing.T) {
	b := Batch{{"a.b", 1478021700, 1.5}, {"c", -1, 2}}
	data, rows := make([]byte, 0, 100), make(Batch, 0, 10)
	if n := testing.AllocsPerRun(100, func() {
		data = AppendBatch(data[:0], b)
		rows, _ = ReadBatch(rows[:0], data)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
