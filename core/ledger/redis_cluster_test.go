package ledger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// many returns n datapoints of as many metrics, and the metrics.
func many(n int, timestamp int64) (b sdk.Batch, metrics []string) {
	for i := range n {
		metrics = append(metrics, fmt.Sprint("servers.web.cpu", i))
		b = append(b, sdk.Datapoint{Metric: metrics[i], Timestamp: timestamp, Value: float64(i)})
	}
	return b, metrics
}

// same fails unless each of got is want.
func same(t *testing.T, got []int64, want int64, what string) {
	t.Helper()
	if i := slices.IndexFunc(got, func(timestamp int64) bool { return timestamp != want }); i >= 0 {
		t.Fatalf("%s: newest of metric %d is %d, want %d", what, i, got[i], want)
	}
}

// pipelines notes how many commands travel together.
type pipelines struct {
	mu      sync.Mutex
	longest int
}

func (p *pipelines) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (p *pipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (p *pipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		p.mu.Lock()
		p.longest = max(p.longest, len(cmds))
		p.mu.Unlock()
		return next(ctx, cmds)
	}
}

func TestClusterTakesThousandsOfMetrics(t *testing.T) {
	c := servers.RedisCluster(t)
	for _, hash := range []bool{true, false} {
		s := openTestRedis(t, RedisOptions{Addresses: c.Addresses[:2], Hash: hash}) // the third is found
		var p pipelines
		s.client.AddHook(&p)
		b, metrics := many(5*pieceLimit, now)
		record := func(timestamp int64) {
			for i := range b {
				b[i].Timestamp = timestamp
			}
			if err := s.Record(t.Context(), dues(b), now+600); err != nil {
				t.Fatal(err)
			}
		}
		record(now)
		record(now - 60)
		same(t, newestAll(t, s, metrics), now, "an older datapoint moved an entry back")
		record(now + 60)
		same(t, newestAll(t, s, metrics), now+60, "a newer datapoint did not move an entry")
		if p.longest < pieceLimit || p.longest > pieceLimit+1 {
			t.Errorf("%d commands travelled together, want %d and one for the hash", p.longest, pieceLimit)
		}
		entries := 0
		for i := range c.Nodes {
			n := int(c.Do(i, "DBSIZE").(int64))
			if n < len(b)/4 {
				t.Errorf("node %d has %d entries of %d", i, n, len(b))
			}
			entries += n
			if hash {
				c.Do(i, "SCRIPT", "FLUSH")
			}
		}
		if want := len(b) + map[bool]int{true: 1}[hash]; entries != want {
			t.Errorf("the cluster has %d entries, want %d", entries, want)
		}
		record(now + 120) // also where the script was forgotten
		same(t, newestAll(t, s, metrics), now+120, "a forgotten script")
		for i := range c.Nodes {
			c.Do(i, "FLUSHALL")
		}
		same(t, newestAll(t, s, metrics), 0, "a flushed cluster")
		record(now)
		same(t, newestAll(t, s, metrics), now, "after a flush")
		for i := range c.Nodes {
			c.Do(i, "FLUSHALL")
		}
	}
}

// held returns how many of metrics have a string of this timestamp on a node.
func held(t *testing.T, server *servers.RedisServer, metrics []string, timestamp int64) (n int) {
	t.Helper()
	c := operator(t, server)
	for _, metric := range metrics {
		entry, err := c.Get(t.Context(), stringPrefix+metric).Result()
		if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "MOVED") && !redis.HasErrorPrefix(err, "CLUSTERDOWN") {
			t.Fatal(err)
		}
		if timestampOf(entry) == timestamp {
			n++
		}
	}
	return n
}

func TestClusterWithOneNodeThatFails(t *testing.T) {
	c := servers.RedisCluster(t)
	s := openTestRedis(t, RedisOptions{Addresses: c.Addresses, Hash: true})
	b, metrics := many(2*pieceLimit+1, now-60)
	if err := s.Record(t.Context(), dues(b), now); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		breaks, heals func(*servers.RedisClusterServer)
		says          []string
		reads         bool
	}{
		"stopped": {
			func(c *servers.RedisClusterServer) { c.Nodes[1].Pause() },
			func(c *servers.RedisClusterServer) { c.Nodes[1].Continue() },
			[]string{"deadline exceeded", "i/o timeout"}, false},
		"killed": {
			func(c *servers.RedisClusterServer) { c.Nodes[1].Kill() },
			func(c *servers.RedisClusterServer) { c.Nodes[1].Start(); c.Ready() },
			[]string{"connection refused: is Redis running there?"}, false},
		"full": {
			func(c *servers.RedisClusterServer) { c.Do(1, "CONFIG", "SET", "maxmemory", 1) },
			func(c *servers.RedisClusterServer) { c.Do(1, "CONFIG", "SET", "maxmemory", 0) },
			[]string{"OOM command not allowed"}, true},
		"without replicas": {
			func(c *servers.RedisClusterServer) { c.Do(1, "CONFIG", "SET", "min-replicas-to-write", 1) },
			func(c *servers.RedisClusterServer) { c.Do(1, "CONFIG", "SET", "min-replicas-to-write", 0) },
			[]string{"NOREPLICAS Not enough good"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			tt.breaks(c)
			timestamp := b[0].Timestamp + 60
			for i := range b {
				b[i].Timestamp = timestamp
			}
			says := func(what string, err error) {
				t.Helper()
				if err == nil || !slices.ContainsFunc(tt.says, func(word string) bool { return strings.Contains(err.Error(), word) }) {
					t.Errorf("%s says %v, want %q", what, err, tt.says)
				}
			}
			says("Record", within(t, time.Second, func(ctx context.Context) error { return s.Record(ctx, dues(b), timestamp) }))
			err := within(t, 300*time.Millisecond, func(ctx context.Context) error { _, err := s.Last(ctx, metrics[:pieceLimit]); return err })
			if tt.reads && err != nil {
				t.Errorf("Last says %v", err)
			} else if !tt.reads {
				says("Last", err)
			}
			piece := metrics
			if name == "stopped" {
				piece = metrics[:pieceLimit] // the first waits until the deadline
			}
			if n := held(t, c.Nodes[0], piece, timestamp) + held(t, c.Nodes[2], piece, timestamp); n < len(piece)/2 {
				t.Errorf("the other two nodes recorded %d of %d meanwhile", n, len(piece))
			}
			tt.heals(c)
			eventually(t, func() error { return s.Record(t.Context(), dues(b), timestamp) })
			same(t, newestAll(t, s, metrics), timestamp, "after all")
		})
	}
}

// A pause between two tries would outlast a lookup and hide what Redis said.
func TestClusterThatIsDownSaysSoInTime(t *testing.T) {
	c := servers.RedisCluster(t)
	s := openTestRedis(t, RedisOptions{Addresses: c.Addresses, Hash: true})
	b, metrics := many(100, now)
	record(t, s, b...)
	c.Do(1, "CLUSTER", "DELSLOTSRANGE", 5461, 10921) // all that it has
	const tries = 20
	var told int
	var err error
	for range tries {
		err = within(t, lookTimeout, func(ctx context.Context) error { _, err := s.Last(ctx, metrics); return err })
		if err != nil && strings.Contains(err.Error(), "CLUSTERDOWN") {
			told++
		}
	}
	if told < tries/2 {
		t.Errorf("%d of %d lookups tell that the cluster is down; the last says %v", told, tries, err)
	}
}

func TestClusterWhoseSlotsMove(t *testing.T) {
	c := servers.RedisCluster(t)
	s := openTestRedis(t, RedisOptions{Addresses: c.Addresses, Hash: true})
	b, metrics := many(300, now-60)
	if err := s.Record(t.Context(), dues(b), now); err != nil {
		t.Fatal(err)
	}
	for i, entry := range []string{hashEntry, stringPrefix + metrics[7]} {
		slot := int(c.Do(0, "CLUSTER", "KEYSLOT", entry).(int64))
		from := slices.IndexFunc(c.Addresses, func(address string) bool { return address == owner(t, c, slot) })
		c.Move(slot, from, (from+1)%3)
		b[7].Timestamp = now + int64(i)
		record(t, s, b...)
		if got := last(t, s, metrics...); got[7] != now+int64(i) || got[8] != now-60 {
			t.Errorf("newest are %d and %d after slot %d was moved", got[7], got[8], slot)
		}
	}
	entry := stringPrefix + metrics[20] // half way: it is asked for at the old node, and is at the new one
	slot := int(c.Do(0, "CLUSTER", "KEYSLOT", entry).(int64))
	from := slices.Index(c.Addresses, owner(t, c, slot))
	to := (from + 1) % 3
	c.Do(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.Do(from, "CLUSTER", "MYID"))
	c.Do(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.Do(to, "CLUSTER", "MYID"))
	host, port, _ := net.SplitHostPort(c.Addresses[to])
	c.Do(from, "MIGRATE", host, port, entry, 0, 5000)
	b[20].Timestamp = now
	record(t, s, b...)
	if got := last(t, s, metrics...); got[20] != now {
		t.Errorf("newest is %d while its slot is moved", got[20])
	}
}

// owner returns the address of the node that has the slot.
func owner(t *testing.T, c *servers.RedisClusterServer, slot int) string {
	t.Helper()
	for _, part := range c.Do(0, "CLUSTER", "SLOTS").([]any) {
		p := part.([]any) // first slot, last slot, nodes
		if node := p[2].([]any); p[0].(int64) <= int64(slot) && int64(slot) <= p[1].(int64) {
			return fmt.Sprintf("%v:%v", node[0], node[1])
		}
	}
	t.Fatalf("slot %d is on no node", slot)
	return ""
}

// When another node takes over from a dead one, nobody says MOVED.
func TestClusterWhoseDeadNodeIsReplaced(t *testing.T) {
	c := servers.RedisCluster(t)
	s := openTestRedis(t, RedisOptions{Addresses: c.Addresses, Hash: true})
	b, metrics := many(300, now)
	record(t, s, b...)
	c.Nodes[2].Kill()
	c.Inherit(0, 2)
	eventually(t, func() error { return s.Record(t.Context(), dues(b), now) })
	same(t, newestAll(t, s, metrics), now, "after a node was replaced")
}

func TestClusterRights(t *testing.T) {
	c := servers.RedisCluster(t)
	s := openTestRedis(t, RedisOptions{Addresses: c.Addresses, Username: "fluxgate", Password: "secret", Hash: true})
	set := func(node int, rights string) {
		args := []any{"ACL", "SETUSER", "fluxgate"}
		for _, right := range strings.Fields(rights) {
			args = append(args, right)
		}
		c.Do(node, args...)
	}
	for i := range c.Nodes {
		set(i, "on >secret "+strings.TrimPrefix(s.grant(), "ACL SETUSER fluxgate "))
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	b, _ := many(300, now)
	record(t, s, b...)
	for _, right := range []string{"asking", "hset", "cluster|slots"} {
		set(2, "-"+right)
		fresh := openTestRedis(t, RedisOptions{Addresses: []string{c.Addresses[2], c.Addresses[2]}, Username: "fluxgate", Password: "secret", Hash: true})
		if err := fresh.Check(t.Context()); err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), " slots", "|slots"), right) || !strings.Contains(err.Error(), fresh.grant()) {
			t.Errorf("without %s on one node the check says %v", right, err)
		}
		set(2, "+"+right)
	}
}

func TestOneNodeOfAClusterIsToldApart(t *testing.T) {
	c := servers.RedisCluster(t)
	err := openTestRedis(t, RedisOptions{Addresses: c.Addresses[:1], Hash: true}).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "list two or more of its nodes in redis.address") {
		t.Errorf("the check says %v", err)
	}
}
