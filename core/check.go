package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"fluxgate/core/config"
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
			fmt.Fprintf(cmd.OutOrStdout(), "the configuration is sound: %d inputs, %d sinks\n", len(c.Inputs), len(c.Sinks))
			return nil
		}),
	}
	cmd.Flags().BoolVar(&connect, "connect", false, "also reach Redis, and have each plugin reach its server")
	return cmd
}

func check(ctx context.Context, c config.Config, connect bool) error {
	plugins, _, _, err := enlist(c, prometheus.NewRegistry())
	if err != nil {
		return err
	}
	faults := []error{plugins.Try(ctx, connect)}
	if connect && c.Redis.Address != "" {
		faults = append(faults, reachRedis(ctx, c.Redis))
	}
	return errors.Join(faults...)
}

func reachRedis(ctx context.Context, c config.Redis) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	store := openRedis(c)
	defer store.Close()
	if err := store.Check(ctx); err != nil {
		return fmt.Errorf("redis.address %s: %w: is it running, and are username and password right?", c.Address, err)
	}
	return nil
}
