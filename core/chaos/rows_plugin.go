package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"fluxgate/sdk"
)

func pluginRows() []row {
	three := plan{sinks: []string{pickles, lines, files}, redis: true}
	return []row{
		{"F18", "kill -9 of a plugin", "it is back within a second, what it had is delivered", underLoad(three, pluginsKilled, tellTimes)},
		{"F19", "a plugin is stopped", "it is killed and replaced within 8 s", underLoad(three, pluginsStopped, tellTimes)},
		{"F20", "plugins that cannot run", "only their own sink is down; ready within 3 s", brokenPlugins},
		{"F21", "a plugin floods its log", "what is logged is bounded, and so is the host's memory", flooded},
	}
}

// pluginsKilled leaves so much time between two deaths that a plugin is not
// taken for one that fails for ever: each death within a minute of another has it
// wait longer for its next start.
func pluginsKilled(s *site) error {
	var took []time.Duration
	for range s.count(24, 4) {
		plugins := children(s.pid())
		if len(plugins) == 0 {
			return fmt.Errorf("fluxgate has no plugin")
		}
		victim := plugins[s.rng.IntN(len(plugins))]
		if err := syscall.Kill(victim.pid, syscall.SIGKILL); err != nil {
			return err
		}
		one, err := s.replaced(victim, len(plugins), patience)
		if err != nil {
			return err
		}
		took = append(took, one)
		s.Runs++
		if err := s.run.wait(s.between(s.span(6*time.Second, 500*time.Millisecond), s.span(9*time.Second, time.Second))); err != nil {
			return err
		}
	}
	slices.Sort(took)
	s.note("replaced after %s, at most %s", short(quantile(took, 0.5)), short(quantile(took, 1)))
	if quantile(took, 0.5) > time.Second {
		s.breaks("plugins were replaced after %v", quantile(took, 0.5))
	}
	return nil
}

// replaced returns how long it takes until gone is gone and there are as many
// plugins as before.
func (s *site) replaced(gone child, before int, limit time.Duration) (time.Duration, error) {
	return until(s.ctx, limit, fmt.Sprintf("plugin %s is replaced", gone.name), func() bool {
		return !gone.alive() && len(living(children(s.pid()))) >= before
	})
}

func living(all []child) []child {
	return slices.DeleteFunc(all, func(c child) bool { return !c.alive() })
}

func pluginsStopped(s *site) error {
	var longest time.Duration
	plugins := children(s.pid())
	s.rng.Shuffle(len(plugins), func(i, j int) { plugins[i], plugins[j] = plugins[j], plugins[i] })
	for _, victim := range plugins[:min(len(plugins), s.count(len(plugins), 1))] {
		if err := syscall.Kill(victim.pid, syscall.SIGSTOP); err != nil {
			return err
		}
		took, err := s.replaced(victim, len(plugins), patience)
		if err != nil {
			_ = syscall.Kill(victim.pid, syscall.SIGCONT) // it is not to stay for ever
			return err
		}
		longest = max(longest, took)
		s.Runs++
	}
	s.note("replaced after at most %.1f s", longest.Seconds())
	if longest > 8*time.Second {
		s.breaks("a plugin was replaced after %v", longest)
	}
	return nil
}

// brokenPlugins has optional sinks whose programs cannot run, each in its own
// way.
func brokenPlugins(r *run) error {
	optional := map[string]any{"checksum": map[string]any{
		"plugin": "fluxgate-sink-pickle", "required": false, "checksum": strings.Repeat("0", 64),
		"config": map[string]any{"address": "127.0.0.1:1"},
	}}
	for name, text := range map[string]string{
		"dies":      "#!/bin/sh\nexit 3\n",
		"garbage":   "\x00\x01\x02 this is no program",
		"handshake": "#!/bin/sh\necho '1|99|udp|nowhere|nothing'\nexec sleep 60\n",
		"silent":    "#!/bin/sh\nexec sleep 60\n",
	} {
		path := filepath.Join(r.dir, "sink-"+name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			return err
		}
		optional[name] = map[string]any{"plugin": path, "required": false, "config": map[string]any{}}
	}
	optional["missing"] = map[string]any{"plugin": filepath.Join(r.dir, "nothing"), "required": false, "config": map[string]any{}}
	s, err := r.site(plan{optional: optional, idle: true})
	if err != nil {
		return err
	}
	took, err := s.begin(r.ctx)
	if err != nil {
		return err
	}
	s.note("ready after %.2f s", took.Seconds())
	if took > 3*time.Second {
		s.breaks("ready after %v", took)
	}
	s.Runs = len(optional)
	s.beginWatch()
	s.beginLoad()
	if err := s.progress(500); err != nil {
		return err
	}
	if err := r.wait(r.span(20*time.Second, time.Second)); err != nil {
		return err
	}
	return s.settle()
}

// floodName is what this program is called when it is to be a plugin.
const floodName = "fluxgate-sink-flood"

type floodConfig struct {
	After time.Duration `koanf:"after"` // of quiet
}

type flood struct{}

func (flood) Write(context.Context, sdk.Batch) error { return nil }

// floodLog is a sink plugin that logs as fast as it can.
func floodLog() {
	sdk.ServeSink(floodConfig{}, func(_ context.Context, c floodConfig) (sdk.Sink, error) {
		go func() {
			for time.Sleep(c.After); ; {
				slog.Error("flood", "text", strings.Repeat("x", 5000))
			}
		}()
		return flood{}, nil
	})
}

const quiet = 3 * time.Second

func flooded(r *run) error {
	program := filepath.Join(r.dir, floodName)
	if err := copySelf(program); err != nil {
		return err
	}
	s, err := r.site(plan{optional: map[string]any{"flood": map[string]any{
		"plugin": program, "required": false, "config": map[string]any{"after": quiet.String()},
	}}})
	if err != nil {
		return err
	}
	r.Runs++
	if err := r.wait(quiet / 2); err != nil {
		return err
	}
	before := resident(s.pid())
	if err := r.wait(quiet); err != nil {
		return err
	}
	logged, start := fileSize(s.log()), time.Now()
	if err := r.wait(r.span(20*time.Second, 2*time.Second)); err != nil {
		return err
	}
	after, rate := resident(s.pid()), float64(fileSize(s.log())-logged)/time.Since(start).Seconds()
	s.note("memory %d MiB before, %d MiB in the flood; %.0f KiB/s logged", before>>20, after>>20, rate/1024)
	if after > before+before/4+(16<<20) {
		s.breaks("the host's memory rose from %d MiB to %d MiB", before>>20, after>>20)
	}
	if rate > 1<<20 {
		s.breaks("%.0f KiB/s are logged", rate/1024)
	}
	return s.settle()
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// copySelf copies this program.
func copySelf(to string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(self)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		return err
	}
	return f.Close()
}
