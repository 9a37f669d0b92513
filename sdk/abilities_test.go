package sdk_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"fluxgate/sdk"
)

// Plugins with a method that has the name of an ability, and is none.

type plainSink struct{}

func (plainSink) Write(context.Context, sdk.Batch) error { return nil }

type oddBulk struct{ plainSink }

func (oddBulk) WriteAll([]sdk.Batch) error { return nil }

type oddCheck struct{ plainSink }

func (oddCheck) Check() error { return nil }

type oddClose struct{ plainSink }

func (oddClose) Close() {}

// Two of them are told at once.
type oddTwice struct{ oddBulk }

func (*oddTwice) Check() error { return nil }

type pointerClose struct{ plainSink }

func (*pointerClose) Close() error { return nil }

type oddRecycle struct{ echo }

func (oddRecycle) Recycle(*sdk.Submission) {}

// A resampler's Recycle is no ability.
type recyclingResampler struct{ last }

func (recyclingResampler) Recycle() {}

type oddSettings struct{}

func (oddSettings) Validate() bool { return false }

func serveOdd(name string) {
	sinks := map[string]sdk.Sink{"bulk": oddBulk{}, "check": oddCheck{}, "close": &oddClose{}, "pointer": pointerClose{}, "right": &pointerClose{}, "twice": &oddTwice{}}
	switch name {
	case "recycle":
		sdk.ServeInput(sdk.NoConfig{}, func(context.Context, sdk.NoConfig) (sdk.Input, error) { return oddRecycle{}, nil })
	case "resampler":
		sdk.ServeResampler(sdk.NoConfig{}, func(context.Context, sdk.NoConfig) (sdk.Resampler, error) { return recyclingResampler{}, nil })
	case "settings":
		sdk.ServeSink(oddSettings{}, func(context.Context, oddSettings) (sdk.Sink, error) { return plainSink{}, nil })
	default:
		sdk.ServeSink(sdk.NoConfig{}, func(context.Context, sdk.NoConfig) (sdk.Sink, error) { return sinks[name], nil })
	}
}

func TestAMethodThatWouldNeverBeCalledIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, says string }{
		{"bulk", "method WriteAll of sdk_test.oddBulk is func([]sdk.Batch) error and would never be called: " +
			"make it func(context.Context, []sdk.Batch) error, or give it another name"},
		{"check", "method Check of sdk_test.oddCheck is func() error and would never be called: make it func(context.Context) error, or"},
		{"close", "method Close of *sdk_test.oddClose is func() and would never be called: make it func() error, or"},
		{"pointer", "method Close of *sdk_test.pointerClose would never be called, since the plugin is a sdk_test.pointerClose: return a pointer"},
		{"twice", "method Check of *sdk_test.oddTwice is func() error and would never be called: make it func(context.Context) error, or give it another name\n" +
			"method WriteAll of *sdk_test.oddTwice is func([]sdk.Batch) error"},
		{"recycle", "method Recycle of sdk_test.oddRecycle is func(*sdk.Submission) and would never be called: make it func(sdk.Submission), or"},
		{"settings", "method Validate of *sdk_test.oddSettings is func() bool and would never be called: make it func() error, or"},
		{"right", ""},
		{"resampler", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := startOdd(t, tt.name)
			if tt.says == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if tt.says != "" && (!errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("error %v\nwant    %s", err, tt.says)
			}
		})
	}
}

// startOdd starts and stops an odd plugin.
func startOdd(t *testing.T, name string) error {
	s := sdk.Spec{Name: "it", Path: trapNamed(t, "odd-"+name), SocketDir: socketDir(t), Log: slog.New(newBook())}
	switch name {
	case "recycle":
		return stopped(sdk.StartInput(t.Context(), s))
	case "resampler":
		return stopped(sdk.StartResampler(t.Context(), s))
	}
	return stopped(sdk.StartSink(t.Context(), s))
}

func stopped[T any](p *sdk.Process[T], err error) error {
	if err != nil {
		return err
	}
	return p.Stop(context.Background())
}
