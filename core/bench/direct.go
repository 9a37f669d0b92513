package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// directEnv gives the direct build its configuration, in which it finds the settings of
// the sink.
const directEnv = "DIRECT_OF_FLUXGATE"

// A grafted plugin is one whose source becomes a package of the direct build.
type grafted struct {
	folder string // below the module
	kind   string // as in sdk.ServeInput
}

var grafts = map[string]grafted{
	"input":  {"plugins/input/flux", "Input"},
	"pickle": {"plugins/sink/pickle", "Sink"},
}

// wrap is what is added to the source of a grafted plugin: Open returns what its main
// would have served.
const wrap = `package plugin

import (
	"context"

	"fluxgate/sdk"
)

var made func(settings map[string]any) (sdk.%[1]s, error)

func serve[C any](defaults C, open func(context.Context, C) (sdk.%[1]s, error)) {
	made = func(settings map[string]any) (sdk.%[1]s, error) {
		c := defaults
		if err := sdk.Configure(settings, &c); err != nil {
			return nil, err
		}
		return open(context.Background(), c)
	}
}

func Open(settings map[string]any) (sdk.%[1]s, error) {
	Main()
	return made(settings)
}
`

// joint is what is added to core: it puts the grafted plugins where a witness sees the
// processes.
const joint = `package main

import (
	"os"

	"go.yaml.in/yaml/v3"

	input "fluxgate/core/direct/input"
	pickle "fluxgate/core/direct/pickle"
	"fluxgate/sdk"
)

func directInput(sdk.Input) sdk.Input {
	in, err := input.Open(nil)
	if err != nil {
		panic(err)
	}
	return in
}

func directSink(sdk.Sink) sdk.Sink {
	var c struct {
		Sinks map[string]struct{ Config map[string]any }
	}
	if err := yaml.Unmarshal([]byte(os.Getenv("DIRECT_OF_FLUXGATE")), &c); err != nil || len(c.Sinks) != 1 {
		panic("a direct build has one sink")
	}
	for _, s := range c.Sinks {
		out, err := pickle.Open(s.Config)
		if err != nil {
			panic(err)
		}
		return out
	}
	return nil
}
`

// recycle is added to the road: an input gets its memory back, as one in a process of its
// own does, when nothing refers to it any more, which is when the request is answered.
const recycle = `	if r, ok := in.(sdk.Recycler); ok && err == nil {
		defer r.Recycle(s)
	}
`

// A change replaces text that a file holds exactly once.
type change struct{ old, new string }

func (c change) in(name, source string) (string, error) {
	if n := strings.Count(source, c.old); n != 1 {
		return "", fmt.Errorf("%s holds %q %d times, want once: the direct build must be told anew how the parts are joined", name, c.old, n)
	}
	return strings.Replace(source, c.old, c.new, 1), nil
}

// An overlay is files as the compiler is to see them.
type overlay struct {
	root, dir string
	Replace   map[string]string
}

func (o *overlay) put(file, source string) error {
	written := filepath.Join(o.dir, fmt.Sprintf("%d.go", len(o.Replace)))
	o.Replace[filepath.Join(o.root, file)] = written
	return os.WriteFile(written, []byte(source), 0o600)
}

// graft adds a plugin's source as the package core/direct/NAME.
func (o *overlay) graft(name string, g grafted) error {
	files, err := filepath.Glob(filepath.Join(o.root, g.folder, "*.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		base := filepath.Base(file)
		if strings.HasSuffix(base, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		text := string(source)
		changes := []change{{"\npackage main\n", "\npackage plugin\n"}}
		if base == "main.go" {
			changes = append(changes, change{"func main() {", "func Main() {"}, change{"sdk.Serve" + g.kind + "(", "serve("})
		}
		text = "\n" + text
		for _, c := range changes {
			if text, err = c.in(file, text); err != nil {
				return err
			}
		}
		if err := o.put(filepath.Join("core/direct", name, base), text); err != nil {
			return err
		}
	}
	return o.put(filepath.Join("core/direct", name, "wrap.go"), fmt.Sprintf(wrap, g.kind))
}

// direct builds fluxgate with the input flux and the sink pickle in the same process,
// once, and returns the program.
func (b *bench) direct(ctx context.Context) (string, error) {
	folder := filepath.Join(b.dir, "direct")
	program := filepath.Join(folder, "fluxgate")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w: run bench inside the module", err)
	}
	o := &overlay{root: strings.TrimSpace(string(out)), dir: folder, Replace: map[string]string{}}
	if err := o.join(); err != nil {
		return "", err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return "", err
	}
	file := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", file, "-o", program, "./core")
	cmd.Dir = o.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the direct build: %w\n%s", err, out)
	}
	return program, os.Symlink(filepath.Join(b.bin, "plugins"), filepath.Join(folder, "plugins"))
}

// join makes the whole overlay.
func (o *overlay) join() error {
	for name, g := range grafts {
		if err := o.graft(name, g); err != nil {
			return err
		}
	}
	for file, c := range map[string]change{
		"core/serve.go":     {"witness{ready:", "witness{input: directInput, sink: directSink, ready:"},
		"core/flow/flow.go": {"\ts, err := f.decode(ctx, in, r)\n", "\ts, err := f.decode(ctx, in, r)\n" + recycle},
	} {
		source, err := os.ReadFile(filepath.Join(o.root, file))
		if err != nil {
			return err
		}
		text, err := c.in(file, string(source))
		if err != nil {
			return err
		}
		if err := o.put(file, text); err != nil {
			return err
		}
	}
	return o.put("core/direct.go", joint)
}
