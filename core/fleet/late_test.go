package fleet

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

func TestInputThatTakesTooLongIsToldOnce(t *testing.T) {
	log := keepLog(t)
	f, _ := newFleet(t)
	calls := filepath.Join(t.TempDir(), "calls")
	in := f.Input(Spec{Name: "flux", Program: inputProgram(t), Config: map[string]any{"act": "among poison", "path": calls, "text": "2"}})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	for count(t, calls) < 2 { // as many hang
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if s, err := in.Decode(ctx, sdk.Request{}); err == nil {
			t.Errorf("decoded as %q", s.Key)
		}
		cancel()
	}
	for range 2 {
		if _, err := in.Decode(t.Context(), sdk.Request{Body: []byte("newcomer")}); err != nil {
			t.Error(err)
		}
	}
	for _, says := range []string{"too long over requests", "in time again"} {
		if n := strings.Count(log.String(), says); n != 1 {
			t.Errorf("%q is told %d times:\n%s", says, n, log)
		}
	}
}
