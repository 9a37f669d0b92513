package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// randomBatch returns n datapoints that look for trouble: any bits that are a
// finite value, any 64 bits of timestamp, names of any signs that are no blanks.
func randomBatch(r *rand.Rand, n int) sdk.Batch {
	values := []float64{0, math.Copysign(0, -1), math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, 0x1p-1022,
		math.MaxFloat64, -math.MaxFloat64, 0.1, 1, 1 << 53, 1e16, 1e-5}
	timestamps := []int64{0, 1, -1, 255, 65536, math.MaxInt32, math.MaxInt32 + 1, math.MinInt32, math.MinInt32 - 1,
		math.MaxUint32, math.MaxInt64, math.MinInt64, 1478021700}
	letters := []rune("abcXYZ019._-+%/=:;'\"\\(){}é漢😀\u00a0\u2028")
	b := make(sdk.Batch, n)
	for i := range b {
		name := make([]rune, 1+r.IntN(60))
		for j := range name {
			name[j] = letters[r.IntN(len(letters))]
		}
		b[i] = sdk.Datapoint{Metric: string(name), Timestamp: timestamps[r.IntN(len(timestamps))], Value: values[r.IntN(len(values))]}
		if r.IntN(2) == 0 {
			b[i].Timestamp = int64(r.Uint64()) >> r.IntN(64)
		}
		for r.IntN(2) == 0 {
			if v := math.Float64frombits(r.Uint64()); !math.IsNaN(v) && !math.IsInf(v, 0) {
				b[i].Value = v
			}
		}
	}
	return b
}

func TestPythonReadsWhatIsWritten(t *testing.T) {
	b := randomBatch(rand.New(rand.NewPCG(1, 2)), 5000)
	got := servers.Python(t, `
import pickle, struct, sys
raw = bytes.fromhex(sys.stdin.read())
while raw:
    size, = struct.unpack('>I', raw[:4])
    assert size + 4 <= 512 * 1024, size
    assert raw[4:6] == b'\x80\x02', raw[4:6]
    points, raw = pickle.loads(raw[4:4 + size]), raw[4 + size:]
    assert type(points) is list and 0 < len(points) <= 480, len(points)
    for metric, (timestamp, value) in points:
        assert type(metric) is str and type(timestamp) is int and type(value) is float
        print(metric.encode().hex(), timestamp, struct.pack('>d', value).hex())
`, hex.EncodeToString(appendFrames(nil, b)))
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != len(b) {
		t.Fatalf("python reads %d datapoints, want %d", len(lines), len(b))
	}
	for i, d := range b {
		want := fmt.Sprintf("%x %d %016x", d.Metric, d.Timestamp, math.Float64bits(d.Value))
		if lines[i] != want {
			t.Fatalf("python reads datapoint %d as %s, want %s", i, lines[i], want)
		}
	}
}

func TestFrameLimits(t *testing.T) {
	long := sdk.Datapoint{Metric: strings.Repeat("m", 4000), Timestamp: 1 << 40}
	fitting := (maxFrame - frameHead - frameTail) / datapointSize(&long)
	// exact returns a batch whose frame would be of that many bytes.
	exact := func(bytes int) sdk.Batch {
		b := repeat(sdk.Datapoint{Metric: strings.Repeat("m", 4000)}, 120)
		last := bytes - frameHead - frameTail - len(b)*datapointSize(&b[0]) - datapointSize(&sdk.Datapoint{})
		return append(b, sdk.Datapoint{Metric: strings.Repeat("m", last)})
	}
	tests := []struct {
		name string
		in   sdk.Batch
		want []int // datapoints in each frame
	}{
		{"empty batch", nil, nil},
		{"one datapoint", make(sdk.Batch, 1), []int{1}},
		{"a full frame", make(sdk.Batch, 480), []int{480}},
		{"one more than a full frame", make(sdk.Batch, 481), []int{480, 1}},
		{"a host's largest batch", make(sdk.Batch, 5000), []int{480, 480, 480, 480, 480, 480, 480, 480, 480, 480, 200}},
		{"long names: a frame's bytes end first", repeat(long, fitting), []int{fitting}},
		{"long names: one more", repeat(long, fitting+1), []int{fitting, 1}},
		{"a frame of as many bytes as may be", exact(maxFrame), []int{121}},
		{"one byte more", exact(maxFrame + 1), []int{120, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := appendFrames(nil, tt.in)
			var got []int
			for len(raw) > 0 {
				b, rest := readFrame(t, raw)
				got, raw = append(got, len(b)), rest
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("datapoints in the frames: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	b := randomBatch(rand.New(rand.NewPCG(7, 8)), 5000)
	dst := appendFrames(nil, b)
	if n := testing.AllocsPerRun(10, func() { dst = appendFrames(dst[:0], b) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func repeat(d sdk.Datapoint, n int) sdk.Batch {
	b := make(sdk.Batch, n)
	for i := range b {
		b[i] = d
	}
	return b
}

// readFrame reads the first frame of raw, by the book and not by the encoder.
func readFrame(t *testing.T, raw []byte) (b sdk.Batch, rest []byte) {
	t.Helper()
	take := func(n int) []byte {
		if n > len(raw) {
			t.Fatalf("the frame ends %d bytes early", n-len(raw))
		}
		part := raw[:n]
		raw = raw[n:]
		return part
	}
	expect := func(what string) {
		if got := take(len(what)); string(got) != what {
			t.Fatalf("%q, where %q is due", got, what)
		}
	}
	size := binary.BigEndian.Uint32(take(4))
	if size+4 > maxFrame {
		t.Fatalf("a frame of %d bytes", size+4)
	}
	rest = raw[min(int(size), len(raw)):]
	raw = take(int(size))
	expect("\x80\x02](")
	for len(raw) > 2 {
		expect("X")
		d := sdk.Datapoint{Metric: string(take(int(binary.LittleEndian.Uint32(take(4)))))}
		if op := take(1); op[0] == 'J' {
			d.Timestamp = int64(int32(binary.LittleEndian.Uint32(take(4))))
		} else if op[0] == 0x8a && bytes.Equal(take(1), []byte{8}) {
			d.Timestamp = int64(binary.LittleEndian.Uint64(take(8)))
		} else {
			t.Fatalf("opcode %q, where a timestamp is due", op)
		}
		expect("G")
		d.Value = math.Float64frombits(binary.BigEndian.Uint64(take(8)))
		expect("\x86\x86")
		b = append(b, d)
	}
	expect("e.")
	if len(b) == 0 || len(b) > maxFrameDatapoints {
		t.Fatalf("a frame of %d datapoints", len(b))
	}
	return b, rest
}

// straightforward writes b as one frame, without a thought of speed.
func straightforward(b sdk.Batch) []byte {
	list := []byte("\x80\x02](")
	for _, d := range b {
		list = binary.LittleEndian.AppendUint32(append(list, 'X'), uint32(len(d.Metric)))
		list = append(list, d.Metric...)
		if d.Timestamp >= math.MinInt32 && d.Timestamp <= math.MaxInt32 {
			list = binary.LittleEndian.AppendUint32(append(list, 'J'), uint32(d.Timestamp))
		} else {
			list = binary.LittleEndian.AppendUint64(append(list, 0x8a, 8), uint64(d.Timestamp))
		}
		list = binary.BigEndian.AppendUint64(append(list, 'G'), math.Float64bits(d.Value))
		list = append(list, 0x86, 0x86)
	}
	list = append(list, "e."...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(list))), list...)
}

func FuzzAppendFrames(f *testing.F) {
	f.Add("vista.nodes.skyline-1.cpu.user", "température", int64(1478021700), 1.0, uint16(1))
	f.Add("a\nb", "\xff", int64(-1), math.Inf(1), uint16(481))
	f.Add("", strings.Repeat("x", 4096), int64(math.MinInt64), math.Copysign(0, -1), uint16(1000))
	f.Fuzz(func(t *testing.T, first, second string, timestamp int64, value float64, n uint16) {
		want := make(sdk.Batch, n%1500)
		for i := range want {
			want[i] = sdk.Datapoint{Metric: first, Timestamp: timestamp + int64(i), Value: value}
			if i%3 == 0 {
				want[i] = sdk.Datapoint{Metric: second, Timestamp: -timestamp, Value: float64(i)}
			}
		}
		// Memory that was used before, with less room than it takes.
		raw := appendFrames(bytes.Repeat([]byte("used"), 1000)[:6:6+n%3000], want)
		if string(raw[:6]) != "usedus" {
			t.Fatalf("what was there before is %q", raw[:6])
		}
		raw = raw[6:]
		var got sdk.Batch
		for len(raw) > 0 {
			b, rest := readFrame(t, raw)
			if frame := raw[:len(raw)-len(rest)]; !bytes.Equal(frame, straightforward(b)) {
				t.Fatalf("a frame of %d datapoints is %q, want %q", len(b), frame, straightforward(b))
			}
			got, raw = append(got, b...), rest
		}
		if len(got) != len(want) {
			t.Fatalf("%d datapoints are %d in the frames", len(want), len(got))
		}
		for i, d := range want {
			g := got[i]
			if g.Metric != d.Metric || g.Timestamp != d.Timestamp || math.Float64bits(g.Value) != math.Float64bits(d.Value) {
				t.Fatalf("datapoint %d is %v, want %v", i, g, d)
			}
		}
	})
}
