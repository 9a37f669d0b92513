package servers

import (
	"strings"
	"testing"
)

func TestClusterServesAndMovesSlots(t *testing.T) {
	c := RedisCluster(t)
	const slot = 12182 // of the key foo
	if got := c.Do(2, "SET", "foo", "bar"); got != "OK" {
		t.Fatalf("SET: %v", got)
	}
	c.Move(slot, 2, 0)
	if got := c.Do(0, "GET", "foo"); got != "bar" {
		t.Errorf("the entry of a slot that was moved is %v", got)
	}
	if _, err := c.try(2, "GET", "foo"); err == nil || !strings.HasPrefix(err.Error(), "MOVED 12182 ") {
		t.Errorf("the node that had the slot says %v", err)
	}
	c.Nodes[1].Kill()
	c.Nodes[1].Start()
	c.Ready()
	c.Nodes[2].Kill()
	c.Inherit(1, 2)
	if got := c.Do(1, "SET", "flux.last.x", "1"); got != "OK" {
		t.Errorf("the heir answers %v", got)
	}
}
