package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"

	"fluxgate/core/config"
)

// A welcome tells a newcomer how to send a first datapoint.
type welcome struct {
	out  io.Writer
	show bool // the key may be printed
}

// firstMetric is the metric of the printed line.
const firstMetric = "fluxgate.hello"

// say prints a curl line with the key that this server made, if it made one.
// The line has no timestamp, so it stays good.
func (w welcome) say(address net.Addr, key string, c config.Config) {
	switch {
	case key == "":
	case !w.show:
		slog.Info("no keys are configured: the one that is admitted is in a file", "file", keyFile(c.Data))
	default:
		fmt.Fprintf(w.out, "curl -i 'http://%s/flux/metric_data?metric=%s&value=42&key=%s'\n", reachable(address), firstMetric, key)
		slog.Info("then see it with: " + os.Args[0] + strings.TrimPrefix(c.Command("show "+firstMetric), "fluxgate"))
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
