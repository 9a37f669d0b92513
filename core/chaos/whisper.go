package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"fluxgate/sdk"
)

// The interpreter that Debian's Python modules belong to.
const python = "/usr/bin/python3"

// treeScript prints every point of every whisper file below a folder, read with
// Graphite's own code: metric, timestamp, and the value's bits.
const treeScript = `
import os, struct, sys, time, whisper
root = sys.argv[1]
now = int(time.time())
for folder, _, names in os.walk(root):
    for name in names:
        if not name.endswith('.wsp'):
            continue
        path = os.path.join(folder, name)
        metric = os.path.relpath(path, root)[:-4].replace('/', '.')
        try:
            found = whisper.fetch(path, now - 7190, now + 61, now=now + 61)
        except Exception as e:
            print('unreadable', metric, e, file=sys.stderr)
            continue
        if found is None:
            continue
        (first, _, step), values = found
        for i, v in enumerate(values):
            if v is not None:
                print(metric, first + i * step, struct.pack('>d', v).hex())
`

// readTree returns what the whisper files below root hold, each metric in
// ascending order of time. Their finest step must be a second.
func readTree(ctx context.Context, root string) (sdk.Batch, error) {
	cmd := exec.CommandContext(ctx, python, "-I", "-c", treeScript, root)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("python3-whisper: %w: %s", err, stderr.String())
	}
	var b sdk.Batch
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) != 3 {
			return nil, fmt.Errorf("python3-whisper printed %q", line)
		}
		at, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return nil, err
		}
		bits, err := strconv.ParseUint(words[2], 16, 64)
		if err != nil {
			return nil, err
		}
		b = append(b, sdk.Datapoint{Metric: words[0], Timestamp: at, Value: math.Float64frombits(bits)})
	}
	return b, nil
}

// hasWhisper says why whisper files cannot be read here.
func hasWhisper() error {
	if exec.Command(python, "-I", "-c", "import whisper").Run() != nil {
		return notRun("the module whisper of " + python + " is not installed")
	}
	return nil
}

// A carbonCache is a real carbon-cache.
type carbonCache struct {
	*process
	pickle string // host:port of its pickle receiver
	tree   string
}

// startCarbon starts a carbon-cache that keeps its data below the folder in.
func (r *run) startCarbon(in string) (*carbonCache, error) {
	if err := hasWhisper(); err != nil {
		return nil, err
	}
	program, err := findProgram("carbon-cache")
	if err != nil {
		return nil, notRun(err.Error())
	}
	dir := filepath.Join(in, "graphite")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	var ports []any
	for range 3 {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		_, port, _ := net.SplitHostPort(address) // it has been listened on
		ports = append(ports, port)
	}
	c := &carbonCache{pickle: fmt.Sprintf("127.0.0.1:%s", ports[0]), tree: filepath.Join(dir, "whisper")}
	for name, text := range map[string]string{
		"carbon.conf":          fmt.Sprintf(carbonConf, append([]any{dir}, ports...)...),
		"storage-schemas.conf": "[all]\npattern = .*\nretentions = 1s:2h\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	c.process = &process{name: "carbon-cache", dir: dir, argv: []string{
		python, "-E", program, "--nodaemon", "--config=" + filepath.Join(dir, "carbon.conf"),
		"--pidfile=" + filepath.Join(dir, "carbon.pid"), "start",
	}}
	r.atEnd(c.kill)
	if err := c.start(); err != nil {
		return nil, err
	}
	return c, c.process.await(r.ctx, "ready", func() error { return reach(c.pickle) })
}

// await returns what its files hold, as soon as that is all of want, and at
// latest after twenty seconds: Carbon writes what it has taken a little later.
func (c *carbonCache) await(ctx context.Context, want sdk.Batch) (held sdk.Batch, err error) {
	for deadline := time.Now().Add(20 * time.Second); ; {
		held, err = readTree(ctx, c.tree)
		if err != nil || settle(want, nil, held).Lost == 0 || time.Now().After(deadline) {
			return held, err
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

const carbonConf = `[cache]
STORAGE_DIR = %[1]s
LOCAL_DATA_DIR = %[1]s/whisper
CONF_DIR = %[1]s
LOG_DIR = %[1]s
PID_DIR = %[1]s
USER =
MAX_CACHE_SIZE = inf
MAX_UPDATES_PER_SECOND = inf
MAX_CREATES_PER_MINUTE = inf
WHISPER_SPARSE_CREATE = True
WHISPER_FALLOCATE_CREATE = False
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
