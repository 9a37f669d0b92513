package main

import (
	"testing"

	"fluxgate/sdk/plugintest"
	"fluxgate/testdata/carbontest"
	"fluxgate/testdata/servers"
)

func TestMain(m *testing.M) { plugintest.Main(m, main) }

func TestSink(t *testing.T) {
	carbontest.Sink(t, func(c *servers.CarbonServer) string { return c.Line })
}

func TestReadme(t *testing.T) { plugintest.Readme(t, "README.md") }
