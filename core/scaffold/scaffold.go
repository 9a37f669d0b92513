// Package scaffold writes the folder of a new plugin, which builds, passes the
// kit and runs as it is.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"text/template"

	"fluxgate/sdk"
)

// A Plan says which plugin to begin.
type Plan struct {
	Kind     string // one of Kinds
	Name     string // lower-case letters, digits and dashes, beginning with a letter
	Lang     string // one of Langs
	SDK      string // the folder of the sdk, absolute
	Fluxgate string // the command that starts fluxgate, for the plugin's Makefile
}

// Kinds returns the kinds of plugin.
func Kinds() []string { return []string{"input", "resampler", "sink"} }

// Langs returns the languages that a plugin can be begun in.
func Langs() []string { return []string{"go", "python"} }

// Check returns an error that wraps [sdk.ErrInvalid] and says what to write, if
// nothing can be begun by the plan.
func (p Plan) Check() error {
	switch {
	case !slices.Contains(Kinds(), p.Kind):
		return sdk.Invalidf("kind %q: must be %s", p.Kind, strings.Join(Kinds(), ", "))
	case !slices.Contains(Langs(), p.Lang):
		return sdk.Invalidf("language %q: must be %s; others have fluxgate.proto in %s", p.Lang, strings.Join(Langs(), " or "), p.SDK)
	case !regexp.MustCompile(`^[a-z][a-z0-9-]{0,50}$`).MatchString(p.Name):
		return sdk.Invalidf("name %q: must be of lower-case letters, digits and dashes, begin with a letter, and have 51 characters at most", p.Name)
	}
	return nil
}

// Program returns the name of the plugin's program, by which Fluxgate finds it.
func (p Plan) Program() string { return "fluxgate-" + p.Kind + "-" + p.Name }

// Built returns the path of the program in the plugin's folder, after make build.
func (p Plan) Built(folder string) string {
	if p.Lang == "python" {
		return filepath.Join(folder, "main.py")
	}
	return filepath.Join(folder, p.Program())
}

// Settings returns the lines of Fluxgate's configuration that name the program
// at path.
func (p Plan) Settings(path string) string {
	switch p.Kind {
	case "input":
		return fmt.Sprintf("inputs:\n  %s: {plugin: %s, routes: [POST /%s]}\n", p.Name, path, p.Name)
	case "resampler":
		return fmt.Sprintf("resamplers:\n  %s: {plugin: %s}\n", p.Name, path)
	default:
		return fmt.Sprintf("sinks:\n  %s: {plugin: %s, config: {path: /var/lib/fluxgate/%s.jsonl}}\n", p.Name, path, p.Name)
	}
}

// Write writes a folder by the plan. It is there whole or, after an error, not
// at all. The error wraps [sdk.ErrInvalid] if the plan is not fit, or if there is
// something in the folder already.
func Write(folder string, p Plan) error {
	if err := p.Check(); err != nil {
		return err
	}
	if err := vacant(folder); err != nil {
		return err
	}
	draft, err := os.MkdirTemp(filepath.Dir(folder), ".fluxgate-plugin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(draft)
	if err := p.fill(draft); err != nil {
		return err
	}
	if err := os.Chmod(draft, 0o755); err != nil {
		return err
	}
	return syscall.Rename(draft, folder) // unlike os.Rename also in the place of an empty folder
}

// vacant tells whether there is nothing in a folder, or no folder.
func vacant(folder string) error {
	entries, err := os.ReadDir(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return sdk.Invalidf("%w", err)
	case len(entries) > 0:
		return sdk.Invalidf("%s is there and not empty: name another with --dir, or remove it", folder)
	}
	return nil
}

// fill writes every file.
func (p Plan) fill(folder string) error {
	for _, f := range p.files() {
		text, err := f.text(p)
		if err != nil {
			return err
		}
		path := filepath.Join(folder, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, f.mode()); err != nil {
			return err
		}
	}
	return nil
}

//go:embed go/*.tmpl python/*.tmpl cases/*.tmpl
var templates embed.FS

// A file is one to be written: from a template, or as the sdk has it.
type file struct {
	name     string
	template string // empty: it is from the sdk
	source   string // below the folder of the sdk
	program  bool
}

func (f file) mode() os.FileMode {
	if f.program {
		return 0o755
	}
	return 0o644
}

func (f file) text(p Plan) ([]byte, error) {
	if f.template == "" {
		return os.ReadFile(filepath.Join(p.SDK, f.source))
	}
	t, err := template.New("").Delims("[[", "]]").ParseFS(templates, f.template)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = t.ExecuteTemplate(&text, filepath.Base(f.template), p)
	return text.Bytes(), err
}

// files returns what makes up the folder.
func (p Plan) files() []file {
	if p.Lang == "python" {
		return p.pythonFiles()
	}
	return p.goFiles()
}
