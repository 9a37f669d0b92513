package plugintest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"fluxgate/sdk"
)

// A Program is a plugin in whatever language, and what it takes to test it.
type Program struct {
	Path     string
	Kind     string                    // sink, input or resampler
	Settings map[string]any            // with which it works
	Stored   func() (sdk.Batch, error) // of a sink: all that is stored by now (see [Sink])
	Wait     time.Duration             // of a sink: how long it may take until that is so; 0: ten seconds
	Cases    string                    // of an input: a folder of requests (see [Input])
	Tally    bool                      // of a resampler: its values are of another kind (see [Tally])
	Log      *slog.Logger              // where its log lines go; nil: nowhere
}

// A Result tells whether a plugin keeps to one sentence of its contract.
type Result struct {
	Sentence string
	Err      error // how it does not; or, wrapping [ErrNotJudged], why that cannot be told
	Took     time.Duration
}

// ErrNotJudged means that something is missing to judge a sentence.
var ErrNotJudged = errors.New("not judged")

const (
	// limit is how long a plugin may take over whatever it is asked.
	limit = 10 * time.Second

	// sentenceLimit ends what asks for ever. A sentence that asks much takes longer than
	// a minute on a machine that is busy.
	sentenceLimit = 30 * limit
)

// Test holds the plugin to every sentence of its contract, and reports each when
// it is judged. The error counts those that it did not keep to, or that could not
// be judged; it wraps [sdk.ErrInvalid] when there is no such kind.
func (p Program) Test(ctx context.Context, report func(Result)) error {
	kit, err := p.kit()
	if err != nil {
		return err
	}
	failed, unjudged := 0, 0
	for result := range kit.judge(ctx) {
		switch {
		case errors.Is(result.Err, ErrNotJudged):
			unjudged++
		case result.Err != nil:
			failed++
		}
		report(result)
	}
	if failed+unjudged == 0 {
		return nil
	}
	return fmt.Errorf("%s: of %d sentences of the contract %d are broken and %d not judged", p.Path, len(kit.sentences), failed, unjudged)
}

// A sentence is one of the contract's. What it returns tells how it is broken.
type sentence struct {
	name string
	hold func(context.Context, *kit) error
}

// A kit is the sentences for a program, and what they share.
type kit struct {
	Program
	sentences []sentence
	folder    string // for the sockets
	portable  bool   // it calls the plugin over gRPC alone
	other     *kit   // of a program with a data socket: the same over gRPC; else nil

	mu     sync.Mutex
	shared plugin // of the sentences that leave it as it was
	broken bool   // a data socket has not lasted

	reading     *sync.Mutex // held by who reads back
	laws        sync.Mutex
	resampled   []resampled // by the first law
	unresampled error       // why not all of that is
}

// onBoth is a sentence about the plugin's own method. It is judged over the data
// socket, where the program offers one, and over gRPC.
func onBoth(name string, hold func(context.Context, *kit) error) sentence {
	return sentence{name, func(ctx context.Context, k *kit) error {
		if k.other == nil {
			return hold(ctx, k)
		}
		planes := []struct {
			name string
			kit  *kit
		}{{"over its data socket", k}, {"over gRPC", k.other}}
		return each(len(planes), func(i int) error {
			if err := hold(ctx, planes[i].kit); err != nil {
				return fmt.Errorf("%s: %w", planes[i].name, err)
			}
			return nil
		})
	}}
}

func (p Program) kit() (*kit, error) {
	sentences := map[string][]sentence{"sink": sinkSentences, "input": inputSentences, "resampler": resamplerSentences}[p.Kind]
	if sentences == nil {
		return nil, sdk.Invalidf("kind %q: must be sink, input or resampler", p.Kind)
	}
	if p.Wait == 0 {
		p.Wait = limit
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	folder, err := os.MkdirTemp("", "kit")
	if err != nil {
		return nil, err
	}
	k := &kit{Program: p, folder: folder, reading: &sync.Mutex{}}
	for _, s := range slices.Concat(first, sentences, common, last) {
		if s.name != steady || !p.Tally {
			k.sentences = append(k.sentences, s)
		}
	}
	return k, nil
}

// atOnce is how many sentences are judged at a time.
const atOnce = 8

// judge yields the results for all sentences, in their order, as soon as they are
// known. Of a plugin that does not even open nothing else can be told.
func (k *kit) judge(ctx context.Context) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		defer k.end()
		opening := k.hold(ctx, k.sentences[0])
		going := yield(opening)
		last := len(k.sentences) - 1
		for _, result := range k.holdAll(ctx, k.sentences[1:last], opening.Err) {
			if r := <-result; going {
				going = yield(r)
			}
		}
		for _, result := range k.holdAll(ctx, k.sentences[last:], opening.Err) { // which is about all others
			if r := <-result; going {
				yield(r)
			}
		}
	}
}

// holdAll judges sentences, several at a time, unless the plugin does not open.
func (k *kit) holdAll(ctx context.Context, sentences []sentence, shut error) []chan Result {
	results := make([]chan Result, len(sentences))
	free := make(chan struct{}, atOnce)
	for i, s := range sentences {
		results[i] = make(chan Result, 1)
		if shut != nil {
			results[i] <- Result{Sentence: s.name, Err: fmt.Errorf("%w: it does not open", ErrNotJudged)}
			continue
		}
		go func() {
			free <- struct{}{}
			defer func() { <-free }()
			results[i] <- k.hold(ctx, s)
		}()
	}
	return results
}

func (k *kit) hold(ctx context.Context, s sentence) Result {
	ctx, cancel := context.WithTimeout(ctx, sentenceLimit)
	defer cancel()
	began := time.Now()
	err := s.hold(ctx, k)
	return Result{s.name, err, time.Since(began)}
}

func (k *kit) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shared != nil {
		k.shared.leave()
	}
	if k.other != nil {
		k.other.end()
	}
	_ = os.RemoveAll(k.folder) // an empty one at worst
}

// one returns the plugin that sentences share which leave it as it was. Where one
// of them has killed it, the next has another.
func (k *kit) one(ctx context.Context) (plugin, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.shared != nil {
		select {
		case <-k.shared.Done():
			k.shared.leave()
			k.shared = nil
		default:
			return k.shared, nil
		}
	}
	p, err := k.start(ctx, k.Settings)
	if err == nil {
		k.shared = p
	}
	return p, err
}

// start starts the plugin as Fluxgate does. It lives on when ctx has ended.
func (k *kit) start(ctx context.Context, settings map[string]any) (plugin, error) {
	spec := sdk.Spec{Name: "kit", Path: k.Path, Config: settings, SocketDir: k.folder, Log: k.Log, Portable: k.portable}
	switch k.Kind {
	case "sink":
		p, err := sdk.StartSink(ctx, spec)
		return wrap(p, err, func(p *sdk.Process[sdk.Sink]) plugin { return sink{p} })
	case "input":
		p, err := sdk.StartInput(ctx, spec)
		return wrap(p, err, func(p *sdk.Process[sdk.Input]) plugin { return input{p} })
	default:
		p, err := sdk.StartResampler(ctx, spec)
		return wrap(p, err, func(p *sdk.Process[sdk.Resampler]) plugin { return resampler{p} })
	}
}

func wrap[T any](p *sdk.Process[T], err error, as func(*sdk.Process[T]) plugin) (plugin, error) {
	if err != nil {
		return nil, err
	}
	return as(p), nil
}

// A plugin is a running one of whatever kind.
type plugin interface {
	Describe(context.Context) (sdk.Description, error)
	Check(context.Context) error
	Stop(context.Context) error
	Kill()
	Done() <-chan struct{}
	OffersDataSocket() bool
	OverDataSocket() bool

	// work has the plugin do something that it can.
	work(context.Context) error
	// leave ends it, whatever state it is in.
	leave()
}

// done ends a plugin that was started for one sentence.
func (k *kit) done(p plugin) {
	k.inspect(p)
	p.leave()
}

// inspect notes when a plugin that offers a data socket, and lives, is not called over
// it any more.
func (k *kit) inspect(p plugin) {
	if k.other == nil || p.OverDataSocket() {
		return
	}
	select {
	case <-p.Done(): // with which the socket ends
	case <-time.After(time.Second):
		k.mu.Lock()
		defer k.mu.Unlock()
		k.broken = true
	}
}

// leave ends a process that need not be nice about it.
func leave[T any](p *sdk.Process[T]) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = p.Stop(ctx) // what it says about that is for a sentence of its own
}

// within is ctx for one call.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, limit)
}

// brokenf tells how a sentence is broken.
func brokenf(format string, args ...any) error {
	return errors.New(strings.TrimSuffix(fmt.Sprintf(format, args...), "\n"))
}
