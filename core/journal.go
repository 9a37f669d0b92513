package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"fluxgate/core/config"
	"fluxgate/core/delivery"
	"fluxgate/core/journal"
)

func journalCommand(o *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "The datapoints that are kept for the sinks",
		Long:  "What is accepted is kept in two journals in the folder data, live and fill (for backfill), until every sink has it.",
	}
	cmd.AddCommand(
		journalReadCommand(o, "show", "Show what waits for each sink", func([]logReport) error { return nil }),
		journalReadCommand(o, "verify", "Read the journals from disk, and check every record and the books", verdict),
		journalDropCommand(o),
	)
	return cmd
}

func journalReadCommand(o *options, name, short string, judge func([]logReport) error) *cobra.Command {
	var output format
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Long:  short + ". It changes nothing, and works beside a running server and without one.",
		Args:  cobra.NoArgs,
		RunE: command(func(cmd *cobra.Command, _ []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			logs, err := readLogs(c)
			if err != nil {
				return err
			}
			if output.json {
				err = printJSON(cmd.OutOrStdout(), map[string]any{"logs": logs})
			} else {
				err = printLogs(cmd.OutOrStdout(), logs)
			}
			return errors.Join(err, judge(logs))
		}),
	}
	output.addTo(cmd)
	return cmd
}

// A logReport is what lies in one journal.
type logReport struct {
	Log        string         `json:"log"`
	Segments   int            `json:"segments"`
	Bytes      int64          `json:"bytes"`
	Records    uint64         `json:"records"`
	Datapoints uint64         `json:"datapoints"`
	Damaged    uint64         `json:"damaged"` // datapoints that cannot be read
	Problems   []string       `json:"problems"`
	Readers    []readerReport `json:"readers"`
}

// A readerReport is the books of a sink, or of the ledger.
type readerReport struct {
	Reader    string    `json:"reader"`
	Accepted  uint64    `json:"accepted"`
	Delivered uint64    `json:"delivered"`
	Dead      uint64    `json:"dead"`
	Expired   uint64    `json:"expired"`
	Damaged   uint64    `json:"damaged"`
	Waiting   uint64    `json:"waiting"`
	Oldest    time.Time `json:"oldest,omitzero"`
	Imbalance int64     `json:"imbalance"`
}

// readLogs reads both journals from disk.
func readLogs(c config.Config) (logs []logReport, err error) {
	for _, name := range []string{delivery.LiveLog, delivery.FillLog} {
		folder := delivery.Folder(c.Data, name)
		f, err := journal.Verify(folder)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, noJournal(folder)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", folder, err)
		}
		logs = append(logs, report(name, f))
	}
	return logs, nil
}

func noJournal(folder string) error {
	return fmt.Errorf("%s: there is no journal: has a server run with this configuration?", folder)
}

func report(name string, f journal.Findings) logReport {
	r := logReport{Log: name, Segments: f.Segments, Bytes: f.Bytes, Records: f.Records, Datapoints: f.Datapoints, Problems: []string{}}
	for _, d := range f.Damages {
		r.Damaged += d.Count
		r.Problems = append(r.Problems, d.Error())
	}
	for _, err := range f.Problems {
		r.Problems = append(r.Problems, err.Error())
	}
	for _, b := range f.Books {
		r.Readers = append(r.Readers, readerReport{
			b.Reader, b.Accepted, b.Delivered, b.Dead, b.Expired, b.Damaged, b.Waiting, b.Oldest, b.Imbalance(),
		})
	}
	return r
}

// verdict is an error if the disk has lost something, or the books do not add up.
func verdict(logs []logReport) error {
	var errs []error
	for _, l := range logs {
		if len(l.Problems) > 0 {
			errs = append(errs, fmt.Errorf("journal %s: %d problems, %d datapoints are damaged", l.Log, len(l.Problems), l.Damaged))
		}
		for _, r := range l.Readers {
			if r.Imbalance != 0 {
				errs = append(errs, fmt.Errorf("journal %s: the books of %s are out of balance by %d datapoints", l.Log, r.Reader, r.Imbalance))
			}
		}
	}
	return errors.Join(errs...)
}

func printLogs(out io.Writer, logs []logReport) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "journal\treader\taccepted\tdelivered\tdead\texpired\tdamaged\twaiting\toldest\timbalance\t")
	for _, l := range logs {
		for _, r := range l.Readers {
			oldest := "-"
			if !r.Oldest.IsZero() {
				oldest = time.Since(r.Oldest).Round(time.Second).String()
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t\n",
				l.Log, r.Reader, r.Accepted, r.Delivered, r.Dead, r.Expired, r.Damaged, r.Waiting, oldest, r.Imbalance)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, l := range logs {
		fmt.Fprintf(out, "journal %s: %d datapoints in %d records, %d segments, %d bytes\n", l.Log, l.Datapoints, l.Records, l.Segments, l.Bytes)
		for _, p := range l.Problems {
			fmt.Fprintf(out, "journal %s: %s\n", l.Log, p)
		}
	}
	return nil
}

func journalDropCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "drop NAME",
		Short: "Give up what waits for a sink that is not configured any more",
		Long:  "Drop gives up what waits in the journals for the sink called NAME. The server must not be running.",
		Args:  cobra.ExactArgs(1),
		RunE: command(func(cmd *cobra.Command, args []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			if _, configured := c.Sinks[args[0]]; configured {
				return fmt.Errorf("the sink %q is configured: take it out of the configuration first", args[0])
			}
			if folder := delivery.Folder(c.Data, delivery.LiveLog); !exists(folder) {
				return noJournal(folder) // own would make the folder data
			}
			lock, err := own(c.Data)
			if err != nil {
				return err
			}
			defer lock.Close()
			n, err := delivery.Drop(c.Data, int64(c.Limits.Journal), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d datapoints that waited for %q are given up\n", n, args[0])
			return nil
		}),
	}
}
