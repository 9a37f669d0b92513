// Package carbon is what the sinks share that speak to Carbon: how bytes are
// delivered so that somebody has acknowledged them, and which datapoints Carbon
// can keep.
//
// Carbon's receivers answer nothing. But Carbon closes a connection only when it
// has read it to its end, and it works off what it reads before it reads on. So a
// [Sender] uses a fresh connection for each delivery, closes its own half of it
// after the last byte, and takes Carbon's end of file as the acknowledgement. A
// Carbon that is stopped, hangs, or accepts and never reads does not give it.
//
// What is acknowledged is what the program at the far end of the connection has
// read. If that is a relay or a load balancer, it speaks for that hop alone. If
// it is Carbon, the datapoints are in its cache, which is memory: a Carbon that is
// killed before it wrote them, within a second unless it is overloaded, loses them.
package carbon

import (
	"fmt"
	"net"
	"strconv"
	"time"
)

// A Config is the settings of a sink that speaks to Carbon.
type Config struct {
	// Address is where Carbon listens, as host:port, or a list of such. The first
	// that takes a delivery gets it, and is then the first to be tried.
	Address []string `koanf:"address" help:"host:port of the receiver, or a list of such: they are tried in order, beginning with the one that last worked"`

	// Timeout is how long one address may take for one delivery. An address never
	// takes more than its share of the time that the host gives, so that the
	// others have theirs.
	Timeout time.Duration `koanf:"timeout" help:"how long one address may take for one delivery; it never gets more than its share of the time that Fluxgate gives"`
}

// DefaultTimeout is the default of [Config.Timeout] for every sink.
const DefaultTimeout = 10 * time.Second

// Validate reports what is wrong with the settings, and how it should be.
func (c Config) Validate() error {
	if len(c.Address) == 0 {
		return fmt.Errorf("address: none is given; it is host:port or a list of such")
	}
	for _, address := range c.Address {
		if err := validAddress(address); err != nil {
			return fmt.Errorf("address %q: %w; it must be host:port, such as 127.0.0.1:2004 or [::1]:2004", address, err)
		}
	}
	if c.Timeout <= 0 {
		return fmt.Errorf("timeout %v: must be positive, such as %v", c.Timeout, DefaultTimeout)
	}
	return nil
}

func validAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s", err.(*net.AddrError).Err)
	}
	if host == "" {
		return fmt.Errorf("no host")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	return nil
}
