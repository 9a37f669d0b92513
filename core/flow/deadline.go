package flow

import (
	"context"
	"sync"
	"time"
)

// deadlines gives contexts that end after about the same time. Those that begin
// soon after one another share one, so that there is no timer for each request.
type deadlines struct {
	mu    sync.Mutex
	ctx   context.Context
	end   context.CancelFunc // not called: it ends by itself, when nobody needs it
	until time.Time          // ctx is given
}

// sharing is for how long a context is given.
const sharing = 100 * time.Millisecond

// after returns ctx with an end after timeout, or a little earlier, and what is to be
// called when it is not needed any more.
func (d *deadlines) after(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if ctx.Done() != nil {
		return context.WithTimeout(ctx, timeout)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.After(d.until) {
		d.until = now.Add(sharing)
		d.ctx, d.end = context.WithTimeout(context.Background(), timeout)
	}
	return d.ctx, func() {}
}
