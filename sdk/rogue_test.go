package sdk_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// What becomes of the calls of a rogue, and what is logged of its data socket.
var rogues = map[string]struct {
	late bool
	log  string
}{
	"data-outside":      {false, uselessOffer},
	"data-nobody":       {false, uselessOffer},
	"data-sibling":      {false, uselessOffer},
	"data-silent":       {true, ""},
	"data-deaf":         {true, ""},
	"data-garbage":      {false, brokenSocket},
	"data-nonsense":     {false, brokenSocket},
	"data-unknown-call": {false, brokenSocket},
	"data-twice":        {false, brokenSocket},
	"data-calls-back":   {false, brokenSocket},
	"data-huge":         {false, brokenSocket},
	"data-bomb":         {false, brokenSocket},
	"data-endless":      {false, brokenSocket},
	"data-drips":        {true, ""},
	"data-hangs-up":     {false, brokenSocket},
}

// Whatever a plugin does on its data socket: calls succeed over gRPC or end with
// their time, the host needs little memory for it, says once what is wrong, and keeps
// nothing.
func TestRoguesOnTheDataSocket(t *testing.T) {
	built := servers.Build(t, "testdata/rogue")
	goroutines, files, before := runtime.NumGoroutine(), openFiles(t), memory()
	t.Run("at once", func(t *testing.T) {
		for act, want := range rogues {
			t.Run(act, func(t *testing.T) {
				t.Parallel()
				program := filepath.Join(t.TempDir(), "rogue-"+act)
				if err := os.Symlink(built, program); err != nil {
					t.Fatal(err)
				}
				outrage(t, program, want.late, want.log)
			})
		}
	})
	const mostMemory = 64 << 20
	if more := memory() - before; more > mostMemory {
		t.Errorf("the host needs %d MiB more", more>>20)
	}
	for end := time.Now().Add(deadline); runtime.NumGoroutine() > goroutines || openFiles(t) > files; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines and %d files, %d and %d before:\n%s", runtime.NumGoroutine(), openFiles(t),
				goroutines, files, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// outrage calls a rogue as a sink and as an input.
func outrage(t *testing.T, program string, late bool, says string) {
	const limit = 1 << 20
	log, sockets := newBook(), socketDir(t)
	spec := sdk.Spec{Name: "rogue", Path: program, MessageLimit: limit, SocketDir: sockets, Log: slog.New(log)}
	sink, err := sdk.StartSink(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	in, err := sdk.StartInput(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	annoy(t, late,
		func(ctx context.Context) error { return sink.Plugin.Write(ctx, oneDatapoint) },
		func(ctx context.Context) error { _, err := in.Plugin.Decode(ctx, sdk.Request{Query: "a"}); return err })
	if says != "" {
		log.await(t, says, 2)
	}
	if got := log.order(brokenSocket, uselessOffer); says == "" && got != nil || len(got) > 2 {
		t.Errorf("logged %q", got)
	}
	if left, _ := filepath.Glob(filepath.Join(sockets, "plugin*")); len(left) != 2 {
		t.Errorf("of both plugins' sockets there is %q", left)
	}
	for _, stop := range []func(context.Context) error{sink.Stop, in.Stop} {
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(sockets, "data*")); left != nil {
		t.Errorf("left: %q", left)
	}
}

// annoy makes calls of a rogue, of each kind some.
func annoy(t *testing.T, late bool, kinds ...func(context.Context) error) {
	limit := deadline / 4
	if late { // there is nothing to wait for
		limit = deadline / 40
	}
	var calls sync.WaitGroup
	for _, call := range kinds {
		calls.Go(func() {
			for range 3 {
				within(t, deadline/2, "a call", func() {
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					defer cancel()
					if err := call(ctx); (err != nil) != late || late && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("it ends with %v", err)
					}
				})
			}
		})
	}
	calls.Wait()
}

// memory returns how much memory the system has given to this process, in bytes.
func memory() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys)
}
