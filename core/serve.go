package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"fluxgate/core/config"
	"fluxgate/core/delivery"
	"fluxgate/core/flow"
	"fluxgate/core/ledger"
	"fluxgate/core/web"
)

func serveCommand(o *options) *cobra.Command {
	var (
		printKey bool
		attach   []string
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Take metrics, until SIGTERM",
		Args:  cobra.NoArgs,
		RunE: lasting(func(cmd *cobra.Command, _ []string) error {
			more := newWish(o.load)
			c, err := o.load()
			if err != nil {
				return err
			}
			c.Attach = attach
			setLog(c.Log.Level)
			setRuntime(c.Runtime)
			defer slog.Info("stopped")
			w := welcome{cmd.OutOrStdout(), printKey || isTerminal(os.Stdout)}
			return serve(cmd.Context(), c, witness{ready: func(public net.Addr, made string) { w.say(public, made, c) }}, more)
		}),
	}
	cmd.Flags().BoolVar(&printKey, "print-key", false, "print a curl line with the key that was made, also when standard output is no terminal")
	cmd.Flags().StringArrayVar(&attach, "attach", nil, "NAME=WHERE: speak to the plugin NAME where it waits, as it prints when it is run with --attach")
	return cmd
}

// serve is Fluxgate: it makes every part, joins them, and waits for ctx to end.
// What was made last is stopped first. At a SIGHUP it loads another configuration.
func serve(ctx context.Context, c config.Config, w witness, more wish) (err error) {
	lock, err := own(c.Data)
	if err != nil {
		return err
	}
	defer lock.Close()
	terms, made, err := admit(c)
	if err != nil {
		return err
	}
	store, err := openStore(c)
	if err != nil {
		return err
	}
	defer store.Close()
	metrics := newMetrics()
	plugins, err := enlist(c, metrics)
	if err != nil {
		return err
	}
	last := ledger.New(store, ledgerOptions(c), metrics)
	kept, err := openDelivery(c, w.sinks(destinations(c, plugins.sinks)), last, metrics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	jobs, err := openJobs(c, last, kept, w.resamplers(byName(c, plugins.resamplers)), metrics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, jobs.Close()) }()
	h := &house{c, metrics, plugins, last, kept, jobs, newRoad(ctx, terms, last, kept, metrics), w}
	return h.live(ctx, more, func(public net.Addr) { w.ready(public, made) })
}

// A house is every part, made and not yet at work.
type house struct {
	config  config.Config
	metrics *prometheus.Registry
	plugins *roster
	last    *ledger.Ledger
	kept    *delivery.Delivery
	jobs    *workshop
	road    *flow.Flow
	witness witness
}

// live has every part at work until ctx ends. It calls ready when requests can
// come.
func (h *house) live(ctx context.Context, more wish, ready func(public net.Addr)) error {
	err := h.plugins.Open(ctx)
	defer background(h.plugins.Run)()
	if err != nil {
		return err
	}
	defer background(h.last.Run)()
	defer background(h.kept.Run)()
	defer background(until(ctx, h.jobs.Run))()
	jobs := desk{h.jobs, h.road.Grant, time.Now}
	door := web.NewDoor(h.road, h.witness.inputs(served(h.config, h.plugins.inputs)), jobs.public(), limits(h.config), h.metrics)
	admin, err := h.admin(jobs.operator())
	if err != nil {
		return err
	}
	defer background(until(ctx, (&reloader{more, h.config, h.plugins.Fleet, h.kept, h.jobs, h.road, door}).run))()
	return listen(ctx, h.config, door, admin, ready)
}

// newRoad joins the ledger and the journals. At the end of ctx nobody waits for
// sinks any more.
func newRoad(ctx context.Context, terms flow.Terms, last *ledger.Ledger, kept *delivery.Delivery, metrics prometheus.Registerer) *flow.Flow {
	road := &flow.Flow{Ledger: last, Journal: kept.Live, Fill: kept.Fill, Now: time.Now, Books: flow.NewBooks(metrics), Ending: ctx}
	road.Admit(terms)
	return road
}

func openDelivery(c config.Config, sinks []delivery.Sink, last *ledger.Ledger, metrics prometheus.Registerer) (*delivery.Delivery, error) {
	return delivery.Open(delivery.Setup{
		Folder: c.Data, Budget: int64(c.Limits.Journal), Sinks: sinks, FillRate: c.Limits.Backfill, Ledger: last, Command: c.Command,
	}, metrics)
}

// admin returns the handler of the admin listener.
func (h *house) admin(guarded web.Endpoints) (http.Handler, error) {
	token, err := ownSecret(tokenFile(h.config.Data))
	if err != nil {
		return nil, err
	}
	return web.NewAdmin(web.Admin{
		Metrics: h.metrics, Missing: h.plugins.Missing, Plugins: h.plugins.report, Token: token, Guarded: guarded,
		Retry: func(ctx context.Context, sink string) (any, error) { return h.kept.Retry(ctx, sink) },
	}), nil
}

func limits(c config.Config) web.Limits {
	return web.Limits{Body: int64(c.Limits.Body), Inflight: int64(c.Limits.Inflight)}
}

// newMetrics returns what /metrics shows, with the figures of the process itself.
func newMetrics() *prometheus.Registry {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return metrics
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

// until has run end with ctx too.
func until(ctx context.Context, run func(context.Context)) func(context.Context) {
	return func(ended context.Context) {
		ended, cancel := context.WithCancel(ended)
		defer context.AfterFunc(ctx, cancel)()
		run(ended)
	}
}

// admit returns what requests must meet. Without configured keys the one in the
// folder data is admitted, which is returned too.
func admit(c config.Config) (terms flow.Terms, made string, err error) {
	terms.Window = flow.Window(c.Validate)
	keys := c.Keys
	if len(keys) == 0 {
		if made, err = ownSecret(keyFile(c.Data)); err != nil {
			return terms, "", err
		}
		keys = []config.Key{{Key: config.Secret(made)}}
	}
	for _, k := range keys {
		grant := flow.Grant{Prefix: k.Prefix, Hosts: k.Hosts}
		if err := grant.Ack.UnmarshalText([]byte(cmp.Or(k.Ack, c.Ack))); err != nil {
			return terms, "", err
		}
		if err := terms.Keys.Add(string(k.Key), grant); err != nil {
			return terms, "", err
		}
	}
	return terms, made, nil
}

// openStore returns where the ledger is kept.
func openStore(c config.Config) (ledger.Store, error) {
	if len(c.Redis.Address) == 0 {
		return ledger.OpenEmbedded(filepath.Join(c.Data, "ledger.db"))
	}
	return openRedis(c.Redis)
}

func ledgerOptions(c config.Config) ledger.Options {
	return ledger.Options{MaxAhead: c.Validate.MaxAhead, Shared: c.Ledger.Mode == config.LedgerShared, Metrics: c.Ledger.Metrics}
}

func openRedis(c config.Redis) (*ledger.Redis, error) {
	return ledger.OpenRedis(ledger.RedisOptions{
		Addresses: c.Address, Username: c.Username, Password: string(c.Password), Database: c.Database,
		TLS: c.TLS.Enabled, CA: c.TLS.CA, Expire: c.Expire, Hash: c.Hash,
	})
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
