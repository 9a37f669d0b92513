package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A page is everything that was measured.
type page struct {
	machine, versions []string
	sections          []section
	quick             bool
	began             time.Time
}

const preface = `# How fast

This page is written by ` + "`make bench`" + `. Servers run as they ship, with every plugin a process of its own, and are driven by ` + "`fluxgate bench`" + `, which
anybody can repeat against any Flux. What is compared runs in one go, in turns, in another order in each round, after a load that does not count; a value
is the median of the rounds that its section tells, with the least and the greatest behind it where one is judged. **The floor** is net/http and gorilla/mux, which
read the request, answer 204, and do nothing else, with the room for its collector (GOGC=200) that the core and the plugins have. **Durable** is as it ships: on disk,
with fdatasync before each answer, de-duplicated, accounted for, and delivered; each datapoint of a load is fresh, or the load is not told.

Processor time is that of the core and all plugins together, the same processes before and after, from the first request until everything is delivered and the server
is at rest; that of the load client, of Redis and of Carbon is told apart. Peak memory is the greatest resident size of each process in the round, added up.

`

// markdown is the page as it is kept.
func (p page) markdown() string {
	var b strings.Builder
	b.WriteString(preface)
	if p.quick {
		b.WriteString("**This was a quick run: numbers to look at, not to keep.**\n\n")
	}
	list(&b, p.machine)
	list(&b, p.versions)
	fmt.Fprintf(&b, "- measured in %.0f minutes\n", time.Since(p.began).Minutes())
	p.writeMarks(&b)
	for _, s := range p.sections {
		s.write(&b)
	}
	return b.String()
}

func list(b *strings.Builder, lines []string) {
	for _, line := range lines {
		fmt.Fprintf(b, "- %s\n", line)
	}
}

// writeMarks writes the marks of all sections in one table.
func (p page) writeMarks(b *strings.Builder) {
	b.WriteString("\n## Marks\n\n| what | measured | mark | |\n|---|---|---|---|\n")
	for _, s := range p.sections {
		for _, m := range s.marks {
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", cell(m.what), cell(m.String()), m.bound, m.verdict())
		}
	}
}

func (s section) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n", s.title, strings.TrimSpace(s.text+" "+s.rounds))
	if len(s.load) > 0 {
		fmt.Fprintf(b, "    fluxgate bench URL --key KEY %s\n\n", strings.Join(s.load, " "))
	}
	if len(s.order) > 0 {
		b.WriteString(s.table())
	}
	list(b, append(s.doubts(), s.lines...))
	for _, f := range s.failed {
		fmt.Fprintf(b, "- **not measured**: %s\n", cell(f))
	}
}

// doubts says where a figure is less than it says.
func (s section) doubts() (lines []string) {
	for _, road := range s.order {
		if share := s.unchecked(road); share > 0 {
			lines = append(lines, fmt.Sprintf("**not all is de-duplicated**: %s: the ledger's store did not answer in time for up to %s %% of a round's datapoints", road, number(100*share)))
		}
	}
	for _, road := range s.order {
		if slices.ContainsFunc(s.samples[road], func(one sample) bool { return one.ever }) {
			return append(lines, "peak memory is that since each server began: the kernel does not let it begin anew in each round")
		}
	}
	return lines
}

// medians says of how many rounds, and of what each is.
func medians(n int, what string) string {
	if n == 1 {
		return "One round of " + what + "."
	}
	return fmt.Sprintf("Medians of %d rounds of %s.", n, what)
}

// A column is a figure of a road.
type column struct {
	title string
	of    func(sample) float64
}

var columns = []column{
	{"requests/s", func(s sample) float64 { return s.RequestsPerSecond }},
	{"datapoints/s", func(s sample) float64 { return s.DatapointsPerSecond }},
	{"p50, ms", func(s sample) float64 { return s.Latency.P50 }},
	{"p99, ms", func(s sample) float64 { return s.Latency.P99 }},
	{"CPU s per million datapoints", sample.perMillion},
	{"CPU us per request", sample.perRequest},
	{"of Redis or Carbon, CPU s per million", func(s sample) float64 { return s.around.Seconds() / float64(s.Datapoints) * 1e6 }},
	{"of the client, CPU us per request", func(s sample) float64 { return s.ClientCPU / float64(s.Requests) * 1e6 }},
	{"peak memory, MB", func(s sample) float64 { return float64(s.peak) / 1e6 }},
	{"PSS under load, MB", func(s sample) float64 { return float64(s.pss) / 1e6 }},
}

// table is a row for each road.
func (s section) table() string {
	var b strings.Builder
	b.WriteString("| |")
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", c.title)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(columns)) + "\n")
	for _, road := range s.order {
		name := cell(road)
		if s.unchecked(road) > 0 {
			name += " (**not all is de-duplicated**)"
		}
		fmt.Fprintf(&b, "| %s |", name)
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", number(median(s.values(road, c.of))))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.String()
}

// summary is a section in a few lines, for who waits for the page.
func (s section) summary() string {
	var b strings.Builder
	for _, m := range s.marks {
		fmt.Fprintf(&b, "  %s: %s, %s: %s\n", m.what, m, m.bound, m.verdict())
	}
	for _, f := range s.failed {
		fmt.Fprintf(&b, "  not measured: %s\n", f)
	}
	return b.String()
}

// cell makes text fit into one cell.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(text)
}
