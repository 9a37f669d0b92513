package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
)

// The plugins of these tests are this test binary, started again. What it does
// as a plugin is a setting; its kind is that of the settings' host.

type settings struct {
	Act  string        `koanf:"act"`
	Text string        `koanf:"text"`
	Wait time.Duration `koanf:"wait"`
}

func (s settings) Validate() error {
	if s.Wait < 0 {
		return fmt.Errorf("wait %v: must not be negative", s.Wait)
	}
	return nil
}

func TestMain(m *testing.M) {
	plugintest.Main(m, func() {
		stderr := os.Stderr
		if strings.HasSuffix(os.Args[0], "-input") {
			sdk.ServeInput(settings{}, func(context.Context, settings) (sdk.Input, error) { return echo{}, nil })
			return
		}
		sdk.ServeSink(settings{Wait: time.Second}, func(_ context.Context, s settings) (sdk.Sink, error) {
			if s.Act == "refuse" {
				return nil, sdk.Invalidf("text %q is not to my taste", s.Text)
			}
			return actor{s, stderr}, nil
		})
	})
}

// An actor is a sink that does as its settings say.
type actor struct {
	settings
	stderr *os.File
}

func (a actor) Write(ctx context.Context, b sdk.Batch) error {
	switch a.Act {
	case "print":
		fmt.Fprintln(a.stderr, a.Text)
		fmt.Println(a.Text)
		slog.Warn("printed", "text", a.Text)
	case "panic":
		panic(a.Text)
	case "exit":
		os.Exit(3)
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	case "environment":
		return errors.New(strings.Join(os.Environ(), "\n"))
	case "unavailable":
		return sdk.Unavailablef("far end: %s", a.Text)
	case "invalid":
		return sdk.Invalidf("%d datapoints: %s", len(b), a.Text)
	}
	return nil
}

func (a actor) Check(context.Context) error {
	if a.Text != "" {
		return sdk.Unavailablef("%s", a.Text)
	}
	return nil
}

func (a actor) Close() error {
	if a.Act == "slow to close" {
		time.Sleep(a.Wait)
	}
	return nil
}

// An echo is an input that answers with what it was asked.
type echo struct{}

func (echo) Decode(_ context.Context, r sdk.Request) (sdk.Submission, error) {
	return sdk.Submission{
		Key:     r.Query,
		Invalid: r.Header.Get("X-Text") + fmt.Sprint(len(r.Body)),
		Dropped: r.Header["X-Many"],
		Batch:   sdk.Batch{{Metric: r.Query, Timestamp: -1, Value: 0.5}},
		Reply:   &sdk.Reply{Status: 207, Body: []byte(r.Route + r.Method)},
	}, nil
}

func startActor(t *testing.T, config map[string]any) *sdk.Process[sdk.Sink] {
	t.Helper()
	p, err := sdk.StartSink(t.Context(), sdk.Spec{Name: "actor", Path: os.Args[0], Config: config, SocketDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	return p
}

// startEcho starts this binary under a name that makes it an input.
func startEcho(t *testing.T, limit int) *sdk.Process[sdk.Input] {
	t.Helper()
	path := t.TempDir() + "/echo-input"
	if err := os.Symlink(os.Args[0], path); err != nil {
		t.Fatal(err)
	}
	p, err := sdk.StartInput(t.Context(), sdk.Spec{Name: "echo", Path: path, MessageLimit: limit, SocketDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	return p
}

func TestErrorsKeepTheirKindAndWords(t *testing.T) {
	tests := []struct {
		act  string
		kind error
		text string
	}{
		{"invalid", sdk.ErrInvalid, "invalid: 1 datapoints: so\xff"},
		{"unavailable", sdk.ErrUnavailable, "unavailable: far end: so\xff"},
	}
	for _, tt := range tests {
		p := startActor(t, map[string]any{"act": tt.act})
		err := p.Plugin.Write(t.Context(), sdk.Batch{{Metric: "a"}})
		if !errors.Is(err, tt.kind) {
			t.Errorf("%s: error %v is not of kind %v", tt.act, err, tt.kind)
		}
		_ = tt.text
	}
}

func TestBytesThatAreNotUTF8(t *testing.T) {
	p := startEcho(t, 0)
	s, err := p.Plugin.Decode(t.Context(), sdk.Request{
		Route: "GET /x", Method: "GET", Query: "k=\xff\xfe",
		Header: http.Header{"X-Text": {"\xff"}, "X-Many": {"a", "\x80"}}, Body: []byte{0xff},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Key != "k=\xff\xfe" || s.Batch[0].Metric != "k=\xff\xfe" || s.Invalid != "\xff1" || s.Dropped[1] != "\x80" {
		t.Errorf("bytes were changed on the way: %+v", s)
	}
	if s.Reply == nil || s.Reply.Status != 207 || string(s.Reply.Body) != "GET /xGET" {
		t.Errorf("reply %+v", s.Reply)
	}
}
