package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestNewTellsWhatIsNext(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "it")
	stdout, stderr, code := fluxgate(t, "plugin", "new", "sink", "mine", "--dir", folder)
	want := folder + " is written. What next:\n\n  cd " + folder + "\n  make test    # the contract of every sink, against this one\n" +
		"  make run     # a throwaway Fluxgate with it\n\nThen make build, and name it in fluxgate.yaml:\n\n" +
		"sinks:\n  mine: {plugin: " + folder + "/fluxgate-sink-mine, config: {path: /var/lib/fluxgate/mine.jsonl}}\n"
	if code != 0 || stdout != want {
		t.Errorf("exit %d, %s, it says\n%s, want\n%s", code, stderr, stdout, want)
	}
}

func TestNewThatCannotBe(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		says string
		code int
	}{
		{"a kind that is none", []string{"output", "x"}, `kind "output"`, exitFailed},
		{"a name that is none", []string{"sink", "X"}, `name "X"`, exitFailed},
		{"a language that is none", []string{"sink", "x", "--lang", "perl"}, `language "perl"`, exitFailed},
		{"the name of one that is there", []string{"sink", "whisper"}, "plugins/fluxgate-sink-whisper is there already", exitFailed},
		{"a folder that is in use", []string{"sink", "x", "--dir", "/"}, "/ is there and not empty", exitFailed},
		{"a folder in none", []string{"sink", "x", "--dir", "/nowhere/x"}, "/nowhere", exitFailed},
		{"no name", []string{"sink"}, "which plugin?", exitUsage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, stderr, code := fluxgate(t, append([]string{"plugin", "new"}, tt.args...)...); code != tt.code || !strings.Contains(stderr, tt.says) {
				t.Errorf("exit %d, it says %q; want %d and %q", code, stderr, tt.code, tt.says)
			}
		})
	}
}

func TestWithoutAnSDKThereIsNoNewPlugin(t *testing.T) {
	alone := filepath.Join(filepath.Dir(fluxgateBinary(t)), "alone", "fluxgate")
	if err := os.MkdirAll(filepath.Dir(alone), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(fluxgateBinary(t), alone); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cmd := exec.CommandContext(t.Context(), alone, "plugin", "new", "sink", "x")
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	want := "no sdk in " + filepath.Join(filepath.Dir(alone), "sdk") + " or /usr/share/fluxgate/sdk: write it with make build"
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, it says %q, want %q", err, out, want)
	}
}

func TestCommandOf(t *testing.T) {
	folder := t.TempDir()
	program, other := filepath.Join(folder, "bin", "it"), filepath.Join(folder, "other", "it")
	for _, path := range []string{program, other} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	linked := filepath.Join(folder, "linked")
	if err := os.Mkdir(linked, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(linked, "it")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                        program,
		filepath.Dir(program):     "it",
		linked:                    "it",
		filepath.Dir(other):       program,
		linked + ":" + "/nowhere": "it",
	} {
		t.Setenv("PATH", path)
		if got := commandOf(program); got != want {
			t.Errorf("with the PATH %q: %q, want %q", path, got, want)
		}
	}
}

func TestAMistypedCommandFails(t *testing.T) {
	for _, group := range []string{"journal", "dead", "populate", "plugin"} {
		_, stderr, code := fluxgate(t, group, "tset")
		if want := `unknown command "tset" for "fluxgate ` + group; code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, it says %q; want %d and %q", group, code, stderr, exitUsage, want)
		}
		if stdout, _, code := fluxgate(t, group); code != 0 || !strings.Contains(stdout, "Usage:") {
			t.Errorf("%s alone: exit %d, it says %q; want help", group, code, stdout)
		}
	}
}
