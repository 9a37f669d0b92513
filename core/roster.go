package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"fluxgate/core/config"
	"fluxgate/core/fleet"
)

// A roster is every configured plugin, in the order of their names.
type roster struct {
	*fleet.Fleet
	inputs     []*fleet.Input
	sinks      []*fleet.Sink
	resamplers []*fleet.Resampler
}

// enlist makes a fleet of every configured plugin.
func enlist(c config.Config, metrics prometheus.Registerer) (r *roster, err error) {
	attached, err := attachments(c)
	if err != nil {
		return nil, err
	}
	r = &roster{}
	r.Fleet, err = fleet.New(fleet.Setup{
		Folders: c.Plugins, MessageLimit: int(c.Limits.Body) + 1<<20, Lock: c.Lock, Relock: c.Command("plugin lock"), Attach: attached,
		Env: runtimeEnv(c.Runtime), Portable: !c.Runtime.DataSockets,
	}, metrics)
	if err != nil {
		return nil, err
	}
	for _, spec := range inputSpecs(c) {
		r.inputs = append(r.inputs, r.Input(spec))
	}
	for _, spec := range sinkSpecs(c) {
		r.sinks = append(r.sinks, r.Sink(spec))
	}
	for _, spec := range resamplerSpecs(c) {
		r.resamplers = append(r.resamplers, r.Resampler(spec))
	}
	return r, nil
}

// report tells how each plugin is, and what the matter is with it only if whole: it
// may quote a setting.
func (r *roster) report(whole bool) any {
	all := r.Report()
	for i := range all {
		if !whole && all[i].Trouble != "" {
			all[i].Trouble = "told to who bears the token of this server"
		}
	}
	return all
}

// attachments returns where the plugins wait that c.Attach names, by their names
// or by those of their programs.
func attachments(c config.Config) (map[fleet.Title]string, error) {
	attached := make(map[fleet.Title]string)
	for _, attach := range c.Attach {
		name, where, ok := strings.Cut(attach, "=")
		if !ok {
			return nil, fmt.Errorf("--attach %s: must be NAME=WHERE, as the plugin prints it when it is run with --attach", attach)
		}
		titles := titled(c, func(n, _ string) bool { return n == name })
		if len(titles) == 0 {
			titles = titled(c, func(_, program string) bool { return filepath.Base(program) == name })
		}
		switch len(titles) {
		case 0:
			return nil, fmt.Errorf("--attach %s: no plugin and no program is called %q: name one of %s: is it another configuration that names the plugin? give it as --config", attach, name, inWords(titled(c, nil)))
		case 1:
			attached[titles[0]] = where
		default:
			return nil, fmt.Errorf("--attach %s: several plugins are called %q, or are that program: %s: name one that is alone with its name", attach, name, inWords(titles))
		}
	}
	return attached, nil
}

// titled returns the configured plugins that ok wants, or all.
func titled(c config.Config, ok func(name, program string) bool) (titles []fleet.Title) {
	for kind, specs := range map[string][]fleet.Spec{"input": inputSpecs(c), "sink": sinkSpecs(c), "resampler": resamplerSpecs(c)} {
		for _, s := range specs {
			if ok == nil || ok(s.Name, s.Program) {
				titles = append(titles, fleet.Title{Kind: kind, Name: s.Name})
			}
		}
	}
	return titles
}

func inWords(titles []fleet.Title) string {
	var words []string
	for _, t := range titles {
		words = append(words, fmt.Sprintf("%s (%s)", t.Name, t.Kind))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}
