package main

import (
	"testing"

	"fluxgate/sdk/plugintest"
)

func TestMain(m *testing.M) { plugintest.Main(m, main) }

func TestInput(t *testing.T) { plugintest.Input(t, nil, "cases") }
