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
		files = append(files, cases()...)
	}
	return files
}

func (p Plan) pythonFiles() []file {
	files := []file{
		{name: "main.py", template: "python/" + p.Kind + ".py.tmpl", program: true},
		{name: "Makefile", template: "python/Makefile.tmpl"},
		{name: ".gitignore", template: "python/gitignore.tmpl"},
		{name: "README.md", template: "python/" + p.Kind + ".md.tmpl"},
	}
	for _, name := range p.pythonModules() {
		files = append(files, file{name: name, source: "python/" + name})
	}
	switch p.Kind {
	case "input":
		files = append(files, cases()...)
	case "sink":
		files = append(files,
			file{name: "kit.yaml", template: "python/kit.yaml.tmpl"},
			file{name: "stored.py", template: "python/stored.py.tmpl", program: true})
	}
	return files
}

// pythonModules returns the files of the sdk that a plugin in Python imports,
// which lie beside it.
func (p Plan) pythonModules() []string {
	found, _ := filepath.Glob(filepath.Join(p.SDK, "python", "fluxgate*.py")) // none are found where the path is a pattern
	names := []string{"fluxgate.py", "fluxgate_pb2.py"}
	for _, path := range found {
		if name := filepath.Base(path); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// cases returns requests for an input, each with the submission that it becomes.
func cases() (files []file) {
	for _, name := range []string{"lines", "lines-until-a-bad-one"} {
		files = append(files,
			file{name: "cases/" + name + "/request.http", template: "cases/" + name + ".http.tmpl"},
			file{name: "cases/" + name + "/submission.json", template: "cases/" + name + ".json.tmpl"})
	}
	return files
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
