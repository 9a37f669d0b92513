package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"fluxgate/core/flow"
)

const (
	maxHeader  = 64 << 10          // bytes
	headerTime = 5 * time.Second   // for a request's head
	bodyTime   = 60 * time.Second  // for its body
	answerTime = 5 * time.Second   // for the ledger, the disk and the answer
	idleTime   = 120 * time.Second // longer than a reverse proxy keeps a connection it may use again
	stopTime   = 3 * time.Second   // for what is in flight at the end

	// writeTime is from the head to the end of the answer, also of a request that is
	// slow in everything. It is less than a reverse proxy waits, by the README 120 s.
	writeTime = headerTime + bodyTime + flow.AcceptTime + answerTime
)

// Serve answers on listener until ctx ends. Then it takes no more requests and
// finishes those in flight; what is not finished after stopTime is cut off.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       headerTime + bodyTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stopped <- stop(server)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// stop ends server. That a sender is too slow is no failure of the server's.
func stop(server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	err := server.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	slog.Warn("requests in flight are cut off", "after", stopTime)
	return server.Close()
}
