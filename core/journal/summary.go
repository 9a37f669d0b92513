package journal

// summary says whether a sealed segment has one.
type summary int

const (
	none summary = iota
	made
)

func (l *Log) summarize() {}

func (l *Log) loadSummaries(names []string) error { return nil }
