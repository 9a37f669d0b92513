package ledger

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// operator returns a client that may do everything, over the server's socket.
func operator(t *testing.T, server *servers.RedisServer) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Network: "unix", Addr: server.Socket})
	t.Cleanup(func() { c.Close() })
	return c
}

// do gives a command.
func do(t *testing.T, c *redis.Client, command string) {
	t.Helper()
	var args []any
	for _, word := range strings.Fields(command) {
		args = append(args, strings.Trim(word, "'"))
	}
	if err := c.Do(t.Context(), args...).Err(); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

// eventually returns when look finds nothing to complain about.
func eventually(t *testing.T, look func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for err := look(); err != nil; err = look() {
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// within calls f with a deadline and returns its error; it must keep the
// deadline.
func within(t *testing.T, d time.Duration, f func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	began := time.Now()
	err := f(ctx)
	if took := time.Since(began); took > d+500*time.Millisecond {
		t.Errorf("the deadline of %v was met after %v", d, took)
	}
	return err
}

// ails checks that Last, if it reads, and Record fail within their deadlines
// with an error that says one of the words.
func ails(t *testing.T, s *Redis, reads bool, words ...string) {
	t.Helper()
	calls := map[string]func(context.Context) error{
		"Record": func(ctx context.Context) error {
			return s.Record(ctx, dues(sdk.Batch{{Metric: "a", Timestamp: now, Value: 1}, {Metric: "b", Timestamp: now, Value: 2}}), now+60)
		},
		"Beat": func(ctx context.Context) error { return s.Beat(ctx, BeatWorker, time.Unix(now, 0)) },
	}
	if reads {
		calls["Last"] = func(ctx context.Context) error { _, err := s.Last(ctx, []string{"a", "b"}); return err }
	}
	for name, call := range calls {
		err := within(t, 300*time.Millisecond, call)
		said := func(word string) bool { return strings.Contains(err.Error(), word) }
		if err == nil || !slices.ContainsFunc(words, said) || !strings.HasPrefix(err.Error(), "redis: ") {
			t.Errorf("%s says %v, want %q", name, err, words)
		}
	}
}

// recovers checks that s works again, by itself, and that what was tried
// meanwhile is recorded by trying again.
func recovers(t *testing.T, s *Redis, c *redis.Client) {
	t.Helper()
	b := sdk.Batch{{Metric: "a", Timestamp: now, Value: 1}, {Metric: "b", Timestamp: now, Value: 2}}
	eventually(t, func() error { return s.Record(t.Context(), dues(b), now+60) })
	if got := last(t, s, "a", "b", "c"); !slices.Equal(got, []int64{now, now, 0}) {
		t.Errorf("newest are %v", got)
	}
	for _, d := range b {
		if list, dict := text(t, c, d.Metric); list != listText(now, d.Value) || dict != dictText(now, d.Value) {
			t.Errorf("entries of %s are %q and %q", d.Metric, list, dict)
		}
	}
}

func TestRedisThatDoesNotWrite(t *testing.T) {
	for words, tt := range map[string]struct {
		breaks, heals string
		reads         bool
	}{
		"OOM command not allowed":      {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", false},
		"READONLY You can't write":     {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", false},
		"NOREPLICAS Not enough good":   {"CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", false},
		"NOPERM this user has no":      {"ACL SETUSER default -@all +acl +hgetall", "ACL SETUSER default +@all", true},
		"the user may not hset":        {"ACL SETUSER default -hset", "ACL SETUSER default +hset", false},
		"MASTERDOWN Link|READONLY You": {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", true},
	} {
		t.Run(words, func(t *testing.T) {
			server := servers.Redis(t, "--maxmemory-policy", "noeviction", "--replica-serve-stale-data", map[bool]string{true: "no", false: "yes"}[tt.reads])
			s, c := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Hash: true}), operator(t, server)
			record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now - 60}, sdk.Datapoint{Metric: "b", Timestamp: now - 60})
			do(t, c, tt.breaks)
			if strings.Contains(words, "may not") { // only a script's own words leave it open which right it lacks
				err := within(t, time.Second, func(ctx context.Context) error {
					return s.Record(ctx, dues(sdk.Batch{{Metric: "a", Timestamp: now, Value: 1}}), now+60)
				})
				if err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "ACL SETUSER default") {
					t.Errorf("Record says %v, want %q", err, words)
				}
			} else {
				ails(t, s, tt.reads, strings.Split(words, "|")...)
			}
			if !tt.reads {
				if got := last(t, s, "a", "b"); !slices.Equal(got, []int64{now - 60, now - 60}) && !strings.Contains(words, "may not") {
					t.Errorf("newest are %v: what failed is half recorded", got)
				}
			}
			do(t, c, tt.heals)
			recovers(t, s, c)
		})
	}
}

func TestRedisThatLoads(t *testing.T) {
	server := servers.Redis(t, "--appendonly", "no", "--rdbcompression", "no", "--key-load-delay", "3000", "--loading-process-events-interval-bytes", "1024")
	s, c := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Hash: true}), operator(t, server)
	fill := c.Pipeline()
	for i := range 5000 {
		fill.Set(t.Context(), fmt.Sprint("filler", i), strings.Repeat("x", 500), 0)
	}
	if _, err := fill.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now - 60})
	do(t, c, "SAVE")
	server.Kill()
	server.StartLoading()
	ails(t, s, true, "LOADING Redis is loading")
	do(t, c, "CONFIG SET key-load-delay 0")
	server.Ready()
	recovers(t, s, c)
}

func TestRedisThatPauses(t *testing.T) {
	server := servers.Redis(t)
	s, c := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Hash: true}), operator(t, server)
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now - 60})
	do(t, c, "CLIENT PAUSE 2000 ALL")
	ails(t, s, true, "deadline exceeded", "i/o timeout")
	recovers(t, s, c)
	server.Pause()
	ails(t, s, true, "deadline exceeded", "i/o timeout")
	server.Continue()
	recovers(t, s, c)
}

func TestRedisThatIsDown(t *testing.T) {
	server := servers.Redis(t)
	s, c := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Hash: true}), operator(t, server)
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now - 60})
	for range 2 {
		server.Kill()
		for range 15 * runtime.GOMAXPROCS(0) { // more than connections are kept
			_, _ = s.Last(t.Context(), []string{"a"})
		}
		ails(t, s, true, "connection refused: is Redis running there?")
		server.Start()
		recovers(t, s, c)
	}
}

func TestRedisThatForgets(t *testing.T) {
	server := servers.Redis(t)
	s, c := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Hash: true}), operator(t, server)
	for _, how := range []string{"FLUSHALL", "SCRIPT FLUSH"} {
		recovers(t, s, c)
		do(t, c, how)
		if got := last(t, s, "a"); how == "FLUSHALL" && got[0] != 0 {
			t.Errorf("newest is %d after %s", got[0], how)
		}
		recovers(t, s, c)
	}
}

// An entry that may not be read must not be taken for one that is not there.
func TestRecordWithoutTheRightToReadMovesNothing(t *testing.T) {
	server := servers.Redis(t)
	s, c := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}}), operator(t, server)
	record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now, Value: 1})
	do(t, c, "ACL SETUSER default -get")
	if err := s.Record(t.Context(), dues(sdk.Batch{{Metric: "a", Timestamp: now - 60, Value: 2}}), now+60); err == nil || !strings.Contains(err.Error(), "may not get flux.last.*") {
		t.Errorf("Record says %v", err)
	}
	do(t, c, "ACL SETUSER default +get")
	if list, _ := text(t, c, "a"); list != "[1478021700, 1.0]" {
		t.Errorf("the entry was moved back to %q", list)
	}
}

// The script and the reader agree on what an entry is: whatever was there, what
// is newer is read afterwards.
func TestHostileEntriesAreReplaced(t *testing.T) {
	server := servers.Redis(t)
	s, c := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Hash: true}), operator(t, server)
	for _, entry := range []string{
		"", "[", "[]", "[]]", "[,", "rubbish", "\x00\xff", "[1478021760x, 1.0]", "[1478021760", "[-1478021760, 1.0]", "[0x7fffffff, 1.0]", "[1e99, 1.0]",
		"[99999999999999999999, 1.0]", "[4102444800, 1.0]", "['1478021760', 1.0]", "[nan, 1.0]", "['timestamp': 1478021760x", "{'timestamp': 1478021760",
		"{'timestamp':1e99}", "{'timestamp': -1478021760}", "{'timestamp': 4102444800, 'value': 1.0}", "{'timestamp': 'timestamp': 1478021760_}",
	} {
		for where, put := range map[string]error{
			"string": c.Set(t.Context(), "flux.last.a", entry, 0).Err(), "hash": c.HSet(t.Context(), "flux.last.metric_data", "a", entry).Err(),
		} {
			if put != nil {
				t.Fatal(where, put)
			}
		}
		record(t, s, sdk.Datapoint{Metric: "a", Timestamp: now, Value: 1})
		if got := last(t, s, "a"); got[0] != now {
			t.Errorf("after %q was there, newest is %d, want %d", entry, got[0], now)
		}
		if list, dict := text(t, c, "a"); list != listText(now, 1) || dict != dictText(now, 1) {
			t.Errorf("%q was left: %q, %q", entry, list, dict)
		}
	}
}

// Each right of the README is needed, and named where it lacks.
func TestEachRightIsNeededAndNamed(t *testing.T) {
	user := documentedUser(t)
	server := servers.Redis(t)
	c := operator(t, server)
	o := RedisOptions{Addresses: []string{server.Address}, Username: "fluxgate", Password: "PASSWORD", Hash: true}
	grant := func(rights []string) *Redis {
		do(t, c, "ACL SETUSER fluxgate reset "+strings.Join(rights, " "))
		do(t, c, "FLUSHALL")
		do(t, c, "SCRIPT FLUSH")
		return openTestRedis(t, o)
	}
	use := func(s *Redis) error {
		if err := s.Record(t.Context(), dues(sdk.Batch{{Metric: "a", Timestamp: now}}), now+60); err != nil {
			return err
		}
		for _, name := range []string{"flux.listen", BeatWorker} {
			if err := s.Beat(t.Context(), name, time.Unix(now, 0)); err != nil {
				return err
			}
		}
		if err := s.Note(t.Context(), "a", "x", time.Minute); err != nil {
			return err
		}
		if _, err := s.Lease(t.Context(), "a", "me", time.Minute); err != nil {
			return err
		}
		if _, err := s.Renew(t.Context(), "a", "me", 0); err != nil {
			return err
		}
		_, err := s.Last(t.Context(), []string{"a"})
		return err
	}
	s := grant(user[1:])
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("the rights of the README: %v", err)
	}
	if err := use(s); err != nil {
		t.Errorf("the rights of the README: %v", err)
	}
	if got := s.grant(); strings.Join(strings.Fields(got), " ") != "ACL SETUSER "+strings.ReplaceAll(strings.Join(user, " "), "on >PASSWORD ", "") {
		t.Errorf("the remedy %q is not the rights of the README, %q", got, user)
	}
	for i := 3; i < len(user); i++ {
		s := grant(slices.Delete(slices.Clone(user[1:]), i-1, i))
		right := strings.TrimRight(user[i][1:], "*")
		if err := s.Check(t.Context()); err == nil || !strings.Contains(strings.Split(err.Error(), "ACL SETUSER")[0], right) || !strings.Contains(err.Error(), s.grant()) {
			t.Errorf("without %s the check says %v", user[i], err)
		}
		if err := use(s); err == nil {
			t.Errorf("%s is not needed", user[i])
		}
	}
	if denied := c.Do(t.Context(), "ACL", "LOG").String(); !strings.Contains(denied, "fluxgate") {
		t.Errorf("Redis denied nothing: %s", denied)
	}
}

func TestCheckNamesTheRemedy(t *testing.T) {
	server := servers.Redis(t, "--requirepass", "secret")
	full := servers.Redis(t, "--maxmemory", "1")
	for _, tt := range []struct {
		o    RedisOptions
		says string
	}{
		{RedisOptions{Addresses: []string{server.Address}, Hash: true, Database: 1}, "NOAUTH Authentication required.: are redis.username and redis.password right?"},
		{RedisOptions{Addresses: []string{server.Address}, Password: "hunter2"}, "redis.password right?"},
		{RedisOptions{Addresses: []string{server.Address, server.Address}, Password: "secret"}, "this is no cluster: give redis.address one address alone"},
		{RedisOptions{Addresses: []string{"127.0.0.1:1"}}, "connection refused: is Redis running there?"},
		{RedisOptions{Addresses: []string{"127.0.0.1:1", "127.0.0.1:2"}}, "connection refused: is Redis running there?"},
		{RedisOptions{Addresses: []string{"/nowhere/redis.sock"}}, "no such file or directory: is Redis running there?"},
		{RedisOptions{Addresses: []string{full.Address}}, "OOM command not allowed"},
	} {
		err := openTestRedis(t, tt.o).Check(t.Context())
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: got %v, want %q", tt.o.Addresses, err, tt.says)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	server, cluster := servers.Redis(t), servers.RedisCluster(t)
	c := operator(t, server)
	connections := func() int { return strings.Count(c.ClientList(t.Context()).Val(), "\n") }
	before := connections()
	for _, o := range []RedisOptions{
		{Addresses: []string{server.Address}, Hash: true}, {Addresses: cluster.Addresses, Hash: true}, {Addresses: []string{"127.0.0.1:1"}},
		{Addresses: []string{"127.0.0.1:1", "127.0.0.1:2"}},
	} {
		s := openTestRedis(t, o)
		for range 15 * runtime.GOMAXPROCS(0) {
			_ = s.Record(t.Context(), dues(sdk.Batch{{Metric: "a", Timestamp: now}, {Metric: "b", Timestamp: now}, {Metric: "c", Timestamp: now}}), now+60)
			_, _ = s.Last(t.Context(), []string{"a", "b", "c"})
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, func() error {
		if now := connections(); now != before {
			return fmt.Errorf("Redis has %d connections, %d before", now, before)
		}
		for i := range cluster.Nodes {
			if list := fmt.Sprint(cluster.Do(i, "CLIENT", "LIST", "TYPE", "NORMAL")); strings.Count(list, "\n") != 1 {
				return fmt.Errorf("node %d has connections:\n%s", i, list)
			}
		}
		return nil
	})
	c.Close()
	eventually(t, func() error {
		stacks := make([]byte, 1<<20)
		if stacks = stacks[:runtime.Stack(stacks, true)]; strings.Contains(string(stacks), "go-redis") {
			return fmt.Errorf("goroutines are left:\n%s", stacks)
		}
		return nil
	})
}
