package fleet

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"fluxgate/sdk"
)

// Survey is Report for a fleet that does not run: every program is started once,
// asked what it says of itself, and stopped. Behind the plugins come the programs
// in the folders that none of them names.
func (f *Fleet) Survey(ctx context.Context) []Status {
	defer f.sockets.remove()
	crews := f.all()
	all := make([]Status, len(crews))
	_ = each(crews, func(i int, c crew) error { // what is wrong is part of the status
		kind, name := c.title()
		all[i] = f.describe(ctx, Status{Kind: kind, Name: name}, c.configured())
		return nil
	})
	strays := f.strays(all)
	var calls sync.WaitGroup
	for i := range strays {
		calls.Go(func() {
			strays[i] = f.describe(ctx, strays[i], Spec{Program: strays[i].Program})
			strays[i].State = NotConfigured
		})
	}
	calls.Wait()
	return append(all, strays...)
}

// describe completes a status of which the title is known.
func (f *Fleet) describe(ctx context.Context, status Status, s Spec) Status {
	status.Program = s.Program
	var (
		spec sdk.Spec
		err  error
	)
	if status.Name == "" {
		spec, err = sdk.Spec{Path: s.Program, SocketDir: f.sockets.path}, runnable(s.Program)
	} else {
		spec, _, err = f.locate(status.Kind, s)
	}
	var says sdk.Description
	if err == nil {
		status.Program = spec.Path
		status.Checksum, _ = sumOf(spec.Path) // what cannot be read has no sum
		spec.Log = slog.New(slog.DiscardHandler)
		says, err = sdk.Describe(ctx, spec)
	}
	return status.complete(says, err)
}

// complete adds what a program says of itself, or why it does not.
func (s Status) complete(says sdk.Description, err error) Status {
	s.Version, s.Protocol, s.Settings = says.Version, says.Protocol, says.Settings
	if err == nil && s.Kind != "" && says.Kind != "" && says.Kind != s.Kind {
		err = sdk.Invalidf("this program is a plugin of kind %s, and is configured as %s", says.Kind, s.Kind)
	}
	if s.Kind == "" {
		s.Kind = says.Kind
	}
	switch {
	case err == nil:
		s.State = Stopped
	case errors.Is(err, sdk.ErrInvalid):
		s.State, s.Trouble = Refused, err.Error()
	default:
		s.State, s.Trouble = Failing, err.Error()
	}
	return s
}

// strays returns the programs in the folders that are not among those of all. Of
// several of one name the first is the one that would be found.
func (f *Fleet) strays(all []Status) (strays []Status) {
	named := make(map[string]bool)
	for _, folder := range f.setup.Folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			continue // it need not be there
		}
		for _, entry := range entries {
			path := filepath.Join(folder, entry.Name())
			info, err := os.Stat(path)
			if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 || named[entry.Name()] {
				continue
			}
			named[entry.Name()] = true
			if !slices.ContainsFunc(all, func(s Status) bool { return same(s.Program, info) }) {
				strays = append(strays, Status{Program: path})
			}
		}
	}
	return strays
}

// same reports whether a path leads to a file.
func same(path string, file os.FileInfo) bool {
	info, err := os.Stat(path)
	return err == nil && os.SameFile(info, file)
}
