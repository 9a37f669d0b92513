package servers

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A CarbonServer is a running carbon-cache, which writes whisper files without a
// limit of its own on speed. Carbon keeps datapoints in memory for about a
// second, so [Process.Kill] may lose the newest.
type CarbonServer struct {
	*Process
	Line    string // host:port of the line receiver
	Pickle  string // host:port of the pickle receiver
	Query   string // host:port where graphite-web asks for what is not in a file yet
	Whisper string // folder of its whisper files
}

// Carbon starts a carbon-cache. Its metrics have the retentions given, such as
// "60s:1d,5m:7d", or one point a second for a day.
func Carbon(t testing.TB, retentions ...string) *CarbonServer {
	t.Helper()
	program := Need(t, "carbon-cache")[0]
	NeedPython(t, "whisper")
	if len(retentions) == 0 {
		retentions = []string{"1s:1d"}
	}
	dir, line, pickle, query := folder(t), freePort(t), freePort(t), freePort(t)
	c := &CarbonServer{
		Line:    net.JoinHostPort("127.0.0.1", strconv.Itoa(line)),
		Pickle:  net.JoinHostPort("127.0.0.1", strconv.Itoa(pickle)),
		Query:   net.JoinHostPort("127.0.0.1", strconv.Itoa(query)),
		Whisper: filepath.Join(dir, "whisper"),
	}
	write(t, dir, "carbon.conf", fmt.Sprintf(carbonConf, dir, line, pickle, query))
	write(t, dir, "storage-schemas.conf", "[all]\npattern = .*\nretentions = "+strings.Join(retentions, ",")+"\n")
	argv := []string{
		python, "-E", program, "--nodaemon", "--config=" + filepath.Join(dir, "carbon.conf"),
		"--pidfile=" + filepath.Join(dir, "carbon.pid"), "start",
	}
	c.Process = launch(t, "carbon-cache", dir, argv, func() error {
		for _, address := range []string{c.Line, c.Pickle, c.Query} {
			if err := reach(address); err != nil {
				return err
			}
		}
		return nil
	})
	return c
}

// Start is like [Process.Start]. A kill leaves the file with Carbon's process id
// behind, and Carbon would not start if another process had that id by now.
func (c *CarbonServer) Start() {
	c.t.Helper()
	_ = os.Remove(filepath.Join(filepath.Dir(c.Whisper), "carbon.pid"))
	c.Process.Start()
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
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = %[2]d
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = %[3]d
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = %[4]d
`

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// reach says why nobody accepts connections at address.
func reach(address string) error {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	return c.Close()
}

func within(c net.Conn) error { return c.SetDeadline(time.Now().Add(patience)) }
