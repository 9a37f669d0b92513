// Package config reads what the operator wants: the defaults, under a file,
// under the environment, under flags. What it returns has been checked.
package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Config holds every setting. Printed in any way it shows neither keys nor
// passwords nor the settings of plugins.
type Config struct {
	Listen     string               `koanf:"listen"` // where metrics are taken, as host:port
	Admin      string               `koanf:"admin"`  // where health and metrics are shown, as host:port
	Data       string               `koanf:"data"`   // the folder for everything that is kept, as given
	Keys       []Key                `koanf:"keys"`   // empty: one is made
	Ack        string               `koanf:"ack"`    // when a request is answered, for keys that do not say: durable or delivered
	Redis      Redis                `koanf:"redis"`
	Ledger     Ledger               `koanf:"ledger"`
	Validate   Validate             `koanf:"validate"`
	Limits     Limits               `koanf:"limits"`
	Plugins    []string             `koanf:"plugins"`    // the folders where programs are looked for, in order
	Inputs     map[string]Input     `koanf:"inputs"`     // at least one
	Sinks      map[string]Sink      `koanf:"sinks"`      // at least one
	Resamplers map[string]Resampler `koanf:"resamplers"` // at least one
	Populate   Populate             `koanf:"populate"`
	Log        Log                  `koanf:"log"`
	Runtime    Runtime              `koanf:"runtime"`

	// What follows is no setting, and is left to the caller of Load.
	Lock   string   `koanf:"-"` // the file that pins programs; empty: none
	Flags  string   `koanf:"-"` // which have another command mean the same server, as a shell reads them
	Attach []string `koanf:"-"` // plugins that are spoken to and not started, as NAME=WHERE
}

// Command returns what a person types to have another command, such as "journal
// show", mean the same server. A remedy quotes no command otherwise.
func (c Config) Command(words string) string {
	return strings.TrimSpace("fluxgate " + words + " " + c.Flags)
}

// A Key admits requests.
type Key struct {
	Key    Secret   `koanf:"key"`    // plainly, or "sha256:" and its digest in hexadecimal
	Prefix string   `koanf:"prefix"` // the namespace of its metrics; empty: none
	Ack    string   `koanf:"ack"`    // as with the Config; empty: what that says
	Hosts  []string `koanf:"hosts"`  // those of populate.allow that its jobs may fetch from, in the same forms; empty: all
}

// Redis says where the ledger is kept.
type Redis struct {
	Address  []string      `koanf:"address"` // host:port, or the absolute path of a socket; several: nodes of a cluster; none: the ledger is embedded
	Username string        `koanf:"username"`
	Password Secret        `koanf:"password"`
	Database int           `koanf:"database"`
	TLS      TLS           `koanf:"tls"`
	Expire   time.Duration `koanf:"expire"` // of the entries flux.last.<metric>, in whole seconds; 0: never
	Hash     bool          `koanf:"hash"`   // whether the hash flux.last.metric_data is kept too
}

// Ledger says what is remembered of metrics.
type Ledger struct {
	Mode    string `koanf:"mode"`    // local or shared; empty: local for an embedded ledger, shared for one in Redis
	Metrics int    `koanf:"metrics"` // how many are remembered, about
}

// Who records in the ledger.
const (
	LedgerLocal  = "local"  // this Fluxgate alone, which asks about each metric once
	LedgerShared = "shared" // others too, so that it asks for each request
)

// TLS says whether and how a connection is encrypted.
type TLS struct {
	Enabled bool   `koanf:"enabled"`
	CA      string `koanf:"ca"` // a PEM file with the certificates that vouch for the server's; empty: those of the system
}

// Validate bounds timestamps, in whole seconds from now.
type Validate struct {
	MaxAge   time.Duration `koanf:"max_age"`
	MaxAhead time.Duration `koanf:"max_ahead"`
}

// Limits bound what requests may hold of memory, what waits may of the disk, and
// what history may of a sink.
type Limits struct {
	Body     Size `koanf:"body"`     // of one request, at most 1 GiB
	Inflight Size `koanf:"inflight"` // of all requests that are being worked on
	Journal  Size `koanf:"journal"`  // of all that is kept for the sinks, at least 16 MiB
	Backfill int  `koanf:"backfill"` // the most datapoints of history that each sink gets in a second; 0: as many as it takes
}

// An Input is an input plugin and what it serves.
type Input struct {
	Plugin   string   `koanf:"plugin"`   // a path if it holds a slash, else a program in one of the folders of plugins
	Checksum string   `koanf:"checksum"` // the program's sha256 in hexadecimal; empty: not looked at
	Routes   []string `koanf:"routes"`   // "METHOD /path", each served under /flux as well
	Config   Settings `koanf:"config"`
}

// A Sink is a sink plugin and its weight.
type Sink struct {
	Plugin   string   `koanf:"plugin"`   // as with an Input
	Required bool     `koanf:"required"` // whether what it has not taken is always kept; true unless said otherwise
	Rate     int      `koanf:"rate"`     // the most datapoints in a second; 0: as many as it takes
	Checksum string   `koanf:"checksum"` // as with an Input
	Config   Settings `koanf:"config"`
}

// Log says how much is logged.
type Log struct {
	Level slog.Level `koanf:"level"`
}

// Runtime is how Fluxgate and its plugins share the machine.
type Runtime struct {
	// GOMAXPROCS and GOGC are those of Go's runtime, of Fluxgate and of each plugin in
	// Go; with 0 GOMAXPROCS is Go's own, and GOGC 200, but in a Fluxgate that holds much
	// in memory down to 100. With 0 the environment variable GOGC of Fluxgate holds for
	// all of them, if it is set.
	GOMAXPROCS int `koanf:"gomaxprocs"`
	GOGC       int `koanf:"gogc"`

	// DataSockets has datapoints travel over a socket of their own to plugins that
	// offer one, and over gRPC only to others.
	DataSockets bool `koanf:"data_sockets"`
}

// When a request may be answered with success.
const (
	AckDurable   = "durable"   // its datapoints are on disk
	AckDelivered = "delivered" // every required sink has them besides
)

// defaults returns the settings that hold where nothing else is said, save the
// lists and sections that a given one replaces as a whole.
func defaults() Config {
	return Config{
		Listen:   "127.0.0.1:8000",
		Admin:    "127.0.0.1:8001",
		Data:     "./data",
		Redis:    Redis{Hash: true},
		Ledger:   Ledger{Metrics: 1_000_000},
		Validate: Validate{MaxAge: time.Hour, MaxAhead: time.Minute},
		Ack:      AckDurable,
		Limits:   Limits{Body: 32 * MiB, Inflight: 256 * MiB, Journal: 4 * GiB, Backfill: 10_000},
		Populate: defaultPopulate(),
		Log:      Log{Level: slog.LevelInfo},
		Runtime:  Runtime{DataSockets: true},
	}
}

// complete adds each list and section that settings lack. A given one is never
// added to.
func (c *Config) complete(settings map[string]any) error {
	if len(c.Redis.Address) == 0 || slices.Equal(c.Redis.Address, []string{""}) {
		c.Redis.Address = nil
	}
	if c.Ledger.Mode == "" {
		c.Ledger.Mode = LedgerLocal
		if c.Redis.Address != nil {
			c.Ledger.Mode = LedgerShared
		}
	}
	if _, given := settings["plugins"]; !given {
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("plugins: the folder of this program is unknown: %w: name the folders", err)
		}
		c.Plugins = []string{filepath.Join(filepath.Dir(program), "plugins"), "/usr/lib/fluxgate/plugins"}
	}
	if _, given := settings["inputs"]; !given {
		c.Inputs = map[string]Input{"flux": {
			Plugin: "fluxgate-input-flux",
			Routes: []string{"GET /metric_data", "POST /metric_data_post"},
			Config: Settings{},
		}}
	}
	if _, given := settings["sinks"]; !given {
		c.Sinks = map[string]Sink{"whisper": {
			Plugin:   "fluxgate-sink-whisper",
			Required: true,
			Config:   Settings{"path": filepath.Join(c.Data, "whisper"), "retentions": "60s:1d,10m:7d,1h:90d"},
		}}
	}
	c.completePopulate(settings)
	return nil
}
