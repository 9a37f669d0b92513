package fleet

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"fluxgate/sdk"
)

func TestPoisonRequestsAreIsolated(t *testing.T) {
	const innocent, poisonous = 8, 2
	f, metrics := newFleet(t)
	calls := filepath.Join(t.TempDir(), "calls")
	in := f.Input(Spec{Name: "flux", Program: inputProgram(t), Config: map[string]any{
		"act": "among poison", "path": calls, "text": fmt.Sprint(innocent),
	}})
	if err := f.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, f)
	var requests sync.WaitGroup
	for range innocent {
		requests.Go(func() {
			s, err := in.Decode(t.Context(), sdk.Request{Body: []byte("innocent")})
			if err != nil || s.Key != "alone" {
				t.Errorf("an innocent request: %q, %v", s.Key, err)
			}
		})
	}
	await(t, "they are under way", func() bool { return count(t, calls) == innocent })
	for range poisonous {
		requests.Go(func() {
			_, err := in.Decode(t.Context(), sdk.Request{Body: []byte("poison")})
			if err == nil || errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, sdk.ErrInvalid) {
				t.Errorf("a poisonous request: error %v, want a fault", err)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		requests.Wait()
		close(done)
	}()
	for newcomers := 0; ; newcomers++ {
		select {
		case <-done:
			if n := metric(t, metrics, "fluxgate_poison_requests_total", "flux"); n != poisonous || newcomers == 0 {
				t.Errorf("%v poison requests counted, %d newcomers answered", n, newcomers)
			}
			return
		default:
		}
		if s, err := in.Decode(t.Context(), sdk.Request{Body: []byte("newcomer")}); err != nil || s.Key != "newcomer" {
			t.Errorf("a newcomer: %q, %v", s.Key, err)
		}
	}
}
