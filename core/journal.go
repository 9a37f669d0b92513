package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

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
	cmd.AddCommand(journalReadCommand(o, "show", "Show what waits for each sink", false),
		journalReadCommand(o, "verify", "Read the journals from disk, and check every record and the books", true), journalDropCommand(o))
	return cmd
}
