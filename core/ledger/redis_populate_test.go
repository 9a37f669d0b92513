package ledger

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

func TestStoreKeepsAPointWithoutAValue(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now, Value: math.NaN()}, sdk.Datapoint{Metric: "b", Timestamp: now, Value: math.Inf(1)})
		record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now - 60, Value: 1})
		if got := last(t, s, "a", "b"); !slices.Equal(got, []int64{now, now}) {
			t.Errorf("newest are %v, want %d", got, now)
		}
	})
}

func TestRedisEntryWithoutAValue(t *testing.T) {
	s := openTestRedis(t, RedisOptions{Addresses: []string{servers.Redis(t).Address}, Hash: true})
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now, Value: math.NaN()})
	list, dict := text(t, s.client, "a")
	if list != "[1478021700, None]" || dict != "{'timestamp': 1478021700, 'value': None}" {
		t.Errorf("entries are %q and %q", list, dict)
	}
	if got := pythonReads(t, []string{list, dict}); !slices.Equal(got, []int64{now, now}) {
		t.Errorf("python reads %v", got)
	}
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now + 60, Value: 1})
	if list, _ := text(t, s.client, "a"); list != "[1478021760, 1.0]" {
		t.Errorf("the string is %q: it should have moved", list)
	}
}

// Of a timestamp with a fraction the whole seconds count, in the script too.
func TestRedisEntryAtTheEdgeOfBelief(t *testing.T) {
	s := openTestRedis(t, RedisOptions{Addresses: []string{servers.Redis(t).Address}})
	s.client.Set(t.Context(), "flux.last.a", "[1478021760.5, 1.0]", 0)
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now})
	if list, _ := text(t, s.client, "a"); list != "[1478021760.5, 1.0]" {
		t.Errorf("the entry was moved back to %q", list)
	}
}

// redises runs a test against a Redis, with the rights of the README, and a
// cluster.
func redises(t *testing.T, test func(*testing.T, *Redis)) {
	t.Run("redis", func(t *testing.T) {
		server := servers.Redis(t, append([]string{"--user"}, documentedUser(t)...)...)
		test(t, openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Username: "fluxgate", Password: "PASSWORD", Hash: true}))
	})
	t.Run("cluster", func(t *testing.T) {
		test(t, openTestRedis(t, RedisOptions{Addresses: servers.RedisCluster(t).Addresses, Hash: true}))
	})
}

func TestNoteIsWhatVistaReads(t *testing.T) {
	redises(t, func(t *testing.T, s *Redis) {
		l := New(s, Options{MaxAhead: time.Minute, Metrics: plenty}, prometheus.NewRegistry())
		for _, n := range []struct {
			metric, remoteTarget string
			resolution           time.Duration
		}{
			{"a.b", "sum(x.*)", 10 * time.Minute}, {"c.d", "y", 0}, {"e.f", "", time.Minute + 900*time.Millisecond}, {"g.h", "sum(x.*)", time.Millisecond}, {"i", "", 0},
		} {
			if err := l.Note(t.Context(), n.metric, n.remoteTarget, n.resolution); err != nil {
				t.Error(err)
			}
		}
		c := observer(t, s)
		if got := c.SMembers(t.Context(), "vista.fetcher.unique_metrics").Val(); len(got) != 2 || !slices.Contains(got, "sum(x.*)") || !slices.Contains(got, "y") {
			t.Errorf("known are %q", got)
		}
		for metric, want := range map[string]string{"a.b": "600", "c.d": "", "e.f": "60", "g.h": "1", "i": ""} {
			entry := "vista.last.resolution." + metric
			if got := c.Get(t.Context(), entry).Val(); got != want {
				t.Errorf("%s is %q, want %q", entry, got, want)
			}
			if ttl := c.TTL(t.Context(), entry).Val(); want != "" && (ttl <= 59*time.Minute || ttl > time.Hour) {
				t.Errorf("%s expires in %v, want an hour", entry, ttl)
			}
		}
	})
}

func TestLeaseInRedis(t *testing.T) {
	redises(t, func(t *testing.T, s *Redis) {
		ctx, c := t.Context(), observer(t, s)
		a, b := New(s, Options{MaxAhead: time.Minute, Metrics: plenty}, prometheus.NewRegistry()), New(s, Options{MaxAhead: time.Minute, Metrics: plenty}, prometheus.NewRegistry())
		held, release, err := a.Hold(ctx, "x.y")
		if err != nil {
			t.Fatal(err)
		}
		const entry = "fluxgate.populate.x.y"
		if ttl := c.PTTL(ctx, entry).Val(); ttl <= leaseTime-5*time.Second || ttl > leaseTime {
			t.Errorf("the lease ends in %v, want %v", ttl, leaseTime)
		}
		if _, _, err := b.Hold(ctx, "x.y"); !errors.Is(err, ErrHeld) {
			t.Errorf("another is told %v", err)
		}
		if _, other, err := b.Hold(ctx, "x.z"); err != nil {
			t.Errorf("another metric: %v", err)
		} else {
			other()
		}
		if release(); held.Err() == nil || c.Exists(ctx, entry).Val() != 0 {
			t.Error("the lease is not given back")
		}
		if _, release, err = b.Hold(ctx, "x.y"); err != nil {
			t.Fatalf("after that another is told %v", err)
		}
		c.Set(ctx, entry, "somebody else", 0)
		if release(); c.Get(ctx, entry).Val() != "somebody else" {
			t.Error("a lease that is lost was given back")
		}
	})
}

func TestLeaseIsRenewedByItsOwnerAlone(t *testing.T) {
	redises(t, func(t *testing.T, s *Redis) {
		ctx, c := t.Context(), observer(t, s)
		renew := func(owner string) bool {
			t.Helper()
			ours, err := s.Renew(ctx, "x", owner, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			return ours
		}
		if renew("me") {
			t.Error("renewed what is not there")
		}
		if given, err := s.Lease(ctx, "x", "me", time.Second); err != nil || !given {
			t.Fatal(given, err)
		}
		if given, err := s.Lease(ctx, "x", "you", time.Second); err != nil || given {
			t.Error("given twice", err)
		}
		if renew("you") {
			t.Error("renewed by another")
		}
		if ttl := c.PTTL(ctx, "fluxgate.populate.x").Val(); ttl > time.Second {
			t.Errorf("it lasts for %v after another tried to renew it", ttl)
		}
		if ttl := func() time.Duration { renew("me"); return c.PTTL(ctx, "fluxgate.populate.x").Val() }(); ttl < 50*time.Second {
			t.Errorf("it lasts for %v after its owner renewed it for a minute", ttl)
		}
	})
}

func TestLeaseEndsByItself(t *testing.T) {
	redises(t, func(t *testing.T, s *Redis) {
		if _, err := s.Lease(t.Context(), "x", "dead", 50*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error {
			given, err := s.Lease(t.Context(), "x", "heir", time.Minute)
			if err == nil && !given {
				err = errors.New("the lease of the dead does not end")
			}
			return err
		})
	})
}

func TestNobodySharesAnEmbeddedLedger(t *testing.T) {
	s, err := OpenEmbedded(filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := New(s, Options{MaxAhead: time.Minute, Metrics: plenty}, prometheus.NewRegistry())
	for range 2 {
		_, release, err := l.Hold(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		defer release()
	}
	if err := l.Note(t.Context(), "a", "x", time.Minute); err != nil {
		t.Error(err)
	}
}

func TestWithoutRedisThereIsNoLeaseAndNoNote(t *testing.T) {
	server := servers.Redis(t)
	l := New(openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Hash: true}), Options{MaxAhead: time.Minute, Metrics: plenty}, prometheus.NewRegistry())
	held, release, err := l.Hold(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	release()
	_, _, lease := l.Hold(t.Context(), "b")
	_, last := l.Last(t.Context(), "a")
	note := l.Note(t.Context(), "a", "x", time.Minute)
	for what, err := range map[string]error{"Hold": lease, "Last": last, "Note": note} {
		if !errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), "is Redis running there?") {
			t.Errorf("%s says %v", what, err)
		}
	}
	if held.Err() == nil {
		t.Error("released, and held")
	}
}

// The newest timestamp that a job begins with.
func TestLastOfWhatPythonWrote(t *testing.T) {
	redises(t, func(t *testing.T, s *Redis) {
		ctx, c := t.Context(), observer(t, s)
		l := New(s, Options{MaxAhead: time.Minute, Metrics: plenty}, prometheus.NewRegistry())
		for name, tt := range map[string]struct {
			list, dict string
			want       int64
		}{
			"a nan in both":         {"[1700000160, nan]", "{'timestamp': 1700000160, 'value': nan}", 0},
			"an inf in the string":  {"[1700000160, inf]", "{'timestamp': 1700000100, 'value': 5.0}", 1700000100},
			"a nan in the hash":     {"[1700000100, 5.0]", "{'timestamp': 1700000160, 'value': nan}", 1700000100},
			"no list":               {"not a list", "", 0},
			"no value":              {"[1700006400, None]", "", 1700006400},
			"no value in the hash":  {"", "{'timestamp': 1700006400, 'value': None}", 1700006400},
			"a float":               {"[1700006400.0, 1]", "", 1700006400},
			"the hash is newer":     {"[1700000100, 5.0]", "{'timestamp': 1700000160, 'value': 5.0}", 1700000160},
			"the string is newer":   {"[1700000160, 5.0]", "{'timestamp': 1700000100, 'value': 5.0}", 1700000160},
			"nothing":               {"", "", 0},
			"further ahead than is": {"[4102444800, 5.0]", "", 0},
		} {
			c.Del(ctx, "flux.last.a")
			c.Del(ctx, "flux.last.metric_data")
			if tt.list != "" {
				c.Set(ctx, "flux.last.a", tt.list, 0)
			}
			if tt.dict != "" {
				c.HSet(ctx, "flux.last.metric_data", "a", tt.dict)
			}
			if got, err := l.Last(ctx, "a"); err != nil || got != tt.want {
				t.Errorf("%s: newest is %d, %v, want %d", name, got, err, tt.want)
			}
		}
	})
}

// observer returns a client of the Redis of s that may do everything.
func observer(t *testing.T, s *Redis) redis.UniversalClient {
	t.Helper()
	o := s.o
	o.Username, o.Password = "", ""
	return openTestRedis(t, o).client
}
