package main

import (
	"encoding/binary"
	"math"
	"os"

	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// suitsLibrary reports whether go-whisper fills the coarser archives of such a
// file as Carbon does. It takes AverageZero for something else, does not know
// what follows it, and compares the share of known points with the xFilesFactor
// in single precision: a tenth equals 0.1 there, and is less in Carbon. Quarters
// are the same in both.
func (h header) suitsLibrary() bool {
	quarters := float64(h.xFilesFactor) * 4
	return h.aggregation <= schema.Min && quarters == math.Trunc(quarters)
}

// writeArchive writes points to an archive and brings the coarser ones up to
// date, exactly as Carbon does, whatever the aggregation.
func writeArchive(file *os.File, h header, i int, points []sdk.Point) error {
	fine := ring{file, h.archives[i]}
	for _, p := range points {
		if err := fine.put(fine.interval(p.Timestamp), p.Value); err != nil {
			return err
		}
	}
	for _, a := range h.archives[i+1:] {
		coarse, filled, previous := ring{file, a}, false, int64(-1)
		for _, p := range points {
			interval := coarse.interval(p.Timestamp)
			if interval == previous {
				continue
			}
			previous = interval
			values, err := fine.known(interval, a.Step/fine.Step)
			if err != nil {
				return err
			}
			if !h.enough(len(values), a.Step/fine.Step) {
				continue
			}
			if err := coarse.put(interval, h.aggregation.Of(values, a.Step/fine.Step)); err != nil {
				return err
			}
			filled = true
		}
		if !filled {
			return nil
		}
		fine = coarse
	}
	return nil
}

// enough reports whether known points of count are enough to fill an interval.
func (h header) enough(known int, count int64) bool {
	return known > 0 && float64(known)/float64(count) >= float64(h.xFilesFactor)
}

// A ring is an archive inside an open file.
type ring struct {
	file *os.File
	archive
}

// place returns the offset of an interval's point. An empty ring begins with
// whatever comes first.
func (r ring) place(interval int64) (int64, error) {
	var b [4]byte
	if _, err := r.file.ReadAt(b[:], r.offset); err != nil {
		return 0, err
	}
	base := int64(binary.BigEndian.Uint32(b[:]))
	if base == 0 {
		return r.offset, nil
	}
	distance := interval - base
	n := (distance - (distance%r.Step+r.Step)%r.Step) / r.Step // rounded down, also below 0
	return r.offset + (n%r.Count+r.Count)%r.Count*pointSize, nil
}

func (r ring) put(interval int64, value float64) error {
	at, err := r.place(interval)
	if err != nil {
		return err
	}
	var b [pointSize]byte
	binary.BigEndian.PutUint32(b[:], uint32(interval))
	binary.BigEndian.PutUint64(b[4:], math.Float64bits(value))
	_, err = r.file.WriteAt(b[:], at)
	return err
}

// known returns the values of count points in a row from interval on, without
// those that are not there.
func (r ring) known(interval, count int64) ([]float64, error) {
	at, err := r.place(interval)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, count*pointSize)
	head := raw[:min(int64(len(raw)), r.offset+r.size()-at)]
	if _, err := r.file.ReadAt(head, at); err != nil {
		return nil, err
	}
	if _, err := r.file.ReadAt(raw[len(head):], r.offset); err != nil {
		return nil, err
	}
	var values []float64
	for ; len(raw) > 0; raw = raw[pointSize:] {
		if int64(binary.BigEndian.Uint32(raw)) == interval {
			values = append(values, math.Float64frombits(binary.BigEndian.Uint64(raw[4:])))
		}
		interval += r.Step
	}
	return values, nil
}
