package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
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
	keys, made, err := admit(c)
	if err != nil {
		return err
	}
	store, err := openStore(c)
	if err != nil {
		return err
	}
	defer store.Close()
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
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
	defer background(lanes.Run)()
	road := &flow.Flow{
		Keys: keys, Window: flow.Window(c.Validate), Ledger: last, Sinks: lanes, Now: time.Now, Books: flow.NewBooks(metrics),
	}
	limits := web.Limits{Body: int64(c.Limits.Body), Inflight: int64(c.Limits.Inflight)}
	public, admin, err := listen(c)
	if err != nil {
		return err
	}
	w.say(public.Addr(), made, c.Data)
	slog.Info("taking metrics", "listen", public.Addr().String(), "admin", admin.Addr().String())
	servers, ctx := errgroup.WithContext(ctx)
	servers.Go(func() error { return web.Serve(ctx, public, web.NewDoor(road, inputs, limits, metrics)) })
	servers.Go(func() error { return web.Serve(ctx, admin, web.NewAdmin(metrics, plugins.Missing)) })
	return servers.Wait()
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
	if c.Redis.Address == "" {
		return ledger.OpenEmbedded(filepath.Join(c.Data, "ledger.db"))
	}
	return openRedis(c.Redis), nil
}

func openRedis(c config.Redis) *ledger.Redis {
	return ledger.OpenRedis(ledger.RedisOptions{
		Address: c.Address, Username: c.Username, Password: string(c.Password), Database: c.Database,
		Expire: c.Expire, Hash: c.Hash,
	})
}

// enlist adds every configured plugin to a fleet.
func enlist(c config.Config, metrics prometheus.Registerer) (*fleet.Fleet, []web.Input, []delivery.Sink, error) {
	plugins, err := fleet.New(fleet.Setup{Folders: c.Plugins, MessageLimit: int(c.Limits.Body) + 1<<20}, metrics)
	if err != nil {
		return nil, nil, nil, err
	}
	var inputs []web.Input
	for name, in := range c.Inputs {
		spec := fleet.Spec{Name: name, Program: in.Plugin, Checksum: in.Checksum, Config: in.Config}
		inputs = append(inputs, web.Input{Input: plugins.Input(spec), Routes: in.Routes})
	}
	var sinks []delivery.Sink
	for name, s := range c.Sinks {
		spec := fleet.Spec{Name: name, Program: s.Plugin, Checksum: s.Checksum, Config: s.Config, Optional: !s.Required}
		sinks = append(sinks, delivery.Sink{Sink: plugins.Sink(spec), Name: name, Required: s.Required})
	}
	return plugins, inputs, sinks, nil
}

// listen opens both listeners, or none.
func listen(c config.Config) (public, admin net.Listener, err error) {
	if public, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	if admin, err = net.Listen("tcp", c.Admin); err != nil {
		_ = public.Close()
		return nil, nil, fmt.Errorf("admin: %w", err)
	}
	return public, admin, nil
}

// A welcome tells a newcomer how to send a first datapoint.
type welcome struct {
	out  io.Writer
	show bool // the key may be printed
}

// firstMetric is the metric of the printed line.
const firstMetric = "fluxgate.hello"

// say prints a curl line with the key that this server made, if it made one.
// The line has no timestamp, so it stays good.
func (w welcome) say(address net.Addr, key, data string) {
	switch {
	case key == "":
	case !w.show:
		slog.Info("no keys are configured: the one that is admitted is in a file", "file", keyFile(data))
	default:
		fmt.Fprintf(w.out, "curl -i 'http://%s/flux/metric_data?metric=%s&value=42&key=%s'\n", reachable(address), firstMetric, key)
		slog.Info("then see it with: fluxgate show " + firstMetric)
	}
}

// reachable returns an address to connect to for one that is listened on.
func reachable(address net.Addr) string {
	host, port, err := net.SplitHostPort(address.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address.String()
}

// setLog makes slog write to standard error: text on a terminal, else JSON.
func setLog(level slog.Level) {
	o := &slog.HandlerOptions{Level: level}
	if isTerminal(os.Stderr) {
		slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, o)))
		return
	}
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stderr, o)))
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
