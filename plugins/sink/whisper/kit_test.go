package main

import (
	"testing"

	"fluxgate/sdk"
	"fluxgate/sdk/plugintest"
	"fluxgate/testdata/servers"
)

func TestContract(t *testing.T) {
	folder := t.TempDir()
	plugintest.Sink(t, map[string]any{"path": folder}, func() sdk.Batch { return servers.Stored(t, folder) })
}

func TestReadme(t *testing.T) { plugintest.Readme(t, "README.md") }
