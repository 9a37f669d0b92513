package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"fluxgate/core/config"
	"fluxgate/core/delivery"
	"fluxgate/core/fleet"
	"fluxgate/core/flow"
	"fluxgate/core/ledger"
	"fluxgate/core/web"
)

func serveCommand(o *options) *cobra.Command {
	var printKey bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Take metrics, until SIGTERM",
		Args:  cobra.NoArgs,
		RunE: command(func(cmd *cobra.Command, _ []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			setLog(c.Log.Level)
			return serve(cmd.Context(), c, welcome{cmd.OutOrStdout(), printKey || isTerminal(os.Stdout)})
		}),
	}
	cmd.Flags().BoolVar(&printKey, "print-key", false, "print a curl line with the key that was made, also when standard output is no terminal")
	return cmd
}

// serve is Fluxgate: it makes every part, joins them, and waits for ctx to end.
// What was made last is stopped first.
func serve(ctx context.Context, c config.Config, w welcome) error {
	lock, err := own(c.Data)
	if err != nil {
		return err
	}
	defer lock.Close()
	defer slog.Info("stopped")
	keys, made, err := admit(c)
	if err != nil {
		return err
	}
	store, err := openStore(c)
	if err != nil {
		return err
	}
	defer store.Close()
	metrics := newMetrics()
	plugins, inputs, sinks, err := enlist(c, metrics)
	if err != nil {
		return err
	}
	err = plugins.Open(ctx)
	defer background(plugins.Run)()
	if err != nil {
		return err
	}
	last := ledger.New(store, c.Validate.MaxAhead, metrics)
	defer background(last.Run)()
	lanes := delivery.New(sinks, metrics)
	defer background(until(ctx, lanes.Run))()
	road := &flow.Flow{
		Keys: keys, Window: flow.Window(c.Validate), Ledger: last, Sinks: lanes, Now: time.Now, Books: flow.NewBooks(metrics),
	}
	limits := web.Limits{Body: int64(c.Limits.Body), Inflight: int64(c.Limits.Inflight)}
	door, admin := web.NewDoor(road, inputs, limits, metrics), web.NewAdmin(metrics, plugins.Missing)
	return listen(ctx, c, door, admin, func(public net.Addr) { w.say(public, made, c.Data) })
}

// newMetrics returns what /metrics shows, with the figures of the process itself.
func newMetrics() *prometheus.Registry {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return metrics
}

// lastWrites is how long the sinks may go on when the server is stopping. It is
// shorter than what web gives the requests in flight, so that each is answered.
const lastWrites = 5 * time.Second

// until has run end lastWrites after ctx, unless it is ended before.
func until(ctx context.Context, run func(context.Context)) func(context.Context) {
	return func(own context.Context) {
		limited, cancel := context.WithCancel(own)
		defer cancel()
		defer context.AfterFunc(ctx, func() {
			select {
			case <-time.After(lastWrites):
				cancel()
			case <-own.Done():
			}
		})()
		run(limited)
	}
}

// background starts run and returns what ends it and waits for its end.
func background(run func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// admit returns the configured keys. Without any it is the one in the folder
// data, which is returned too.
func admit(c config.Config) (keys flow.Keys, made string, err error) {
	for _, k := range c.Keys {
		if err := keys.Add(string(k.Key), k.Prefix); err != nil {
			return nil, "", err
		}
	}
	if len(keys) > 0 {
		return keys, "", nil
	}
	made, err = ownKey(c.Data)
	if err != nil {
		return nil, "", err
	}
	return keys, made, keys.Add(made, "")
}

// openStore returns where the ledger is kept.
func openStore(c config.Config) (ledger.Store, error) {
	if len(c.Redis.Address) == 0 {
		return ledger.OpenEmbedded(filepath.Join(c.Data, "ledger.db"))
	}
	return openRedis(c.Redis)
}

func openRedis(c config.Redis) (*ledger.Redis, error) {
	return ledger.OpenRedis(ledger.RedisOptions{
		Addresses: c.Address, Username: c.Username, Password: string(c.Password), Database: c.Database,
		TLS: c.TLS.Enabled, CA: c.TLS.CA, Expire: c.Expire, Hash: c.Hash,
	})
}

// enlist adds every configured plugin to a fleet.
func enlist(c config.Config, metrics prometheus.Registerer) (*fleet.Fleet, []web.Input, []delivery.Sink, error) {
	plugins, err := fleet.New(fleet.Setup{Folders: c.Plugins, MessageLimit: int(c.Limits.Body) + 1<<20}, metrics)
	if err != nil {
		return nil, nil, nil, err
	}
	var inputs []web.Input
	for _, name := range slices.Sorted(maps.Keys(c.Inputs)) {
		in := c.Inputs[name]
		spec := fleet.Spec{Name: name, Program: in.Plugin, Checksum: in.Checksum, Config: in.Config}
		inputs = append(inputs, web.Input{Input: plugins.Input(spec), Routes: in.Routes})
	}
	var sinks []delivery.Sink
	for _, name := range slices.Sorted(maps.Keys(c.Sinks)) {
		s := c.Sinks[name]
		spec := fleet.Spec{Name: name, Program: s.Plugin, Checksum: s.Checksum, Config: s.Config, Optional: !s.Required}
		sinks = append(sinks, delivery.Sink{Sink: plugins.Sink(spec), Name: name, Required: s.Required})
	}
	return plugins, inputs, sinks, nil
}

// listen serves on both listeners until ctx ends. It calls ready when requests
// can come.
func listen(ctx context.Context, c config.Config, door, admin http.Handler, ready func(public net.Addr)) error {
	public, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w: stop what listens there, or give another address", err)
	}
	private, err := net.Listen("tcp", c.Admin)
	if err != nil {
		return errors.Join(fmt.Errorf("admin: %w: stop what listens there, or give another address", err), public.Close())
	}
	ready(public.Addr())
	slog.Info("taking metrics", "listen", public.Addr().String(), "admin", private.Addr().String())
	servers, ctx := errgroup.WithContext(ctx)
	servers.Go(func() error { return web.Serve(ctx, public, door) })
	servers.Go(func() error { return web.Serve(ctx, private, admin) })
	return servers.Wait()
}
