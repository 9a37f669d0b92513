package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
)

// The interpreter that Debian's Python modules belong to.
const python = "/usr/bin/python3"

// A drain is a Carbon that throws away what it is sent: it reads each connection to its
// end, and then closes it, which is the acknowledgement.
type drain struct{ net.Listener }

func newDrain() (*drain, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &drain{listener}
	go d.serve()
	return d, nil
}

func (d *drain) serve() {
	for {
		conn, err := d.Accept()
		if err != nil {
			return // it is closed
		}
		go func() {
			defer conn.Close()
			buffer := make([]byte, 256<<10)
			_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, buffer) // what is cut off comes again
		}()
	}
}

// freeAddress returns an address that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func reach(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// startRedis starts a Redis that keeps nothing on disk.
func startRedis(ctx context.Context, dir string) (c *child, address string, err error) {
	program, err := findProgram("redis-server")
	if err != nil {
		return nil, "", err
	}
	if address, err = freeAddress(); err != nil {
		return nil, "", err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, "", err
	}
	c, err = start("redis", dir, nil, program, "--bind", host, "--port", port, "--dir", dir, "--save", "", "--appendonly", "no", "--daemonize", "no")
	if err != nil {
		return nil, "", err
	}
	return c, address, c.await(ctx, func() error { return reach(address) })
}

// startCarbon starts a carbon-cache, with the limits that it comes with.
func startCarbon(ctx context.Context, in string) (c *child, pickle string, err error) {
	program, err := findProgram("carbon-cache")
	if err != nil {
		return nil, "", err
	}
	dir := filepath.Join(in, "graphite")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, "", err
	}
	ports := make([]any, 3)
	for i := range ports {
		address, err := freeAddress()
		if err != nil {
			return nil, "", err
		}
		_, ports[i], _ = net.SplitHostPort(address) // it has been listened on
	}
	for name, text := range map[string]string{
		"carbon.conf":          fmt.Sprintf(carbonConf, append([]any{dir}, ports...)...),
		"storage-schemas.conf": "[all]\npattern = .*\nretentions = 60s:1d\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, "", err
		}
	}
	c, err = start("carbon-cache", dir, nil, python, "-E", program, "--nodaemon", "--config="+filepath.Join(dir, "carbon.conf"),
		"--pidfile="+filepath.Join(dir, "carbon.pid"), "start")
	if err != nil {
		return nil, "", err
	}
	pickle = fmt.Sprintf("127.0.0.1:%s", ports[0])
	return c, pickle, c.await(ctx, func() error { return reach(pickle) })
}

const carbonConf = `[cache]
STORAGE_DIR = %[1]s
LOCAL_DATA_DIR = %[1]s/whisper
CONF_DIR = %[1]s
LOG_DIR = %[1]s
PID_DIR = %[1]s
USER =
MAX_CACHE_SIZE = inf
MAX_UPDATES_PER_SECOND = 500
MAX_CREATES_PER_MINUTE = 50
CARBON_METRIC_INTERVAL = 0
ENABLE_TAGS = False
ENABLE_UDP_LISTENER = False
LOG_LISTENER_CONN_SUCCESS = False
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = %[2]s
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = %[3]s
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = %[4]s
`
