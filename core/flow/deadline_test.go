package flow

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadlines
		began := time.Now()
		first, _ := d.after(context.Background(), time.Second)
		time.Sleep(sharing)
		same, _ := d.after(context.Background(), time.Second)
		time.Sleep(time.Millisecond)
		next, _ := d.after(context.Background(), time.Second)
		if same != first || next == first {
			t.Error("contexts are not shared for as long as they should be")
		}
		for _, ctx := range []context.Context{first, next} {
			<-ctx.Done()
			if ctx.Err() != context.DeadlineExceeded {
				t.Error(ctx.Err())
			}
		}
		if took := time.Since(began); took != time.Second+sharing+time.Millisecond {
			t.Errorf("the second ends after %v", took)
		}
		parent, end := context.WithCancel(context.Background())
		own, release := d.after(parent, time.Second)
		defer release()
		end()
		<-own.Done()
		if own.Err() != context.Canceled {
			t.Error(own.Err())
		}
	})
}
