package ledger

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisOptions says where Redis is and how entries are kept.
type RedisOptions struct {
	Addresses []string // one: host:port or the path of a socket; several: nodes of a cluster, as host:port
	Username  string
	Password  string
	Database  int           // 0 in a cluster
	TLS       bool          // not with a socket
	CA        string        // PEM file with the certificates that vouch for Redis's; empty: those of the system
	Expire    time.Duration // of the string entries, in whole seconds; 0: never
	Hash      bool          // keep the hash beside the strings
}

const dialTimeout = time.Second

// OpenRedis returns a store in Redis. It does not connect. The only error is a
// CA file that cannot be used.
func OpenRedis(o RedisOptions) (*Redis, error) {
	dial, err := o.dialer()
	if err != nil {
		return nil, err
	}
	redis.SetLogger(silent{}) // what it would print is in the errors that it returns
	r := &Redis{o: o, cluster: len(o.Addresses) > 1}
	if r.cluster {
		r.client = redis.NewClusterClient(o.clusterOptions(dial))
	} else {
		node := o.nodeOptions(dial)
		node.OnConnect = func(context.Context, *redis.Conn) error {
			r.each.Store(false)
			return nil
		}
		r.client = redis.NewClient(node)
	}
	return r, nil
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// dial connects. What is not sent yet when the connection is closed will never be:
// the network must not deliver, later, what was given up and recorded anew.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return conn, err
}

// dialer returns how to connect. Unlike the dialer of go-redis it gives up
// shaking hands over TLS when its context ends, and tells that it was there.
func (o RedisOptions) dialer() (dialer, error) {
	if !o.TLS {
		return dial, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		text, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("redis.tls.ca: %w: name the PEM file of the CA that signed Redis's certificate", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("redis.tls.ca %s: holds no certificate: name the PEM file of the CA that signed Redis's certificate", o.CA)
		}
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return shakeHands(ctx, conn, address, c)
	}, nil
}

// A handshakeError is why no TLS came about on a connection.
type handshakeError struct{ error }

func (e handshakeError) Unwrap() error { return e.error }

func shakeHands(ctx context.Context, conn net.Conn, address string, c *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c = c.Clone()
	c.ServerName, _, _ = net.SplitHostPort(address)
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, handshakeError{err}
	}
	return secure, nil
}

func (o RedisOptions) nodeOptions(dial dialer) *redis.Options {
	network := "tcp"
	if strings.HasPrefix(o.Addresses[0], "/") {
		network = "unix"
	}
	return &redis.Options{
		Network: network, Addr: o.Addresses[0], Username: o.Username, Password: o.Password, DB: o.Database,
		// Without this a deadline is not looked at while a reply is awaited.
		ContextTimeoutEnabled:    true,
		MaxRetries:               -1, // the ledger tries again by itself
		Dialer:                   dial,
		DialTimeout:              dialTimeout,
		DialerRetries:            1,
		ReadTimeout:              recordTimeout,
		WriteTimeout:             recordTimeout,
		PoolTimeout:              recordTimeout,
		DisableIdentity:          true,
		MaintNotificationsConfig: unannounced(),
	}
}

// clusterOptions differ from those of a single node in that redirections are
// followed, at once: a pause would outlast the deadline of a lookup and hide
// what Redis said.
func (o RedisOptions) clusterOptions(dial dialer) *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs: o.Addresses, Username: o.Username, Password: o.Password,
		ContextTimeoutEnabled:    true,
		MaxRetries:               -1,
		MaxRedirects:             3,
		MinRetryBackoff:          -1,
		MaxRetryBackoff:          -1,
		Dialer:                   dial,
		DialTimeout:              dialTimeout,
		DialerRetries:            1,
		ReadTimeout:              recordTimeout,
		WriteTimeout:             recordTimeout,
		PoolTimeout:              recordTimeout,
		DisableIdentity:          true,
		MaintNotificationsConfig: unannounced(),
	}
}

// unannounced says that maintenance need not be announced to us.
func unannounced() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// silent is a logger that logs nothing.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// isReply reports whether err is an answer of Redis to one command, so that
// the others of a pipeline have theirs.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// isAbsent reports whether err says that there is no entry, or one of another
// type, which is none either and will be replaced.
func isAbsent(err error) bool {
	return errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "WRONGTYPE")
}
