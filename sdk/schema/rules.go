package schema

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fluxgate/sdk"
)

// Rules is what Carbon's storage-schemas.conf and storage-aggregation.conf say
// of every metric. It is safe for concurrent use.
type Rules struct {
	schemas      []rule[[]Retention]
	aggregations []rule[consolidation]
	warnings     []string
}

// A rule is for the metrics that pattern is found in, unless an earlier rule is.
type rule[T any] struct {
	pattern *regexp.Regexp
	value   T
}

// A consolidation is what storage-aggregation.conf says of a metric.
type consolidation struct {
	aggregation  Aggregation
	xFilesFactor float64
}

// unruled is what whisper does where Carbon has no rule for a file's
// aggregation, or one that leaves something out.
var unruled = consolidation{Average, 0.5}

// byDefault is what Carbon keeps of a metric that no rule is for: a week of
// minutes.
var byDefault = []Retention{{60, 7 * 24 * 60}}

// Load reads the two files as Carbon 1.1.7 does. The second one may be missing,
// or its name be empty: then there are no rules for the aggregation. An empty name
// of the first stands for a file without rules.
//
// What makes Carbon pass over a section makes Load pass over it too, with one of
// [Rules.Warnings]. What keeps Carbon from starting is an error that wraps
// [sdk.ErrInvalid] and names file and section. So are archives without a point
// or of more than a whisper file can hold, which Carbon accepts and cannot
// write, and those patterns of Python that Go's regexp cannot match: look-around,
// back-references, atomic groups, possessive repeats and the flag x.
func Load(schemas, aggregations string) (*Rules, error) {
	var r Rules
	if schemas != "" {
		text, err := os.ReadFile(schemas)
		if err != nil {
			return nil, err
		}
		if err := r.readSchemas(string(text)); err != nil {
			return nil, sdk.Invalidf("%s: %w", schemas, err)
		}
	}
	if aggregations == "" {
		return &r, nil
	}
	text, err := os.ReadFile(aggregations)
	if errors.Is(err, fs.ErrNotExist) {
		return &r, nil
	}
	if err != nil {
		return nil, err
	}
	if err := r.readAggregations(string(text)); err != nil {
		return nil, sdk.Invalidf("%s: %w", aggregations, err)
	}
	return &r, nil
}

// Of returns what Carbon would make a new file of the metric from: what the
// first rule in each file says whose pattern is found in the name, and Carbon's
// defaults where there is none. Names are as Carbon has them, ASCII without
// control characters.
func (r *Rules) Of(metric string) Schema {
	return r.OfOr(metric, Schema{byDefault, unruled.aggregation, unruled.xFilesFactor})
}

// OfOr is like [Rules.Of], with otherwise in the place of Carbon's defaults: its
// retentions where there is no rule for the archives, and the rest of it where
// there is none for the aggregation.
func (r *Rules) OfOr(metric string, otherwise Schema) Schema {
	archives := first(r.schemas, metric, otherwise.Retentions)
	c := first(r.aggregations, metric, consolidation{otherwise.Aggregation, otherwise.XFilesFactor})
	return Schema{slices.Clone(archives), c.aggregation, c.xFilesFactor}
}

// Consolidated reports whether there is a rule for the metric's aggregation. Where
// there is none, [Rules.Of] tells Carbon's default.
func (r *Rules) Consolidated(metric string) bool {
	return slices.ContainsFunc(r.aggregations, func(a rule[consolidation]) bool { return a.pattern.MatchString(metric) })
}

func first[T any](rules []rule[T], metric string, otherwise T) T {
	for _, r := range rules {
		if r.pattern.MatchString(metric) {
			return r.value
		}
	}
	return otherwise
}

// Warnings returns which sections Carbon does not heed, and why.
func (r *Rules) Warnings() []string { return r.warnings }

func (r *Rules) warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// sections calls read with the options of each section that Carbon looks at.
func (r *Rules) sections(text, file string, read func(section string, options map[string]string) error) error {
	f, err := readINI(text)
	if err != nil {
		return err
	}
	for _, name := range f.passed {
		r.warn("%s: section [%s] is not heeded: its line must end with the bracket", file, name)
	}
	for _, name := range f.order {
		options, err := f.options(name)
		if err == nil {
			err = read(name, options)
		}
		if err != nil {
			return fmt.Errorf("section [%s]: %w", name, err)
		}
	}
	return nil
}

func (r *Rules) readSchemas(text string) error {
	const file = "storage-schemas.conf"
	return r.sections(text, file, func(section string, options map[string]string) error {
		written, ok := options["retentions"]
		if !ok {
			r.warn("%s: section [%s] is not heeded: it has no retentions", file, section)
			return nil
		}
		archives, err := parseRetentions(written)
		if err != nil {
			return err
		}
		if options["pattern"] == "" {
			r.warn("%s: section [%s] is not heeded: it has no pattern", file, section)
			return nil
		}
		pattern, err := compile(options["pattern"])
		if err != nil {
			return fmt.Errorf("pattern %q: %w", options["pattern"], err)
		}
		if err := consolidate(archives); err != nil {
			r.warn("%s: section [%s] is not heeded: retentions %q: %v", file, section, written, err)
			return nil
		}
		if err := Validate(archives); err != nil {
			return fmt.Errorf("retentions %q: %w", written, err)
		}
		r.schemas = append(r.schemas, rule[[]Retention]{pattern, archives})
		return nil
	})
}

func (r *Rules) readAggregations(text string) error {
	const file = "storage-aggregation.conf"
	return r.sections(text, file, func(section string, options map[string]string) error {
		c := unruled
		if written, ok := options["xfilesfactor"]; ok {
			var err error
			if c.xFilesFactor, err = parseFloat(written); err != nil {
				r.warn("%s: section [%s] is not heeded: xFilesFactor %q: must be a number, 0 to 1", file, section, written)
				return nil
			}
			if !(c.xFilesFactor >= 0 && c.xFilesFactor <= 1) {
				return fmt.Errorf("xFilesFactor %q: must be 0 to 1", written)
			}
		}
		if name, ok := options["aggregationmethod"]; ok {
			var err error
			if c.aggregation, err = ParseAggregation(name); err != nil {
				return err
			}
		}
		if options["pattern"] == "" {
			r.warn("%s: section [%s] is not heeded: it has no pattern", file, section)
			return nil
		}
		pattern, err := compile(options["pattern"])
		if err != nil {
			return fmt.Errorf("pattern %q: %w", options["pattern"], err)
		}
		r.aggregations = append(r.aggregations, rule[consolidation]{pattern, c})
		return nil
	})
}

// parseFloat reads a number as Python does: in decimal, with underscores between
// digits. What is too large is infinite.
func parseFloat(s string) (float64, error) {
	if strings.ContainsAny(s, "xX") {
		return 0, strconv.ErrSyntax
	}
	for i := range len(s) {
		if s[i] == '_' && (i == 0 || i+1 == len(s) || !isDigit(s[i-1]) || !isDigit(s[i+1])) {
			return 0, strconv.ErrSyntax
		}
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	if errors.Is(err, strconv.ErrRange) {
		err = nil
	}
	return f, err
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
