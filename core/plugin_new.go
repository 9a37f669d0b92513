package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"fluxgate/core/config"
	"fluxgate/core/scaffold"
)

func pluginNewCommand() *cobra.Command {
	var lang, folder string
	cmd := &cobra.Command{
		Use:   "new KIND NAME",
		Short: "Begin a plugin: a folder that builds, passes its tests and runs",
		Long: "New writes the folder fluxgate-KIND-NAME, with a plugin that works already and the tests of its contract.\n" +
			"KIND is sink, input or resampler; NAME has lower-case letters, digits and dashes.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("which plugin? fluxgate plugin new KIND NAME, such as: fluxgate plugin new sink jsonlines")
			}
			return nil
		},
		RunE: command(func(cmd *cobra.Command, args []string) error {
			p := scaffold.Plan{Kind: args[0], Name: args[1], Lang: lang}
			return newPlugin(cmd.OutOrStdout(), p, folder)
		}),
	}
	cmd.Flags().StringVar(&lang, "lang", "go", "go or python")
	cmd.Flags().StringVar(&folder, "dir", "", "the folder to write (default fluxgate-KIND-NAME)")
	return cmd
}

// newPlugin writes the folder of a plugin, and tells out what to do with it.
func newPlugin(out io.Writer, p scaffold.Plan, folder string) error {
	program, err := ownProgram()
	if err != nil {
		return err
	}
	if p.SDK, err = sdkFolder(program); err != nil {
		return err
	}
	p.Fluxgate = commandOf(program)
	if err := p.Check(); err != nil {
		return err
	}
	if err := unclaimed(p.Program()); err != nil {
		return err
	}
	folder = cmp.Or(folder, p.Program())
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	if err := scaffold.Write(absolute, p); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s is written. What next:\n\n  cd %s\n  make test    # the contract of every %s, against this one\n"+
		"  make run     # a throwaway Fluxgate with it\n\nThen make build, and name it in fluxgate.yaml:\n\n%s", folder, folder, p.Kind, p.Settings(p.Built(absolute)))
	return err
}

// unclaimed refuses the name of a program that Fluxgate would find in its place,
// where it looks unless it is told otherwise.
func unclaimed(program string) error {
	c, err := config.Load("", nil, nil)
	if err != nil {
		return err
	}
	for _, folder := range c.Plugins {
		if path := filepath.Join(folder, program); exists(path) {
			return fmt.Errorf("%s is there already, and would be found in place of the new one: choose another name", path)
		}
	}
	return nil
}

// sdkShared is where a package of the system puts the sdk.
const sdkShared = "/usr/share/fluxgate/sdk"

// sdkFolder returns the sdk that belongs to a program fluxgate.
func sdkFolder(program string) (string, error) {
	beside := filepath.Join(filepath.Dir(program), "sdk")
	for _, folder := range []string{beside, sdkShared} {
		if exists(filepath.Join(folder, "go.mod")) {
			return folder, nil
		}
	}
	return "", fmt.Errorf("no sdk in %s or %s: write it with make build", beside, sdkShared)
}

// ownProgram returns the path of the program that runs, without symbolic links.
func ownProgram() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("where this program lies is unknown: %w", err)
	}
	return filepath.EvalSymlinks(program)
}

// commandOf returns what starts a program: its name, if that is on the PATH.
func commandOf(program string) string {
	name := filepath.Base(program)
	found, err := exec.LookPath(name)
	if err != nil {
		return program
	}
	if found, err = filepath.EvalSymlinks(found); err != nil || found != program {
		return program
	}
	return name
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
