package servers

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

// A GraphiteServer is a running graphite-web, which answers from whisper files.
// Nothing is cached: every answer tells what the files hold at that moment.
// Dashboards, tags and users are not there.
type GraphiteServer struct {
	*Process
	URL string // http://127.0.0.1:port, without a path
}

// Graphite starts a graphite-web over a folder of whisper files. Given the Carbon
// that writes those files, it asks that too for what is not in a file yet.
func Graphite(t testing.TB, whisperFolder string, carbon ...*CarbonServer) *GraphiteServer {
	t.Helper()
	NeedPython(t, "graphite", "whisper")
	caches := []string{} // not null
	for _, c := range carbon {
		caches = append(caches, c.Query)
	}
	hosts, err := json.Marshal(caches)
	if err != nil {
		t.Fatal(err)
	}
	dir, port := folder(t), freePort(t)
	write(t, dir, "graphite_of_a_test.py", fmt.Sprintf(graphiteSettings, dir, whisperFolder, hosts))
	g := &GraphiteServer{URL: "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	argv := []string{python, "-I", "-c", graphiteScript, dir, strconv.Itoa(port)}
	g.Process = launch(t, "graphite-web", dir, argv, func() error {
		_, err := get(g.URL + "/render/?format=json&target=nothing.of.this.name")
		return err
	})
	return g
}

// Render returns the points of target, which may hold functions, for the
// timestamps from and until and those between; nothing when no metric has that
// name. As everywhere in Graphite they are those of the finest archive that
// reaches back to from. Several series end the test.
func (g *GraphiteServer) Render(t testing.TB, target string, from, until int64) []sdk.Point {
	t.Helper()
	return g.render(t, target, from, until, time.Now().Unix())
}

// Archive returns all that the archive with the retention given holds of metric.
func (g *GraphiteServer) Archive(t testing.TB, metric string, retention time.Duration) []sdk.Point {
	t.Helper()
	now := time.Now().Unix()
	return g.render(t, metric, now-int64(retention.Seconds())+1, now, now)
}

// render asks as if it were now: the time decides which archive answers, and so
// must not move on on the way.
func (g *GraphiteServer) render(t testing.TB, target string, from, until, now int64) []sdk.Point {
	t.Helper()
	query := url.Values{"format": {"json"}, "target": {target}, "now": {fmt.Sprint(now)},
		"from": {fmt.Sprint(max(0, from-1))}, "until": {fmt.Sprint(until)}} // Graphite leaves out its first second.
	body, err := get(g.URL + "/render/?" + query.Encode())
	if err != nil {
		t.Fatalf("render %s: %v", target, err)
	}
	var series []struct{ Datapoints [][2]*float64 }
	if err := json.Unmarshal(body, &series); err != nil || len(series) > 1 {
		t.Fatalf("render %s: %d series, %v\n%.1000s", target, len(series), err, body)
	}
	var points []sdk.Point
	for _, s := range series {
		for _, d := range s.Datapoints {
			if at := int64(*d[1]); d[0] != nil && from <= at && at <= until {
				points = append(points, sdk.Point{Timestamp: at, Value: *d[0]})
			}
		}
	}
	return points
}

// get returns the body of an answer with status 200.
func get(address string) ([]byte, error) {
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	response, err := client.Get(address)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d: %.1000s", response.StatusCode, body)
	}
	return body, nil
}

// File returns the path of metric's whisper file in a folder of such files.
func File(whisperFolder, metric string) string {
	return filepath.Join(whisperFolder, strings.ReplaceAll(metric, ".", "/")+".wsp")
}

// graphiteSettings names a database because Django wants one; it is never made.
const graphiteSettings = `
SECRET_KEY = 'of a test'
TIME_ZONE = 'UTC'
STORAGE_DIR = CONF_DIR = LOG_DIR = %[1]q
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': STORAGE_DIR + '/graphite.db'}}
WHISPER_DIR = %[2]q
STANDARD_DIRS = [WHISPER_DIR]
STORAGE_FINDERS = ['graphite.finders.standard.StandardFinder']
CARBONLINK_HOSTS = %[3]s
CARBONLINK_TIMEOUT = 10.0
CACHES = {'default': {'BACKEND': 'django.core.cache.backends.dummy.DummyCache'}}
FIND_CACHE_DURATION = DEFAULT_CACHE_DURATION = 0
USE_WORKER_POOL = LOG_INFO_PERFORMANCE = LOG_ROTATION = False
`

// graphiteScript serves graphite-web's own WSGI application, a thread for each
// request.
const graphiteScript = `
import os, socketserver, sys
from wsgiref.simple_server import WSGIServer, make_server

folder, port = sys.argv[1:]
sys.dont_write_bytecode = True
sys.path.insert(0, folder)
os.environ['DJANGO_SETTINGS_MODULE'] = 'graphite.settings'
os.environ['GRAPHITE_SETTINGS_MODULE'] = 'graphite_of_a_test'
from graphite.wsgi import application

class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 100

make_server('127.0.0.1', int(port), application, Server).serve_forever()
`
