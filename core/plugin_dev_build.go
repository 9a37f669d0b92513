package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"fluxgate/core/scaffold"
	"fluxgate/sdk"
)

// A candidate is a plugin that is to be tried.
type candidate struct {
	name    string // what Fluxgate calls it
	program string // its path
	kind    string
	version string
	first   request // what it is sent first, if it is an input and has such a thing
}

// route is the path at which an input is served.
func (c candidate) route() string { return "/" + c.name }

// prepare builds the plugin into folder if need be, and asks it what it is.
func (t *throwaway) prepare(ctx context.Context, folder string) (c candidate, err error) {
	path, err := filepath.Abs(t.path)
	if err != nil {
		return c, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return c, err
	}
	c.program, c.name = path, filepath.Base(path)
	if info.IsDir() {
		if c.program, err = programIn(ctx, path, folder); err != nil {
			return c, err
		}
		if c.first, err = firstCase(path); err != nil {
			return c, err
		}
	}
	about, err := sdk.Describe(ctx, sdk.Spec{Name: c.name, Path: c.program})
	if err != nil {
		return c, err
	}
	named := programName.FindStringSubmatch(c.name)
	c.version, c.kind = cmp.Or(about.Version, "unknown"), cmp.Or(t.kind, about.Kind)
	if named != nil {
		c.name, c.kind = named[2], cmp.Or(c.kind, named[1])
	}
	c.name = regexp.MustCompile(`[^A-Za-z0-9_-]`).ReplaceAllString(c.name, "-")
	if !slices.Contains(scaffold.Kinds(), c.kind) {
		return c, fmt.Errorf("%s does not tell its kind: say it with --kind sink, input or resampler", c.program)
	}
	return c, nil
}

// programName is how the program of a plugin is called.
var programName = regexp.MustCompile(`^fluxgate-(input|resampler|sink)-(.+)$`)

// buildEnd is how long a compiler may take to leave when it is interrupted.
const buildEnd = 5 * time.Second

// programIn returns the program of the plugin in folder. One in Go is built into
// bin, one in Python is run as it is.
func programIn(ctx context.Context, folder, bin string) (string, error) {
	name := filepath.Base(folder)
	if exists(filepath.Join(folder, "go.mod")) {
		program := filepath.Join(bin, name)
		build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
		build.Dir, build.Stdout, build.Stderr = folder, os.Stderr, os.Stderr
		build.Cancel = func() error { return build.Process.Signal(os.Interrupt) } // it removes what it has made
		build.WaitDelay = buildEnd
		if err := build.Run(); err != nil {
			return "", fmt.Errorf("go build in %s: %w", folder, err)
		}
		return program, nil
	}
	for _, program := range []string{filepath.Join(folder, name), filepath.Join(folder, "main.py")} {
		if exists(program) {
			return program, nil
		}
	}
	return "", fmt.Errorf("%s has no go.mod, no main.py and no program %s: name the plugin's program itself", folder, name)
}
