package fleet

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"fluxgate/sdk"
)

// told returns what the report says of a plugin.
func told(t *testing.T, f *Fleet, name string) Status {
	t.Helper()
	for _, s := range f.Report() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("the report has no %q", name)
	return Status{}
}

func TestReport(t *testing.T) {
	f, _ := newFleet(t, t.TempDir())
	self := executable(t)
	sum, err := sumOf(self)
	if err != nil {
		t.Fatal(err)
	}
	input := inputProgram(t)
	f.Sink(Spec{Name: "carbon", Program: self, Config: map[string]any{"text": "a secret"}})
	f.Sink(Spec{Name: "pinned", Program: self, Checksum: strings.ToUpper(sum)})
	f.Sink(Spec{Name: "lost", Program: "fluxgate-sink-lost", Optional: true})
	f.Sink(Spec{Name: "brief", Program: self, Config: map[string]any{"act": "die at start"}})
	f.Input(Spec{Name: "flux", Program: input})
	f.Resampler(Spec{Name: "mean", Program: programNamed(t, resamplerName)})
	f.Resampler(Spec{Name: "none", Program: "fluxgate-resampler-none"})
	if s := told(t, f, "carbon"); s.State != Starting || s.Pid != 0 {
		t.Errorf("before the start: %+v", s)
	}
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	await(t, "it is known what is missing", func() bool { return told(t, f, "lost").Trouble != "" && told(t, f, "brief").Trouble != "" })
	for name, want := range map[string]Status{
		"carbon": {Kind: "sink", Program: self, State: Open, Protocol: 2, Checksum: sum},
		"pinned": {Kind: "sink", Program: self, State: Open, Protocol: 2, Checksum: sum},
		"flux":   {Kind: "input", Program: input, State: Open, Protocol: 2, Checksum: sum},
		"lost":   {Kind: "sink", Program: "fluxgate-sink-lost", State: Refused, Trouble: `no program "fluxgate-sink-lost"`},
		"brief":  {Kind: "sink", Program: self, State: Starting, Trouble: "exit code 3"},
		"mean":   {Kind: "resampler", State: Idle},
		"none":   {Kind: "resampler", State: Refused, Trouble: `no program "fluxgate-resampler-none"`},
	} {
		got := told(t, f, name)
		if got.Kind != want.Kind || got.State != want.State || got.Protocol != want.Protocol || got.Checksum != want.Checksum ||
			want.Program != "" && got.Program != want.Program || (want.Trouble == "") != (got.Trouble == "") || !strings.Contains(got.Trouble, want.Trouble) {
			t.Errorf("%s is told as %+v, want %+v", name, got, want)
		}
		if alive := got.Pid != 0; alive != (want.State == Open) || alive != (got.Version != "") || alive != (got.Settings != nil) {
			t.Errorf("%s is told as %+v", name, got)
		}
	}
	if text, err := json.Marshal(f.Report()); err != nil || strings.Contains(string(text), "a secret") {
		t.Errorf("the report tells what is configured: %s, %v", text, err)
	}
}

func TestReportOfDeaths(t *testing.T) {
	f, _ := newFleet(t)
	program := filepath.Join(t.TempDir(), inputName)
	copyFile(t, executable(t), program)
	f.Input(Spec{Name: "flux", Program: program})
	f.Sink(Spec{Name: "unread", Program: program + "-of-sink"})
	copyFile(t, executable(t), program+"-of-sink")
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	copyFile(t, executable(t), program+".new")
	if err := os.Rename(program+".new", program+"-of-sink"); err != nil {
		t.Fatal(err)
	}
	if s := told(t, f, "unread"); s.Checksum != "" || !strings.Contains(s.Trouble, "another program") {
		t.Errorf("of a process whose program is gone before it was asked for: %+v", s)
	}
	for n := range int64(3) {
		s := told(t, f, "flux")
		if s.Restarts != n || s.Uptime > 5 {
			t.Errorf("after %d deaths: %+v", n, s)
		}
		kill(t, s.Pid)
		await(t, "it is started again", func() bool { now := told(t, f, "flux"); return now.Pid != 0 && now.Pid != s.Pid })
	}
	sum := told(t, f, "flux").Checksum
	copyFile(t, executable(t), program+".new")
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
	if s := told(t, f, "flux"); s.State != Open || s.Checksum != sum || len(sum) != 64 || !strings.Contains(s.Trouble, "another program is in its place") || !strings.Contains(s.Trouble, "SIGHUP") {
		t.Errorf("after another program has taken the place: %+v", s)
	}
}

func TestReportOfFailing(t *testing.T) {
	f, _ := newFleet(t)
	f.Input(Spec{Name: "flux", Program: inputProgram(t), Config: map[string]any{"act": "die at start"}})
	run(t, f)
	await(t, "it is failing", func() bool { return told(t, f, "flux").State == Failing })
}

func TestReportOfAResampler(t *testing.T) {
	r, f, _ := startResampler(t, 50*time.Millisecond, nil)
	resample(t, r)
	await(t, "it is idle", func() bool { return told(t, f, r.name).State == Idle })
	if s := told(t, f, r.name); s.Version == "" || s.Pid != 0 {
		t.Errorf("once it has run: %+v", s)
	}
	r.idle = time.Minute
	resample(t, r)
	if s := told(t, f, r.name); s.State != Open || s.Pid == 0 {
		t.Errorf("as it runs: %+v", s)
	}
}

func TestAnOldProtocolIsSaidOnce(t *testing.T) {
	log := keepLog(t)
	f, _ := newFleet(t)
	f.Sink(Spec{Name: "old", Program: programNamed(t, oldName)})
	f.Sink(Spec{Name: "new", Program: executable(t)})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	s := told(t, f, "old")
	if s.State != Open || s.Protocol != 1 || s.Settings != nil {
		t.Errorf("it is told as %+v", s)
	}
	kill(t, s.Pid)
	await(t, "it is started again", func() bool { return told(t, f, "old").Restarts == 1 })
	const words = "plugin speaks an old protocol, which goes away with the next: build it anew with this Fluxgate's sdk"
	if said := log.String(); strings.Count(said, words) != 1 || !strings.Contains(said, words+`" plugin=old kind=sink protocol=1`) {
		t.Errorf("it is said\n%s", said)
	}
}

func TestSurvey(t *testing.T) {
	folder := t.TempDir()
	for name, mode := range map[string]os.FileMode{"named": 0o755, "stray": 0o755, "README": 0o644} {
		copyFile(t, executable(t), filepath.Join(folder, name))
		if err := os.Chmod(filepath.Join(folder, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "tool"), []byte("#!/bin/sh\necho hello\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, _ := newFleet(t, folder, "/nowhere")
	f.Sink(Spec{Name: "carbon", Program: "named", Config: map[string]any{"act": "refuse"}})
	f.Sink(Spec{Name: "old", Program: programNamed(t, oldName)})
	f.Sink(Spec{Name: "mixed-up", Program: inputProgram(t)})
	f.Sink(Spec{Name: "lost", Program: "fluxgate-sink-lost"})
	f.Resampler(Spec{Name: "true", Program: "/bin/true"})
	type brief struct {
		name, kind string
		state      State
		program    string
		protocol   int
		settings   bool
		trouble    string
	}
	want := []brief{
		{"carbon", "sink", Stopped, "named", 2, true, ""},
		{"old", "sink", Stopped, oldName, 1, false, ""},
		{"mixed-up", "sink", Refused, inputName, 2, true, "plugin of kind input, and is configured as sink"},
		{"lost", "sink", Refused, "fluxgate-sink-lost", 0, false, "no program"},
		{"true", "resampler", Failing, "true", 0, false, "is it a plugin of Fluxgate? (exit code 0)"},
		{"", "sink", NotConfigured, "stray", 2, true, ""},
		{"", "", NotConfigured, "tool", 0, false, `"hello"`},
	}
	var got []brief
	for _, s := range f.Survey(t.Context()) {
		b := brief{s.Name, s.Kind, s.State, filepath.Base(s.Program), s.Protocol, s.Settings != nil, s.Trouble}
		if i := len(got); i < len(want) && want[i].trouble != "" && strings.Contains(b.trouble, want[i].trouble) {
			b.trouble = want[i].trouble
		}
		if s.Pid != 0 || b.protocol != 0 && len(s.Checksum) != 64 {
			t.Errorf("it is told as %+v", s)
		}
		got = append(got, b)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	if _, err := os.Stat(f.sockets.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder for sockets is left: %v", err)
	}
}

// debugged starts a sink as one does under a debugger, and returns where it waits.
func debugged(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(executable(t), "--attach")
	cmd.Env = append(os.Environ(), "PLUGIN_OF_FLUXGATE=none") // else it would run the tests
	out := &buffer{}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	const before = "fluxgate serve --attach "
	await(t, "it says how to attach", func() bool { return strings.Contains(out.String(), before) })
	_, line, _ := strings.Cut(out.String(), before)
	_, where, _ := strings.Cut(strings.Fields(line)[0], "=")
	return cmd, where
}

func TestAttachedPlugin(t *testing.T) {
	log := keepLog(t)
	f, _ := newFleet(t)
	cmd, where := debugged(t)
	f.setup.Attach = map[Title]string{{"sink", "carbon"}: where}
	f.setup.Lock = filepath.Join(t.TempDir(), "plugins.lock")
	if err := (Lock{}).Write(f.setup.Lock); err != nil {
		t.Fatal(err)
	}
	sink := f.Sink(Spec{Name: "carbon", Program: "fluxgate-sink-lost", Checksum: someSum})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := run(t, f)
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "PLUGIN IS ATTACHED: its program is not checked") {
		t.Errorf("it is said\n%s", log.String())
	}
	if err := sink.Write(t.Context(), oneDatapoint); err != nil {
		t.Error(err)
	}
	if s := told(t, f, "carbon"); s.State != Attached || s.Pid != cmd.Process.Pid || s.Checksum != "" || s.Trouble != "" || s.Protocol != 2 {
		t.Errorf("it is told as %+v", s)
	}
	if change, err := f.Prepare(t.Context(), nil, []Spec{sink.configured()}, nil); err != nil {
		t.Errorf("a reload: %v", err)
	} else {
		change.Commit()
	}
	kill(t, cmd.Process.Pid)
	await(t, "its end is noticed", func() bool { return told(t, f, "carbon").State == Failing })
	await(t, "it is said what to do", func() bool {
		return strings.Contains(log.String(), "start it again with --attach, and Fluxgate with the line that it then prints")
	})
	if err := sink.Write(t.Context(), oneDatapoint); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("a call then: %v", err)
	}
	await(t, "it is told what to do", func() bool { return strings.Contains(told(t, f, "carbon").Trouble, "--attach") })
	if n := strings.Count(log.String(), "attached plugin is not there"); n != 1 {
		t.Errorf("that it is gone is said %d times", n)
	}
	stop()
}

// A debugger holds a process for longer than any other may give no sign of life.
func TestAnAttachedPluginOutlivesItsHostAndADebugger(t *testing.T) {
	f, _ := newFleet(t)
	cmd, where := debugged(t)
	f.setup.Attach = map[Title]string{{"sink", "carbon"}: where}
	sink := f.Sink(Spec{Name: "carbon", Program: executable(t)})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := run(t, f)
	before := sink.current()
	halt(t, cmd.Process.Pid)
	select {
	case <-before.Done():
		t.Error("it was let go of")
	case <-time.After(healthTimeout + 3*healthInterval):
	}
	if err := syscall.Kill(cmd.Process.Pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await(t, "it works on", func() bool { return sink.Write(t.Context(), oneDatapoint) == nil })
	if sink.current() != before {
		t.Error("it is another process")
	}
	stop()
	if !alive(cmd.Process.Pid) {
		t.Error("it has ended with the host")
	}
}
