package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"fluxgate/testdata/servers"
)

// startSystem starts the program fluxgate with a Redis of its own, the flux
// input, a sink that keeps lines, and more settings.
func startSystem(t *testing.T, settings string) system {
	t.Helper()
	server := servers.Redis(t)
	lines := filepath.Join(t.TempDir(), "stored.txt")
	if err := os.WriteFile(lines, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, fmt.Sprintf(`
ack: delivered
keys:
  - key: %s
  - {key: %s, prefix: acme}
  - {key: %s, prefix: beta.prod}
redis: {address: "%s"}
sinks:
  lines: {plugin: "%s", config: {path: "%s"}}
%s
`, selfKey, acmeKey, betaKey, server.Address, os.Args[0], lines, settings))
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	t.Cleanup(func() { client.Close() })
	return system{
		address: p.listen,
		redis:   client,
		stored: func(t *testing.T) []string {
			text, err := os.ReadFile(lines)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		},
	}
}
