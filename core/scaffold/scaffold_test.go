package scaffold

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fluxgate/sdk"
)

// anSDK makes a folder with what of the sdk goes into a plugin's folder.
func anSDK(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                 "module fluxgate/sdk\n\ngo 1.26.0\n\nrequire (\n\ta.org/b v1.2.3\n)\n\nrequire (\n\ta.org/a v0.1.0 // indirect\n)\n",
		"go.sum":                 "a.org/b v1.2.3 h1:x=\n",
		"python/fluxgate.py":     "# fluxgate\n",
		"python/fluxgate_pb2.py": "# wire\n", "python/fluxgate_process.py": "# process\n",
	} {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// read returns the text of each file below a folder.
func read(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(folder, path))
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestEveryPlan(t *testing.T) {
	for _, kind := range Kinds() {
		for _, lang := range Langs() {
			t.Run(kind+" in "+lang, func(t *testing.T) {
				p := Plan{Kind: kind, Name: "my-own", Lang: lang, SDK: anSDK(t), Fluxgate: "/opt/fluxgate"}
				folder := filepath.Join(t.TempDir(), "it")
				if err := Write(folder, p); err != nil {
					t.Fatal(err)
				}
				files, main := read(t, folder), map[string]string{"go": "main.go", "python": "main.py"}[lang]
				if n := strings.Count(files[main], "\n"); n == 0 || n >= 40 {
					t.Errorf("%s has %d lines, want fewer than 40", main, n)
				}
				for name, text := range files {
					if strings.Contains(text, "[[") || strings.Contains(text, "]]") {
						t.Errorf("%s is not filled in:\n%s", name, text)
					}
				}
				for _, target := range []string{"FLUXGATE ?= /opt/fluxgate\n", "\nhelp:", "\nbuild:", "\ntest:", "\nrun:", "plugin dev ."} {
					if !strings.Contains(files["Makefile"], target) {
						t.Errorf("Makefile has no %q:\n%s", target, files["Makefile"])
					}
				}
				if !strings.Contains(files["README.md"], "<!-- settings -->") || !strings.Contains(files["README.md"], "fluxgate-"+kind+"-my-own") {
					t.Errorf("README.md:\n%s", files["README.md"])
				}
				if files[".gitignore"] == "" {
					t.Error("there is no .gitignore")
				}
			})
		}
	}
}

func TestAModuleOfItsOwn(t *testing.T) {
	p := Plan{Kind: "sink", Name: "x", Lang: "go", SDK: anSDK(t), Fluxgate: "fluxgate"}
	folder := filepath.Join(t.TempDir(), "it")
	if err := Write(folder, p); err != nil {
		t.Fatal(err)
	}
	files := read(t, folder)
	want := "module fluxgate-sink-x\n\ngo 1.26.0\n\nrequire fluxgate/sdk v0.0.0\n\n" +
		"require (\n\ta.org/a v0.1.0 // indirect\n\ta.org/b v1.2.3 // indirect\n)\n\nreplace fluxgate/sdk => " + p.SDK + "\n"
	if files["go.mod"] != want || files["go.sum"] != "a.org/b v1.2.3 h1:x=\n" {
		t.Errorf("go.mod is\n%s, want\n%s; go.sum %q", files["go.mod"], want, files["go.sum"])
	}
}

func TestPython(t *testing.T) {
	p := Plan{Kind: "sink", Name: "x", Lang: "python", SDK: anSDK(t), Fluxgate: "fluxgate"}
	folder := filepath.Join(t.TempDir(), "it")
	if err := Write(folder, p); err != nil {
		t.Fatal(err)
	}
	if files := read(t, folder); files["fluxgate.py"] != "# fluxgate\n" || files["fluxgate_pb2.py"] != "# wire\n" || files["fluxgate_process.py"] != "# process\n" {
		t.Errorf("what it imports is not beside it: %q", files)
	}
	for name, want := range map[string]os.FileMode{"main.py": 0o755, "stored.py": 0o755, "Makefile": 0o644, ".": fs.ModeDir | 0o755} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want mode %v", name, info.Mode(), err, want)
		}
	}
}

func TestWhatIsThereStays(t *testing.T) {
	good := Plan{Kind: "sink", Name: "x", Lang: "go", SDK: anSDK(t)}
	there := t.TempDir()
	empty := filepath.Join(there, "empty")
	if err := errors.Join(os.Mkdir(empty, 0o700), os.WriteFile(filepath.Join(there, "file"), []byte("mine"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Write(there, good); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a folder that is not empty: %v", err)
	}
	if err := Write(filepath.Join(there, "file"), good); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("over a file: %v", err)
	}
	if err := Write(empty, good); err != nil || read(t, empty)["main.go"] == "" {
		t.Errorf("into an empty folder: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(there, "file")); err != nil || !bytes.Equal(text, []byte("mine")) {
		t.Errorf("the file is %q, %v", text, err)
	}
}

func TestNothingIsHalfWritten(t *testing.T) {
	broken := anSDK(t)
	if err := os.Remove(filepath.Join(broken, "python", "fluxgate_pb2.py")); err != nil {
		t.Fatal(err)
	}
	above := t.TempDir()
	err := Write(filepath.Join(above, "it"), Plan{Kind: "sink", Name: "x", Lang: "python", SDK: broken})
	if left := read(t, above); !errors.Is(err, fs.ErrNotExist) || len(left) > 0 {
		t.Errorf("error %v, and there are %q", err, left)
	}
	if entries, err := os.ReadDir(above); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v are left", entries, err)
	}
}

func TestRefusedPlans(t *testing.T) {
	for _, tt := range []struct {
		name string
		plan Plan
		says string
	}{
		{"no such kind", Plan{Kind: "output", Name: "x", Lang: "go"}, `kind "output": must be input, resampler, sink`},
		{"no such language", Plan{Kind: "sink", Name: "x", Lang: "perl", SDK: "/s"}, `language "perl": must be go or python; others have fluxgate.proto in /s`},
		{"no name", Plan{Kind: "sink", Lang: "go"}, `name ""`},
		{"upper case", Plan{Kind: "sink", Name: "X", Lang: "go"}, `name "X"`},
		{"a digit first", Plan{Kind: "sink", Name: "1x", Lang: "go"}, `name "1x"`},
		{"a path", Plan{Kind: "sink", Name: "../x", Lang: "go"}, `name "../x"`},
		{"a second line", Plan{Kind: "sink", Name: "x\n", Lang: "go"}, `name "x\n"`},
		{"too long", Plan{Kind: "sink", Name: strings.Repeat("x", 52), Lang: "go"}, "51 characters at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "it")
			if err := Write(folder, tt.plan); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want an invalid one that says %q", err, tt.says)
			}
			if _, err := os.Stat(folder); err == nil {
				t.Error("the folder is there")
			}
		})
	}
}
