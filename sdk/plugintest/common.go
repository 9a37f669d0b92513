package plugintest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/internal/peer"
)

// first is the sentence for every kind without which the others mean nothing.
var first = []sentence{{"opens with its settings", opens}}

// common are the other sentences for every kind.
var common = []sentence{
	{"describes its kind, its version and each of its settings", describesItself},
	{"refuses a setting that it does not know, by name", refusesUnknownSettings},
	{"answers a check", answersCheck},
	{"opens once, and as its own kind", opensOnce},
	{"is unavailable before it is opened and after it has drained", isUnavailableWhenShut},
	{"writes nothing to standard output but the handshake", staysSilent},
	onBoth("finishes a call whose context has ended", obeysContext),
	{"leaves within its time when it is asked to", leavesWhenAsked},
	{"leaves when its host has died", leavesWithItsHost},
}

// last is the sentence for every kind that is about what was asked by the others.
var last = []sentence{{"keeps its data socket, if it offers one, whatever it is asked", keepsItsDataSocket}}

// opens finds out whether the program offers a data socket, too.
func opens(ctx context.Context, k *kit) error {
	p, err := k.one(ctx)
	if err == nil && p.OffersDataSocket() {
		k.other = &kit{Program: k.Program, folder: k.folder, reading: k.reading, portable: true}
	}
	return err
}

// keepsItsDataSocket looks at what the other sentences have left of it.
func keepsItsDataSocket(ctx context.Context, k *kit) error {
	p, err := k.one(ctx)
	if err != nil {
		return err
	}
	if k.other != nil {
		worked, cancel := within(ctx)
		defer cancel()
		if err := p.work(worked); err != nil {
			return err
		}
	}
	if k.inspect(p); k.broken {
		return brokenf("nobody listens at its data socket, it has closed that, or what it said there is no answer: the host's log tells which")
	}
	return nil
}

func describesItself(ctx context.Context, k *kit) error {
	p, err := k.one(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := within(ctx)
	defer cancel()
	d, err := p.Describe(ctx)
	if err != nil {
		return err
	}
	switch {
	case d.Settings == nil:
		return brokenf("it does not answer Describe, which came with protocol 2: it speaks protocol %d", d.Protocol)
	case d.Kind != k.Kind:
		return brokenf("it says that its kind is %q, and is tested as %s", d.Kind, k.Kind)
	case d.Version == "":
		return brokenf("it tells no version")
	}
	for _, s := range d.Settings {
		if s.Name == "" || s.Type == "" || s.Help == "" {
			return brokenf("setting %q has type %q and help %q: tell each", s.Name, s.Type, s.Help)
		}
	}
	return nil
}

func refusesUnknownSettings(ctx context.Context, k *kit) error {
	const unknown = "fluxgate_kit_unknown"
	settings := maps.Clone(k.Settings)
	if settings == nil {
		settings = make(map[string]any)
	}
	settings[unknown] = "x"
	p, err := k.start(ctx, settings)
	switch {
	case err == nil:
		p.leave()
		return brokenf("it opens with the setting %q, and must refuse it", unknown)
	case !errors.Is(err, sdk.ErrInvalid):
		return brokenf("it must refuse the setting %q as invalid: %v", unknown, err)
	case !strings.Contains(err.Error(), unknown):
		return brokenf("it must name the setting %q that it refuses: %v", unknown, err)
	}
	return nil
}

func answersCheck(ctx context.Context, k *kit) error {
	p, err := k.one(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := within(ctx)
	defer cancel()
	if err := p.Check(ctx); err != nil {
		return brokenf("a plugin that works says of itself: %v", err)
	}
	return nil
}

// opensOnce opens the plugin by hand: a host would not even try.
func opensOnce(ctx context.Context, k *kit) error {
	s, err := k.connect(ctx, direct)
	if err != nil {
		return err
	}
	defer s.kill()
	if err := s.open(ctx, "nothing", k.Settings); !invalid(err) {
		return brokenf("opened as of kind nothing it must refuse with INVALID_ARGUMENT, and says: %v", err)
	}
	if err := s.open(ctx, k.Kind, k.Settings); err != nil {
		return err
	}
	if err := s.open(ctx, k.Kind, k.Settings); !invalid(err) {
		return brokenf("opened a second time it must refuse with INVALID_ARGUMENT, and says: %v", err)
	}
	return nil
}

// isUnavailableWhenShut asks for work too early and too late. Any error will do but
// a refusal, for which the host would give up what it sent.
func isUnavailableWhenShut(ctx context.Context, k *kit) error {
	s, err := k.connect(ctx, direct)
	if err != nil {
		return err
	}
	defer s.kill()
	call := func(when string) error {
		if err := s.call(ctx, k.Kind); err == nil || invalid(err) {
			return brokenf("called %s it must say UNAVAILABLE, and says: %v", when, err)
		}
		return nil
	}
	if err := call("before Open"); err != nil {
		return err
	}
	if err := s.open(ctx, k.Kind, k.Settings); err != nil {
		return err
	}
	draining, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.drain(draining); err != nil {
		return err
	}
	return call("after Drain")
}

func staysSilent(ctx context.Context, k *kit) error {
	s, err := k.opened(ctx)
	if err != nil {
		return err
	}
	defer s.kill()
	if err := s.work(ctx, k.Kind); err != nil {
		return err
	}
	if said := s.said(); said != "" {
		return brokenf("it wrote to standard output: %.200q; log to standard error", said)
	}
	return nil
}

// patience is how long a call may go on when nobody waits for it any longer.
const patience = 2 * time.Second

// obeysContext gives calls up as soon as they are sent. What the plugin makes of
// that shows when it drains, for that waits for the calls under way.
func obeysContext(ctx context.Context, k *kit) error {
	work, drain, end, err := k.drainable(ctx)
	if err != nil {
		return err
	}
	defer end()
	for n := range 5 {
		short, cancel := context.WithTimeout(ctx, time.Duration(1<<(2*n))*time.Millisecond)
		_ = work(short)
		cancel()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := drain(ctx); err != nil {
		return brokenf("a call whose context has ended goes on for more than %v: %v", patience, err)
	}
	return nil
}

// drainable starts a plugin that can be given work and be drained: over gRPC by hand,
// and over its data socket by a host.
func (k *kit) drainable(ctx context.Context) (work, drain func(context.Context) error, end func(), err error) {
	if k.other == nil {
		s, err := k.opened(ctx)
		if err != nil {
			return nil, nil, nil, err
		}
		return func(ctx context.Context) error { return s.work(ctx, k.Kind) }, s.drain, s.kill, nil
	}
	p, err := k.start(ctx, k.Settings)
	if err != nil {
		return nil, nil, nil, err
	}
	return p.work, p.Stop, p.leave, nil
}

func leavesWhenAsked(ctx context.Context, k *kit) error {
	s, err := k.opened(ctx)
	if err != nil {
		return err
	}
	defer s.kill()
	if err := s.work(ctx, k.Kind); err != nil {
		return err
	}
	return s.end(ctx)
}

func leavesWithItsHost(ctx context.Context, k *kit) error {
	s, err := k.connect(ctx, throughShell)
	if err != nil {
		return err
	}
	defer s.kill()
	if err := s.open(ctx, k.Kind, k.Settings); err != nil {
		return err
	}
	s.killHost()
	if !peer.Ends(s.pidfd, limit/2) {
		return brokenf("its host was killed %v ago, and process %d lives on", limit/2, s.pid)
	}
	return nil
}

// each joins what f says of every i below n, all at once.
func each(n int, f func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- f(i) }()
	}
	var all []error
	for range n {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// differ tells what was got and wanted.
func differ(what string, got, want any) error {
	return fmt.Errorf("%s: got %+v, want %+v", what, got, want)
}
