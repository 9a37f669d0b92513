package sdk

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-plugin"
)

// verify tells whether the program is the one that s pins.
func (s Spec) verify() error {
	if s.Checksum == "" {
		return nil
	}
	sum, err := hex.DecodeString(s.Checksum)
	if err != nil || len(sum) != sha256.Size {
		return Invalidf("checksum %q: must be a sha256 in hexadecimal, 64 digits", s.Checksum)
	}
	pinned := plugin.SecureConfig{Checksum: sum, Hash: sha256.New()}
	same, err := pinned.Check(s.Path)
	if err != nil {
		return Invalidf("its sha256 cannot be told: %w", err)
	}
	if !same {
		return Invalidf("the program's sha256 is %x, not %x, as pinned by %s",
			pinned.Hash.Sum(nil), sum, cmp.Or(s.Pin, "the setting checksum: give the new one if you trust the program"))
	}
	return nil
}

// explain says what a failed start means, and whose it is to mend.
func (p *Process[T]) explain(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n") // guesses about the cause follow
	greeting, how := p.program.stdout.text(), p.program.obituary()
	if strings.HasPrefix(how, "signal: killed") { // for it did not please
		how = ""
	}
	switch {
	case notRunnable(err):
		return Invalidf("it cannot be run: %w", err)
	case strings.Contains(text, "API version") || strings.HasPrefix(text, "unsupported plugin protocol"):
		return Invalidf("the plugin speaks another protocol than %d to %d, which are the host's: "+
			"build it anew with this Fluxgate's sdk: %s", oldestProtocol, protocol, text)
	case strings.HasPrefix(text, "timeout"):
		return fmt.Errorf("it has not said where it listens within %v, as a plugin does with its first line on standard output: "+
			"is it a plugin of Fluxgate, and does it wait for something before it serves?", StartTimeout)
	case strings.Count(greeting, "|") >= 3:
		return fmt.Errorf("its first line on standard output, %q, does not say where it listens, as that of a plugin does: %s", greeting, text)
	case greeting != "":
		return fmt.Errorf("it printed %q to standard output, where the first line of a plugin must say where it listens: "+
			"is it a plugin of Fluxgate, and can it print to standard error instead?%s", greeting, aside(how))
	case how != "" || strings.HasPrefix(text, "Unrecognized remote plugin message"):
		return fmt.Errorf("it ended before it said where it listens, as a plugin does with its first line on standard output: "+
			"is it a plugin of Fluxgate?%s", aside(how))
	default:
		return err
	}
}

func aside(words string) string {
	if words == "" {
		return ""
	}
	return " (" + words + ")"
}

// deathNotice is how much later than a failed call the end of a process may be
// noticed.
const deathNotice = 200 * time.Millisecond

// giveUp ends a process that could not be opened, and says why that was.
func (p *Process[T]) giveUp(err error) error {
	died := false
	if p.program != nil && errors.Is(err, ErrUnavailable) {
		select {
		case <-p.done:
			died = true
		case <-time.After(deathNotice):
		}
	}
	p.leave()
	if !died {
		return err
	}
	if how := p.program.obituary(); how != "" {
		return Unavailablef("it died while it was being opened%s", aside(how))
	}
	return err
}

// notRunnable reports whether err says that a program is none, or not for this
// user or machine.
func notRunnable(err error) bool {
	return errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) ||
		errors.Is(err, syscall.ENOEXEC) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}
