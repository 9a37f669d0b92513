package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"fluxgate/sdk/schema"
)

// A Resampler is a resampler plugin: what brings the points of a series to
// another step.
type Resampler struct {
	Plugin   string   `koanf:"plugin"`   // as with an Input
	Checksum string   `koanf:"checksum"` // as with an Input
	Config   Settings `koanf:"config"`
}

// Populate says where jobs get history from, and what becomes of it.
type Populate struct {
	Step        time.Duration  `koanf:"step"`        // what history is brought to, in whole seconds, 1s to 24h
	Resampler   string         `koanf:"resampler"`   // one of the Config's Resamplers
	Patterns    []Pattern      `koanf:"patterns"`    // the first one that a metric matches says otherwise
	Sink        string         `koanf:"sink"`        // one of the Config's Sinks; if none is named, the only required one; "" only with an empty Allow
	Graphite    string         `koanf:"graphite"`    // the base URL of the own Graphite; empty: there is none to ask
	Allow       []string       `koanf:"allow"`       // what jobs may fetch from: host, host:port, address, address:port or network; empty: nothing
	Concurrency int            `koanf:"concurrency"` // jobs at work at a time, at least 1
	PerHost     int            `koanf:"per_host"`    // fetches at a time from one host:port, at least 1
	Creates     int            `koanf:"creates"`     // new metrics a minute that jobs may begin to fill; 0: no limit
	Patience    time.Duration  `koanf:"patience"`    // how long a window that fails is tried again, in whole seconds
	Limits      PopulateLimits `koanf:"limits"`
	Schema      Schema         `koanf:"schema"`
	Remotes     []Remote       `koanf:"remotes"` // each for another host
}

// A Pattern chooses the resampler of the metrics that it matches anywhere.
type Pattern struct {
	Pattern   string `koanf:"pattern"`   // of the package regexp, not empty
	Resampler string `koanf:"resampler"` // one of the Config's Resamplers
}

// PopulateLimits bound what a job may take from a remote. Each is above zero.
type PopulateLimits struct {
	Answer  Size          `koanf:"answer"`  // of one answer, unpacked
	Points  int           `koanf:"points"`  // of one window
	Windows int           `koanf:"windows"` // of one job
	Time    time.Duration `koanf:"time"`    // for one answer, in whole seconds
}

// A Schema is what is known of the whisper files that history ends in. With
// neither Retentions nor Schemas it is unknown.
type Schema struct {
	Retentions   string  `koanf:"retentions"`   // of every metric, in the form of storage-schemas.conf; excludes Schemas
	Aggregation  string  `koanf:"aggregation"`  // where Aggregations says nothing: average, sum, last, max, min, avg_zero, absmax or absmin
	XFilesFactor float64 `koanf:"xfilesfactor"` // where Aggregations says nothing, 0 to 1
	Schemas      string  `koanf:"schemas"`      // the path of a storage-schemas.conf
	Aggregations string  `koanf:"aggregations"` // the path of a storage-aggregation.conf
}

// A Remote is how one host is spoken to. What is secret is for that host alone.
type Remote struct {
	Host     string `koanf:"host"` // a name or address, which may have a port
	User     string `koanf:"user"` // with Password; both or neither
	Password Secret `koanf:"password"`
	Token    Secret `koanf:"token"` // excludes User and Password
	CA       string `koanf:"ca"`    // a PEM file with the certificates that vouch for the host's; empty: those of the system
	Cert     string `koanf:"cert"`  // a PEM file, with Key; both or neither
	Key      string `koanf:"key"`
	Vista    bool   `koanf:"vista"` // whether the token, user and password that a request of Vista has for this host are honoured
}

func defaultPopulate() Populate {
	return Populate{
		Step:        time.Minute,
		Resampler:   "mean",
		Concurrency: 4,
		PerHost:     2,
		Creates:     40, // Carbon's MAX_CREATES_PER_MINUTE is 50, and live metrics need some
		Patience:    24 * time.Hour,
		Limits:      PopulateLimits{Answer: 256 * MiB, Points: 10_000_000, Windows: 400, Time: 5 * time.Minute},
		Schema:      Schema{Aggregation: "average", XFilesFactor: 0.5},
	}
}

// completePopulate adds the default resampler if settings have no section of
// them, and the sink if there is no choice.
func (c *Config) completePopulate(settings map[string]any) {
	if _, given := settings["resamplers"]; !given {
		c.Resamplers = map[string]Resampler{"mean": {
			Plugin: "fluxgate-resampler-basic",
			Config: Settings{"method": "mean"},
		}}
	}
	if required := requiredSinks(c.Sinks); c.Populate.Sink == "" && len(required) == 1 {
		c.Populate.Sink = required[0]
	}
}

// requiredSinks returns the names of those sinks that are required, in order.
func requiredSinks(sinks map[string]Sink) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(sinks)) {
		if sinks[name].Required {
			names = append(names, name)
		}
	}
	return names
}

func (f *faults) checkResamplers(resamplers map[string]Resampler) {
	if len(resamplers) == 0 {
		f.add("resamplers", "names no resampler: name one, or leave the section out for the default")
	}
	for _, name := range slices.Sorted(maps.Keys(resamplers)) {
		f.checkPlugin("resamplers."+name, name, resamplers[name].Plugin, resamplers[name].Checksum)
	}
}

func (f *faults) checkPopulate(c Config) {
	p := c.Populate
	if p.Step < time.Second || p.Step > 24*time.Hour || p.Step%time.Second != 0 {
		f.add("populate.step", "%v is out of range: give whole seconds, from 1s to 24h", p.Step)
	}
	f.checkChoice("populate.resampler", p.Resampler, c.Resamplers)
	f.checkPatterns(p.Patterns, c.Resamplers)
	f.checkPopulateSink(c)
	if wrong := misbased(p.Graphite); p.Graphite != "" && wrong != "" {
		f.add("populate.graphite", "%s%s", harmless(p.Graphite), wrong)
	}
	f.checkHosts("populate.allow", p.Allow)
	f.checkCount("populate.concurrency", p.Concurrency)
	f.checkCount("populate.per_host", p.PerHost)
	if p.Creates < 0 {
		f.add("populate.creates", "%d is negative: give the most new metrics in a minute, or 0 for no limit", p.Creates)
	}
	f.checkSpan("populate.patience", p.Patience)
	if p.Limits.Answer <= 0 {
		f.add("populate.limits.answer", "%v is out of range: give at least 1 byte, such as 256MiB", p.Limits.Answer)
	}
	f.checkCount("populate.limits.points", p.Limits.Points)
	f.checkCount("populate.limits.windows", p.Limits.Windows)
	f.checkSpan("populate.limits.time", p.Limits.Time)
	f.checkSchema(p.Schema)
	f.checkRemotes(p.Remotes)
}

func (f *faults) checkCount(setting string, n int) {
	if n < 1 {
		f.add(setting, "%d is out of range: give at least 1", n)
	}
}

// checkChoice notes a resampler that does not exist.
func (f *faults) checkChoice(setting, name string, resamplers map[string]Resampler) {
	if _, ok := resamplers[name]; !ok && len(resamplers) > 0 {
		f.add(setting, "%q is not in resamplers: write %s", name, alternatives(slices.Sorted(maps.Keys(resamplers))))
	}
}

func (f *faults) checkPatterns(patterns []Pattern, resamplers map[string]Resampler) {
	for i, p := range patterns {
		setting := fmt.Sprintf("populate.patterns[%d]", i)
		_, err := regexp.Compile(p.Pattern)
		switch {
		case p.Pattern == "":
			f.add(setting+".pattern", `is empty: give a regular expression, such as ^stats\.counters\., or remove the item`)
		case err != nil:
			f.add(setting+".pattern", "%q is not a regular expression as Go has them: %s", p.Pattern, misexpressed(err))
		}
		f.checkChoice(setting+".resampler", p.Resampler, resamplers)
	}
}

// misexpressed says what is wrong with a regular expression, and where.
func misexpressed(err error) string {
	if wrong, ok := errors.AsType[*syntax.Error](err); ok {
		return fmt.Sprintf("mend the %s at %q", wrong.Code, wrong.Expr)
	}
	return err.Error()
}

// checkPopulateSink demands a sink only of those who let jobs fetch something.
func (f *faults) checkPopulateSink(c Config) {
	name, all := c.Populate.Sink, slices.Sorted(maps.Keys(c.Sinks))
	if len(all) == 0 {
		return
	}
	if _, ok := c.Sinks[name]; name != "" && !ok {
		f.add("populate.sink", "%q is not in sinks: write %s", name, alternatives(all))
	}
	if name != "" || len(c.Populate.Allow) == 0 {
		return
	}
	count := "no sink is required"
	if n := len(requiredSinks(c.Sinks)); n > 1 {
		count = fmt.Sprintf("%d sinks are required", n)
	}
	f.add("populate.sink", "is empty, and %s: name the one that history goes to, %s", count, alternatives(all))
}

// alternatives joins names, of which one is to be written.
func alternatives(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// aggregations returns the names that Carbon has for the ways to fill a coarser
// archive.
func aggregations() []string {
	return []string{"average", "sum", "last", "max", "min", "avg_zero", "absmax", "absmin"}
}

func (f *faults) checkSchema(s Schema) {
	if s.Retentions != "" {
		if _, err := schema.ParseRetentions(s.Retentions); err != nil {
			f.add("populate.schema.retentions", "%v: write them like 60s:1d,10m:7d,1h:90d", err)
		}
	}
	if s.Retentions != "" && s.Schemas != "" {
		f.add("populate.schema.schemas", "is given beside populate.schema.retentions: remove one of them")
	}
	if s.Aggregations != "" && s.Retentions == "" && s.Schemas == "" {
		f.add("populate.schema.aggregations", "has no effect: set populate.schema.schemas or populate.schema.retentions too, or remove it")
	}
	if !slices.Contains(aggregations(), s.Aggregation) {
		f.add("populate.schema.aggregation", "%q is no aggregation of Carbon: write %s", s.Aggregation, alternatives(aggregations()))
	}
	if !(s.XFilesFactor >= 0 && s.XFilesFactor <= 1) { // which a NaN is neither
		f.add("populate.schema.xfilesfactor", "%v is out of range: give a share from 0 to 1", s.XFilesFactor)
	}
}
