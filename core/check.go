package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"fluxgate/core/config"
	"fluxgate/core/populate/remote"
)

// connectTimeout is how long Redis may take to answer a check.
const connectTimeout = 5 * time.Second

func checkCommand(o *options) *cobra.Command {
	var connect bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Tell whether serve would work with the configuration",
		Long: "Check reads the configuration, and starts each plugin and opens it with its settings.\n" +
			"It changes nothing and works beside a running server. Every fault is named with its remedy.",
		Args: cobra.NoArgs,
		RunE: command(func(cmd *cobra.Command, _ []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			setLog(max(c.Log.Level, slog.LevelWarn))
			if err := check(cmd.Context(), c, connect); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is sound: inputs %s; sinks %s\n", o.source(), names(c.Inputs), names(c.Sinks))
			return nil
		}),
	}
	cmd.Flags().BoolVar(&connect, "connect", false, "also reach Redis and the own Graphite, and have each plugin reach its server")
	return cmd
}

func check(ctx context.Context, c config.Config, connect bool) error {
	plugins, err := enlist(c, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	faults := []error{checkListen("listen", c.Listen), checkListen("admin", c.Admin), checkData(c), plugins.Try(ctx, connect), checkJobs(ctx, c.Populate, connect)}
	if len(c.Redis.Address) > 0 {
		faults = append(faults, checkRedis(ctx, c.Redis, connect))
	}
	return errors.Join(faults...)
}

// checkListen tells whether the host of an address is this machine's. The port
// may be a running server's.
func checkListen(setting, address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return fmt.Errorf("%s %s: %w: give an address of this machine", setting, address, err)
	}
	return listener.Close()
}

// checkData tells whether the folder for data can be used, and whether the key in
// it can be read where one is needed. What is missing will be made.
func checkData(c config.Config) error {
	if _, err := os.Stat(keyFile(c.Data)); err == nil && len(c.Keys) == 0 {
		if _, err := ownSecret(keyFile(c.Data)); err != nil {
			return err
		}
	}
	folder, err := filepath.Abs(c.Data)
	for ; err == nil; folder = filepath.Dir(folder) {
		if _, err = os.Stat(folder); err == nil {
			break
		}
		if errors.Is(err, fs.ErrNotExist) && folder != filepath.Dir(folder) {
			err = nil // its parent then
		}
	}
	if err == nil {
		err = unix.Access(folder, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return fmt.Errorf("data %s: %w: give a folder that this user may write", c.Data, err)
	}
	return nil
}

// checkRedis tells whether what Redis needs can be read, and if connect says so
// whether Redis can be used.
func checkRedis(ctx context.Context, c config.Redis, connect bool) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	store, err := openRedis(c)
	if err != nil {
		return err
	}
	defer store.Close()
	if !connect {
		return nil
	}
	if err := store.Check(ctx); err != nil {
		return fmt.Errorf("redis.address %s: %w", strings.Join(c.Address, ", "), err)
	}
	return nil
}

// checkJobs tells whether what jobs need can be read, and if connect says so whether
// the own Graphite answers.
func checkJobs(ctx context.Context, p config.Populate, connect bool) error {
	_, refused := remote.New(fetching(p))
	_, unread := configured(p.Schema)
	if err := errors.Join(refused, unread); err != nil {
		return err
	}
	graphite, err := openOwn(p)
	if err != nil || graphite == nil || !connect {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	query := remote.Query{Kind: remote.Graphite, URL: strings.TrimRight(p.Graphite, "/") + "/render/?from=-1mins&target=" + firstMetric + "&format=json"}
	if _, err := graphite.Client.Fetch(ctx, query, func(remote.Sample) error { return nil }); err != nil {
		return fmt.Errorf("populate.graphite: %w", err)
	}
	return nil
}

// names lists the names of plugins.
func names[T any](plugins map[string]T) string {
	return strings.Join(slices.Sorted(maps.Keys(plugins)), ", ")
}
