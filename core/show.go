package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-graphite/go-whisper"
	"github.com/spf13/cobra"

	"fluxgate/core/config"
	"fluxgate/core/flow"
	"fluxgate/sdk"
	"fluxgate/sdk/schema"
)

// whisperPlugin is the program whose files show reads.
const whisperPlugin = "fluxgate-sink-whisper"

func showCommand(o *options) *cobra.Command {
	var (
		sink   string
		output format
		points int
	)
	cmd := &cobra.Command{
		Use:   "show METRIC",
		Short: "Print the newest points of a metric from the whisper sink's files",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("which metric? fluxgate show METRIC")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if points < 1 {
				return errors.New("--points is at least 1")
			}
			return command(func(cmd *cobra.Command, args []string) error {
				c, err := o.load()
				if err != nil {
					return err
				}
				found, err := newest(c, sink, args[0], points)
				if err != nil {
					return err
				}
				if output.json {
					return printPoints(cmd.OutOrStdout(), found)
				}
				return printText(cmd.OutOrStdout(), found)
			})(cmd, args)
		},
	}
	cmd.Flags().StringVar(&sink, "sink", "", "the sink whose files are read, where several are whisper sinks")
	output.addTo(cmd)
	cmd.Flags().IntVar(&points, "points", 30, "how many points")
	return cmd
}

// newest returns the newest points of a metric, at most n, from the finest
// archive that has any.
func newest(c config.Config, sink, metric string, n int) ([]sdk.Point, error) {
	root, err := whisperRoot(c, sink)
	if err != nil {
		return nil, err
	}
	name, err := flow.Canonical(metric, "")
	if err != nil {
		return nil, fmt.Errorf("metric %q: %w", metric, err)
	}
	path, err := schema.Path(name)
	if err != nil {
		return nil, err
	}
	path = filepath.Join(root, path)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("nothing is stored of metric %q: %w (--config and --data tell which files are meant)", name, err)
	}
	points, err := readWhisper(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return points[max(0, len(points)-n):], nil
}

// whisperRoot returns the folder of the whisper sink that is called sink, or of
// the only one.
func whisperRoot(c config.Config, sink string) (string, error) {
	var names []string
	for name, s := range c.Sinks {
		if filepath.Base(s.Plugin) == whisperPlugin {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	switch {
	case len(names) == 0:
		return "", fmt.Errorf("no sink with plugin %s is configured: what other sinks hold, only they can show", whisperPlugin)
	case sink == "" && len(names) > 1:
		return "", fmt.Errorf("several whisper sinks are configured: name one of %s with --sink", strings.Join(names, ", "))
	case sink == "":
		sink = names[0]
	case !slices.Contains(names, sink):
		return "", fmt.Errorf("there is no whisper sink %q: it is one of %s", sink, strings.Join(names, ", "))
	}
	root, ok := c.Sinks[sink].Config["path"].(string)
	if !ok {
		return "", fmt.Errorf("sinks.%s.config.path is missing", sink)
	}
	return root, nil
}

// readWhisper returns the points of the finest archive of a whisper file that
// has any. The library panics on damaged files.
func readWhisper(path string) (points []sdk.Point, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the file is damaged: %v", r)
		}
	}()
	file, err := whisper.OpenWithOptions(path, &whisper.Options{OpenFileFlag: intPointer(os.O_RDONLY)})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if len(file.Retentions()) == 0 {
		return nil, errors.New("the file is damaged: it has no archive")
	}
	now := int(time.Now().Unix())
	for _, archive := range file.Retentions() {
		series, err := file.Fetch(now-archive.MaxRetention(), now)
		if err != nil {
			return nil, err
		}
		for _, p := range series.Points() {
			if !math.IsNaN(p.Value) {
				points = append(points, sdk.Point{Timestamp: int64(p.Time), Value: p.Value})
			}
		}
		if len(points) > 0 {
			break
		}
	}
	return points, nil
}

func intPointer(i int) *int { return &i }

func printPoints(w io.Writer, points []sdk.Point) error {
	type point struct {
		Timestamp int64   `json:"timestamp"`
		Value     float64 `json:"value"`
	}
	list := make([]point, len(points))
	for i, p := range points {
		list[i] = point(p)
	}
	return json.NewEncoder(w).Encode(list)
}

func printText(w io.Writer, points []sdk.Point) error {
	if err := printPointLines(w, points); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, sparkline(points))
	return err
}

func printPointLines(w io.Writer, points []sdk.Point) error {
	for _, p := range points {
		if _, err := fmt.Fprintf(w, "%s  %g\n", time.Unix(p.Timestamp, 0).Format(time.DateTime), p.Value); err != nil {
			return err
		}
	}
	return nil
}

// sparkline draws the values between their least and their greatest.
func sparkline(points []sdk.Point) string {
	if len(points) == 0 {
		return "no points"
	}
	least, greatest := points[0].Value, points[0].Value
	for _, p := range points {
		least, greatest = min(least, p.Value), max(greatest, p.Value)
	}
	bars := []rune("▁▂▃▄▅▆▇█")
	line := make([]rune, len(points))
	for i, p := range points {
		height := 0.5
		if greatest > least {
			height = (p.Value/2 - least/2) / (greatest/2 - least/2) // halves: their difference is finite
		}
		line[i] = bars[int(height*float64(len(bars)-1)+0.5)]
	}
	return string(line)
}
