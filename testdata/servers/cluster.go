package servers

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

const clusterSlots = 16384

// A RedisClusterServer is a running Redis Cluster of three nodes without
// replicas.
type RedisClusterServer struct {
	Nodes     []*RedisServer
	Addresses []string // of the nodes, in order, as host:port

	t     testing.TB
	buses []int // the nodes' ports for each other
}

// RedisCluster starts a cluster that serves every slot, a third on each node.
// The arguments are for each node, as with [Redis].
func RedisCluster(t testing.TB, args ...string) *RedisClusterServer {
	t.Helper()
	return startCluster(t, Redis, args)
}

// RedisClusterTLS is like [RedisCluster], with nodes as of [RedisTLS].
func RedisClusterTLS(t testing.TB, args ...string) *RedisClusterServer {
	t.Helper()
	return startCluster(t, RedisTLS, append([]string{"--tls-cluster", "yes"}, args...))
}

func startCluster(t testing.TB, start func(testing.TB, ...string) *RedisServer, args []string) *RedisClusterServer {
	t.Helper()
	c := &RedisClusterServer{t: t}
	for range 3 {
		bus := freePort(t)
		node := start(t, append([]string{"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus)}, args...)...)
		c.Nodes, c.Addresses, c.buses = append(c.Nodes, node), append(c.Addresses, node.Address), append(c.buses, bus)
	}
	for i := range c.Nodes {
		c.Do(i, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		c.Do(i, "CLUSTER", "ADDSLOTSRANGE", i*clusterSlots/3, (i+1)*clusterSlots/3-1)
		if i > 0 {
			host, port, _ := net.SplitHostPort(c.Addresses[0])
			c.Do(i, "CLUSTER", "MEET", host, port, c.buses[0])
		}
	}
	c.Ready()
	return c
}

// Do gives a command to one node, over its socket.
func (c *RedisClusterServer) Do(node int, args ...any) any {
	c.t.Helper()
	answer, err := c.try(node, args...)
	if err != nil {
		c.t.Fatalf("node %d: %v: %v", node, args, err)
	}
	return answer
}

func (c *RedisClusterServer) try(node int, args ...any) (any, error) {
	client := redis.NewClient(&redis.Options{Network: "unix", Addr: c.Nodes[node].Socket, MaxRetries: -1})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return client.Do(ctx, args...).Result()
}

// Ready returns when each node that runs serves, and knows, all of the slots.
func (c *RedisClusterServer) Ready() {
	c.t.Helper()
	for i, node := range c.Nodes {
		if !node.running() {
			continue
		}
		node.await("part of a sound cluster", func() error {
			info, err := c.try(i, "CLUSTER", "INFO")
			if err != nil {
				return err
			}
			for _, want := range []string{"cluster_state:ok", fmt.Sprint("cluster_known_nodes:", len(c.Nodes)), fmt.Sprint("cluster_slots_ok:", clusterSlots)} {
				if !strings.Contains(fmt.Sprint(info), want+"\r\n") {
					return fmt.Errorf("%s is not in %q", want, info)
				}
			}
			return nil
		})
	}
}

// Move gives the slot, with its entries, from one node to another.
func (c *RedisClusterServer) Move(slot, from, to int) {
	c.t.Helper()
	source, target := c.Do(from, "CLUSTER", "MYID"), c.Do(to, "CLUSTER", "MYID")
	c.Do(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	c.Do(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	host, port, _ := net.SplitHostPort(c.Addresses[to])
	keys, _ := c.Do(from, "CLUSTER", "GETKEYSINSLOT", slot, 1000).([]any)
	for _, key := range keys {
		c.Do(from, "MIGRATE", host, port, key, 0, patience.Milliseconds())
	}
	c.Do(to, "CLUSTER", "SETSLOT", slot, "NODE", target)
	for node := range c.Addresses { // a node that learns of it late sends clients to and fro
		c.Do(node, "CLUSTER", "SETSLOT", slot, "NODE", target)
	}
}

// Inherit gives one node the slots of another that is dead, without what was in
// them, as when a replica takes over.
func (c *RedisClusterServer) Inherit(node, dead int) {
	c.t.Helper()
	first, last := dead*clusterSlots/3, (dead+1)*clusterSlots/3-1
	c.Do(node, "CLUSTER", "DELSLOTSRANGE", first, last)
	c.Do(node, "CLUSTER", "ADDSLOTSRANGE", first, last)
	c.Do(node, "CLUSTER", "BUMPEPOCH")
	id := c.Do(node, "CLUSTER", "MYID")
	for i, other := range c.Nodes {
		if i == dead {
			continue
		}
		other.await("told who has the slots", func() error {
			slots, err := c.try(i, "CLUSTER", "NODES")
			if err != nil {
				return err
			}
			for line := range strings.SplitSeq(fmt.Sprint(slots), "\n") {
				if strings.HasPrefix(line, fmt.Sprint(id)) && strings.Contains(line, strconv.Itoa(last)) {
					return nil
				}
			}
			return fmt.Errorf("it knows\n%s", slots)
		})
	}
}
