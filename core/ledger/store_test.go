package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

const now = 1478021700

// stores runs a test against every kind of store.
func stores(t *testing.T, test func(*testing.T, Store)) {
	t.Run("embedded", func(t *testing.T) {
		store, err := OpenEmbedded(filepath.Join(t.TempDir(), "ledger.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		test(t, store)
	})
	for name, server := range map[string]func(*testing.T) RedisOptions{
		"redis over TCP":      func(t *testing.T) RedisOptions { return RedisOptions{Addresses: []string{servers.Redis(t).Address}} },
		"redis over a socket": func(t *testing.T) RedisOptions { return RedisOptions{Addresses: []string{servers.Redis(t).Socket}} },
		"redis with a password": func(t *testing.T) RedisOptions {
			return RedisOptions{Addresses: []string{servers.Redis(t, "--requirepass", "secret").Address}, Password: "secret"}
		},
		"redis with the rights of the README": func(t *testing.T) RedisOptions {
			server := servers.Redis(t, append([]string{"--user"}, documentedUser(t)...)...)
			return RedisOptions{Addresses: []string{server.Address}, Username: "fluxgate", Password: "PASSWORD"}
		},
		"redis with TLS": func(t *testing.T) RedisOptions {
			address, ca := redisTLS(t, "127.0.0.1")
			return RedisOptions{Addresses: []string{address}, TLS: true, CA: ca}
		},
		"cluster": func(t *testing.T) RedisOptions { return RedisOptions{Addresses: servers.RedisCluster(t).Addresses} },
	} {
		t.Run(name, func(t *testing.T) {
			o := server(t)
			for _, o.Hash = range []bool{true, false} {
				t.Run(fmt.Sprintf("hash %v", o.Hash), func(t *testing.T) {
					s := openTestRedis(t, o)
					test(t, s)
				})
				flush(t, o)
			}
		})
	}
}

// flush empties Redis, of which o's user may not be allowed to know.
func flush(t *testing.T, o RedisOptions) {
	t.Helper()
	if o.Username != "" {
		o.Username, o.Password = "", ""
	}
	s := openTestRedis(t, o)
	empty := func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() }
	var err error
	switch c := s.client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(t.Context(), empty)
	case *redis.Client:
		err = empty(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func openTestRedis(t *testing.T, o RedisOptions) *Redis {
	t.Helper()
	store, err := OpenRedis(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func last(t *testing.T, s Store, metrics ...string) (timestamps []int64) {
	t.Helper()
	got, err := s.Last(t.Context(), metrics)
	if err != nil {
		t.Fatal(err)
	}
	for _, recorded := range got {
		timestamps = append(timestamps, recorded.Timestamp)
	}
	return timestamps
}

// dues returns what is due of b, for a store that knows no slot.
func dues(b sdk.Batch) []Due {
	dues := make([]Due, len(b))
	for i, d := range b {
		dues[i].Datapoint = d
	}
	return dues
}

// newestAll is last for any number of metrics.
func newestAll(t *testing.T, s Store, metrics []string) (all []int64) {
	t.Helper()
	for piece := range slices.Chunk(metrics, pieceLimit) {
		all = append(all, last(t, s, piece...)...)
	}
	return all
}

func record(t *testing.T, s Store, b ...sdk.Datapoint) {
	t.Helper()
	if err := s.Record(t.Context(), dues(b), now+60); err != nil {
		t.Fatal(err)
	}
}

func TestStoreKeepsTheNewest(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		if got := last(t, s, "a", "b"); got[0] != 0 || got[1] != 0 {
			t.Errorf("an empty store knows %v", got)
		}
		record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now, Value: 1}, sdk.Datapoint{Metric: "b", Timestamp: now - 60, Value: 2})
		record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now - 60, Value: 3}, sdk.Datapoint{Metric: "b", Timestamp: now, Value: 4})
		if got := last(t, s, "b", "a", "c"); got[0] != now || got[1] != now || got[2] != 0 {
			t.Errorf("newest are %v, want %d, %d and none", got, now, now)
		}
	})
}

func TestStoreReplacesWhatIsAbsurd(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		if err := s.Record(t.Context(), dues(sdk.Batch{{Metric: "a", Timestamp: 4102444800}}), 4102444800); err != nil {
			t.Fatal(err)
		}
		record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now, Value: 1})
		if got := last(t, s, "a"); got[0] != now {
			t.Errorf("newest is %d: an entry of the year 2100 was believed", got[0])
		}
	})
}

func TestStoreTakesMoreThanOnePiece(t *testing.T) {
	stores(t, func(t *testing.T, s Store) {
		var b sdk.Batch
		var metrics []string
		for i := range 2*pieceLimit + 1 {
			metrics = append(metrics, fmt.Sprint("m", i))
			b = append(b, sdk.Datapoint{Metric: metrics[i], Timestamp: now + int64(i)})
		}
		if err := s.Record(t.Context(), dues(b), 2*now); err != nil {
			t.Fatal(err)
		}
		for i, timestamp := range newestAll(t, s, metrics) {
			if timestamp != now+int64(i) {
				t.Fatalf("newest of %s is %d, want %d", metrics[i], timestamp, now+i)
			}
		}
	})
}

func TestEmbeddedSurvivesARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger.db")
	for restart := range 2 {
		s, err := OpenEmbedded(file)
		if err != nil {
			t.Fatal(err)
		}
		if restart == 0 {
			record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now, Value: 1})
		} else if got := last(t, s, "a"); got[0] != now {
			t.Errorf("newest is %d after a restart, want %d", got[0], now)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// text returns both entries of metric as Redis has them.
func text(t *testing.T, c redis.Cmdable, metric string) (list, dict string) {
	t.Helper()
	list, err := c.Get(t.Context(), "flux.last."+metric).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	dict, err = c.HGet(t.Context(), "flux.last.metric_data", metric).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	return list, dict
}

func TestRedisEntriesAreWhatPythonReads(t *testing.T) {
	s := openTestRedis(t, RedisOptions{Addresses: []string{servers.Redis(t).Address}, Hash: true})
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now, Value: 1e-7})
	list, dict := text(t, s.client, "a")
	if want := "[1478021700, 1e-07]"; list != want {
		t.Errorf("string %q, want %q", list, want)
	}
	if want := "{'timestamp': 1478021700, 'value': 1e-07}"; dict != want {
		t.Errorf("hash field %q, want %q", dict, want)
	}
	read := servers.Python(t, "import ast,sys\nfor l in sys.stdin: print(ast.literal_eval(l))", list+"\n"+dict+"\n")
	if want := "[1478021700, 1e-07]\n{'timestamp': 1478021700, 'value': 1e-07}\n"; read != want {
		t.Errorf("python reads %q, want %q", read, want)
	}
}

func TestRedisEntriesMoveEachByItself(t *testing.T) {
	s := openTestRedis(t, RedisOptions{Addresses: []string{servers.Redis(t).Address}, Hash: true})
	ctx := t.Context()
	s.client.Set(ctx, "flux.last.a", "[1478021760, 5.0]", 0)
	s.client.HSet(ctx, "flux.last.metric_data", "a", "{'timestamp': 1478021640, 'value': 6.0}")
	s.client.LPush(ctx, "flux.last.b", "a list, which is none of ours")
	s.client.HSet(ctx, "flux.last.metric_data", "b", "rubbish")
	if got := last(t, s, "a", "b"); got[0] != now+60 || got[1] != 0 {
		t.Errorf("newest are %v, want the greater of both entries, and none", got)
	}
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now, Value: 1}, sdk.Datapoint{Metric: "b", Timestamp: now, Value: 2})
	if list, dict := text(t, s.client, "a"); list != "[1478021760, 5.0]" || dict != "{'timestamp': 1478021700, 'value': 1.0}" {
		t.Errorf("entries %q and %q: the string should have stayed and the field moved", list, dict)
	}
	if list, dict := text(t, s.client, "b"); list != "[1478021700, 2.0]" || dict != "{'timestamp': 1478021700, 'value': 2.0}" {
		t.Errorf("entries %q and %q should have replaced what was none", list, dict)
	}
}

func TestRedisExpiresTheStringAlone(t *testing.T) {
	s := openTestRedis(t, RedisOptions{Addresses: []string{servers.Redis(t).Address}, Hash: true, Expire: time.Hour})
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now})
	if ttl := s.client.TTL(t.Context(), "flux.last.a").Val(); ttl <= 59*time.Minute || ttl > time.Hour {
		t.Errorf("string expires in %v, want an hour", ttl)
	}
	if ttl := s.client.TTL(t.Context(), "flux.last.metric_data").Val(); ttl != -1 {
		t.Errorf("hash expires in %v, want never", ttl)
	}
}

func TestRedisUserAndPassword(t *testing.T) {
	server := servers.Redis(t, "--user", "default", "off", "--user", "flux", "on", ">secret", "~flux.*", "+@all")
	s := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Username: "flux", Password: "secret", Hash: true})
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now})
	if got := last(t, s, "a"); got[0] != now {
		t.Errorf("newest is %d, want %d", got[0], now)
	}
	wrong := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Username: "flux", Password: "wrong"})
	if err := wrong.Check(t.Context()); err == nil {
		t.Error("a wrong password passes the check")
	}
}

func TestRedisBeat(t *testing.T) {
	s := openTestRedis(t, RedisOptions{Addresses: []string{servers.Redis(t).Address}})
	if err := s.Beat(t.Context(), "flux.listen", time.Unix(now, 0)); err != nil {
		t.Fatal(err)
	}
	if got := s.client.Get(t.Context(), "flux.listen").Val(); got != "1478021700" {
		t.Errorf("flux.listen is %q", got)
	}
	if ttl := s.client.TTL(t.Context(), "flux.listen").Val(); ttl <= 110*time.Second || ttl > 120*time.Second {
		t.Errorf("flux.listen expires in %v, want two minutes", ttl)
	}
}

func TestRedisPausedMeetsTheDeadline(t *testing.T) {
	server := servers.Redis(t)
	s := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Hash: true})
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now})
	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := s.Last(ctx, []string{"a"}); err == nil {
		t.Error("a paused Redis answered")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the deadline of 50ms was met after %v", took)
	}
	server.Continue()
	if got := last(t, s, "a"); got[0] != now {
		t.Errorf("newest is %d when Redis goes on, want %d", got[0], now)
	}
}

// documentedUser returns what the README tells Redis about the user fluxgate.
func documentedUser(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, line, ok := strings.Cut(string(text), "ACL SETUSER ")
	line, _, _ = strings.Cut(line, "\n")
	user := strings.Fields(line)
	if !ok || len(user) < 3 || user[0] != "fluxgate" {
		t.Fatalf("the README has no ACL SETUSER fluxgate: %q", line)
	}
	return user
}
