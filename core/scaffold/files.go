package scaffold

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"fluxgate/sdk"
)

func (p Plan) goFiles() []file {
	files := []file{
		{name: "main.go", template: "go/" + p.Kind + ".go.tmpl"},
		{name: "main_test.go", template: "go/" + p.Kind + "_test.go.tmpl"},
		{name: "go.mod", template: "go/go.mod.tmpl"},
		{name: "go.sum", source: "go.sum"},
		{name: "Makefile", template: "go/Makefile.tmpl"},
		{name: ".gitignore", template: "go/gitignore.tmpl"},
		{name: "README.md", template: "go/" + p.Kind + ".md.tmpl"},
	}
	if p.Kind == "input" {
		files = append(files, cases("go")...)
	}
	return files
}

func (p Plan) pythonFiles() []file {
	files := []file{
		{name: "main.py", template: "python/" + p.Kind + ".py.tmpl", program: true},
		{name: "fluxgate.py", source: "python/fluxgate.py"},
		{name: "fluxgate_pb2.py", source: "python/fluxgate_pb2.py"},
		{name: "Makefile", template: "python/Makefile.tmpl"},
		{name: ".gitignore", template: "python/gitignore.tmpl"},
		{name: "README.md", template: "python/" + p.Kind + ".md.tmpl"},
	}
	switch p.Kind {
	case "input":
		files = append(files, cases("python")...)
	case "sink":
		files = append(files,
			file{name: "kit.yaml", template: "python/kit.yaml.tmpl"},
			file{name: "stored.py", template: "python/stored.py.tmpl", program: true})
	}
	return files
}

// cases returns what the kit sends to an input, and what is to become of it.
func cases(lang string) (files []file) {
	return nil
}

// Requirements returns the lines of go.mod that require what the sdk is built
// from, so that no go mod tidy is needed.
func (p Plan) Requirements() (string, error) {
	text, err := p.sdkModule()
	if err != nil {
		return "", err
	}
	modules := regexp.MustCompile(`(?m)^\t\S+ v\S+`).FindAllString(text, -1)
	slices.Sort(modules)
	return strings.Join(modules, " // indirect\n") + " // indirect\n", nil
}

// GoVersion returns the version of Go that the sdk needs.
func (p Plan) GoVersion() (string, error) {
	text, err := p.sdkModule()
	if err != nil {
		return "", err
	}
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(text)
	if version == nil {
		return "", sdk.Invalidf("%s/go.mod has no line about the version of Go: write it again with make build", p.SDK)
	}
	return version[1], nil
}

func (p Plan) sdkModule() (string, error) {
	text, err := os.ReadFile(filepath.Join(p.SDK, "go.mod"))
	return string(text), err
}
