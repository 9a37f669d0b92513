package populate

// A Form is how a request was written.
type Form string

// The forms of a request.
const (
	Vista Form = "vista" // the nine text fields that Skyline's Vista sends
	Plain Form = "plain" // Fluxgate's own
)

// Kinds of remotes.
const (
	Graphite   = "graphite"
	Prometheus = "prometheus"
)

// A Request is what a job is to do: bring the history of one metric from a remote
// to a sink.
type Request struct {
	Form      Form     `json:"form"`
	Kind      string   `json:"kind"`              // Graphite or Prometheus
	Remote    string   `json:"remote,omitempty"`  // base URL of the remote, of a plain request
	Target    string   `json:"target"`            // what the remote calls the metric, or an expression
	URLs      []string `json:"urls,omitempty"`    // of a Vista request, as they stand in it
	Metric    string   `json:"metric"`            // as sent, until it is brought to its canonical form
	From      int64    `json:"from,omitempty"`    // Unix seconds; 0: what the ledger lacks
	Until     int64    `json:"until,omitempty"`   // Unix seconds, not included; 0: the last complete interval
	Step      int64    `json:"step"`              // seconds; 0: as configured
	Resampler string   `json:"resampler"`         // empty: as configured for the metric
	Sink      string   `json:"sink"`              // empty: as configured
	DryRun    bool     `json:"dry_run,omitempty"` // tell the plan, and do nothing
	Login     Login    `json:"-"`                 // of a Vista request
}

// A Login is what a Vista request carries for its remote. It is kept with the job
// for hosts that are configured to honour it, shown nowhere, and dropped otherwise.
type Login struct{ Token, User, Password string }

// A Posted is a request as it was posted. Key is judged first: what is wrong with
// the rest is told only to whoever has one.
type Posted struct {
	Key     string
	Request Request
	Invalid string // why the request is refused; empty: it is sound as far as its form goes
}
