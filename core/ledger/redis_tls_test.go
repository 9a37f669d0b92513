package ledger

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// tlsArgs are for a Redis that speaks TLS alone, with a certificate of ca for
// names.
func tlsArgs(t *testing.T, ca *servers.Authority, names ...string) []string {
	t.Helper()
	certificate, key := ca.Issue(t, names...)
	return []string{"--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", ca.File, "--tls-auth-clients", "no"}
}

// redisTLS starts a Redis that speaks TLS alone; args win.
func redisTLS(t *testing.T, name string, args ...string) (address, ca string) {
	t.Helper()
	authority := servers.NewAuthority(t)
	server := servers.RedisTLS(t, append(tlsArgs(t, authority, name), args...)...)
	return server.Address, authority.File
}

func TestRedisTLSIsVerified(t *testing.T) {
	address, ca := redisTLS(t, "127.0.0.1")
	stranger, strangersCA := redisTLS(t, "redis.example")
	wantsOurs, wantsOursCA := redisTLS(t, "127.0.0.1", "--tls-auth-clients", "yes")
	old, oldCA := redisTLS(t, "127.0.0.1", "--tls-protocols", "TLSv1.1", "--tls-ciphers", "DEFAULT@SECLEVEL=0")
	plain := servers.Redis(t).Address
	for name, tt := range map[string]struct {
		o    RedisOptions
		says []string
	}{
		"another CA":            {RedisOptions{Addresses: []string{address}, TLS: true, CA: strangersCA}, []string{"unknown authority", "redis.tls.ca", "CA that signed"}},
		"the system's CAs":      {RedisOptions{Addresses: []string{address}, TLS: true}, []string{"unknown authority", "redis.tls.ca"}},
		"another name":          {RedisOptions{Addresses: []string{stranger}, TLS: true, CA: strangersCA}, []string{"redis.address", "stands in Redis's certificate"}},
		"a plain server":        {RedisOptions{Addresses: []string{plain}, TLS: true, CA: ca}, []string{"nobody answers to TLS", "redis.tls.enabled"}},
		"no TLS":                {RedisOptions{Addresses: []string{address}}, []string{"expect TLS", "redis.tls.enabled"}},
		"a certificate of ours": {RedisOptions{Addresses: []string{wantsOurs}, TLS: true, CA: wantsOursCA}, []string{"tls-auth-clients no"}},
		"TLS 1.1":               {RedisOptions{Addresses: []string{old}, TLS: true, CA: oldCA}, []string{"protocol version", "TLS 1.2"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := openTestRedis(t, tt.o).Check(ctx)
			if err == nil {
				t.Fatal("the check passes")
			}
			for _, want := range tt.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("says\n%v\nwant %q in it", err, want)
				}
			}
		})
	}
	if err := openTestRedis(t, RedisOptions{Addresses: []string{address}, TLS: true, CA: ca, Hash: true}).Check(t.Context()); err != nil {
		t.Errorf("the right CA: %v", err)
	}
}

func TestRedisTLSByName(t *testing.T) {
	address, ca := redisTLS(t, "localhost")
	_, port, _ := net.SplitHostPort(address)
	if err := openTestRedis(t, RedisOptions{Addresses: []string{net.JoinHostPort("localhost", port)}, TLS: true, CA: ca}).Check(t.Context()); err != nil {
		t.Errorf("the name in the certificate: %v", err)
	}
	if err := openTestRedis(t, RedisOptions{Addresses: []string{address}, TLS: true, CA: ca}).Check(t.Context()); err == nil {
		t.Error("an address that is not in the certificate passes")
	}
}

func TestUnusableCAIsToldAtOnce(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{empty: "holds no certificate", "/nowhere/ca.pem": "no such file"} {
		_, err := OpenRedis(RedisOptions{Addresses: []string{"127.0.0.1:1"}, TLS: true, CA: file})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "redis.tls.ca") || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v, want it to say redis.tls.ca and %q", file, err, want)
		}
	}
}

func TestRedisTLSHandshakeMeetsTheDeadline(t *testing.T) {
	authority := servers.NewAuthority(t)
	server := servers.RedisTLS(t, tlsArgs(t, authority, "127.0.0.1")...)
	s := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, TLS: true, CA: authority.File, Hash: true})
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := s.Last(ctx, []string{"a"}); err == nil {
		t.Error("a paused Redis answered")
	}
	if took := time.Since(began); took > dialTimeout/2 {
		t.Errorf("the deadline of 50ms was met after %v", took)
	}
	eventually(t, func() error {
		stacks := make([]byte, 1<<20)
		if stacks = stacks[:runtime.Stack(stacks, true)]; strings.Contains(string(stacks), "ledger.shakeHands") {
			return fmt.Errorf("it still waits for a paused Redis:\n%s", stacks)
		}
		return nil
	})
	server.Continue()
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now})
	if got := last(t, s, "a"); got[0] != now {
		t.Errorf("newest is %d when Redis goes on, want %d", got[0], now)
	}
}

func TestClusterWithTLS(t *testing.T) {
	authority := servers.NewAuthority(t)
	c := servers.RedisClusterTLS(t, tlsArgs(t, authority, "127.0.0.1")...)
	s := openTestRedis(t, RedisOptions{Addresses: c.Addresses, TLS: true, CA: authority.File, Hash: true})
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now}, sdk.Datapoint{Metric: "b", Timestamp: now}, sdk.Datapoint{Metric: "c", Timestamp: now})
	if got := last(t, s, "a", "b", "c"); got[0] != now || got[1] != now || got[2] != now {
		t.Errorf("newest are %v", got)
	}
}
