package journal

// Findings are what Verify found.
type Findings struct {
	Segments   int
	Bytes      int64 // of segments
	Records    uint64
	Datapoints uint64
	Damages    []Damage
	Problems   []error // other than damages
	End        Position
	Books      []Books // of each reader, sorted by name
}
