package schema

import "fmt"

// A Schema is what Carbon makes a metric's whisper file from.
type Schema struct {
	Retentions   []Retention // the finest first
	Aggregation  Aggregation
	XFilesFactor float64 // share of points that must be known, 0 to 1
}

// Validate returns an error unless a whisper file can be made so.
func (s Schema) Validate() error {
	if err := Validate(s.Retentions); err != nil {
		return fmt.Errorf("retentions: %w", err)
	}
	if !s.Aggregation.Known() {
		return fmt.Errorf("%v: whisper does not know it", s.Aggregation)
	}
	if !(s.XFilesFactor >= 0 && s.XFilesFactor <= 1) {
		return fmt.Errorf("xFilesFactor %v: must be 0 to 1", s.XFilesFactor)
	}
	return nil
}

// Enough reports whether an interval of a coarser archive is filled when the
// share known of it, 0 to 1, is known. As in whisper nothing is never enough,
// and the factor counts as the file keeps it, in single precision.
func (s Schema) Enough(known float64) bool {
	return known > 0 && known >= float64(float32(s.XFilesFactor))
}
