package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A hostile is bytes that somebody sends over a connection of their own.
type hostile struct {
	name string
	raw  string
	want []int // the statuses in their order; nil: any that hostiles may see
}

// answerTime is what one hostile request may take. None has to wait for a
// deadline of the server, since its sender says that nothing more comes.
const answerTime = 30 * time.Second

// throw sends a hostile request, ends the sending side, and returns the statuses
// of the answers. It fails the test if the server does not end the connection.
func throw(t testing.TB, address string, h hostile) (statuses []int) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("%s: the server is gone: %v", h.name, err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(answerTime))
	var sending sync.WaitGroup
	defer sending.Wait()
	sending.Go(func() {
		// The server may have answered and closed before it has everything.
		_, _ = io.WriteString(conn, h.raw)
		_ = conn.(*net.TCPConn).CloseWrite()
	})
	method, _, _ := strings.Cut(h.raw, " ")
	for reader := bufio.NewReader(conn); ; {
		r, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err == nil {
			statuses = append(statuses, r.StatusCode)
			_, err = io.Copy(io.Discard, r.Body)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: no end of it after %v", h.name, answerTime)
		}
		if err != nil {
			return statuses
		}
	}
}

// throwAll throws hostiles, several at a time, and judges what comes back.
func throwAll(t *testing.T, address string, atOnce int, hostiles []hostile) {
	t.Helper()
	queue := make(chan hostile)
	var throwers sync.WaitGroup
	for range atOnce {
		throwers.Go(func() {
			for h := range queue {
				got := throw(t, address, h)
				if h.want != nil && !slices.Equal(got, h.want) {
					t.Errorf("%s: answered %v, want %v", h.name, got, h.want)
				}
				// 501 and 505 are what HTTP wants of a server that does not know
				// a transfer coding or version; no handler is called.
				if h.want == nil && slices.ContainsFunc(got, func(s int) bool {
					return s >= 500 && s != 503 && s != 501 && s != 505
				}) {
					t.Errorf("%s: answered %v", h.name, got)
				}
			}
		})
	}
	for _, h := range hostiles {
		queue <- h
	}
	close(queue)
	throwers.Wait()
}

func postRaw(body string, header ...string) string {
	head := "POST /metric_data_post HTTP/1.1\r\nHost: it\r\nKey: " + selfKey + "\r\n"
	for _, line := range header {
		head += line + "\r\n"
	}
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
}

func getRaw(query string) string {
	return "GET /metric_data?" + query + " HTTP/1.1\r\nHost: it\r\n\r\n"
}

// goodBody is accepted.
const goodBody = `{"key": "` + selfKey + `", "metric": "vista.nodes.skyline-1.cpu.user", "value": "1.0"}`

// randomHostiles are noise: by itself, and inside of what would be a request.
func randomHostiles(random *rand.Rand) (all []hostile) {
	noise := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return string(b)
	}
	for i := range 100 {
		n := random.IntN(4 << 10)
		all = append(all,
			hostile{name: fmt.Sprint("noise ", i), raw: noise(n)},
			hostile{name: fmt.Sprint("noise as query ", i), raw: getRaw(noise(n))},
			hostile{name: fmt.Sprint("noise as header ", i), raw: "GET /metric_data HTTP/1.1\r\nHost: it\r\n" + noise(n) + "\r\n\r\n"},
			hostile{name: fmt.Sprint("noise as body ", i), raw: postRaw(noise(n)), want: []int{400}},
			hostile{name: fmt.Sprint("noise as gzip ", i), raw: postRaw("\x1f\x8b\x08"+noise(n), "Content-Encoding: gzip"), want: []int{400}},
			hostile{name: fmt.Sprint("noise as chunks ", i), raw: "POST /metric_data_post HTTP/1.1\r\nHost: it\r\nTransfer-Encoding: chunked\r\n\r\n" + noise(n)},
		)
	}
	good := postRaw(goodBody)
	for i := range good {
		all = append(all, hostile{name: fmt.Sprintf("the first %d bytes", i), raw: good[:i]})
		changed := []byte(good)
		changed[i] = byte(random.Uint32())
		all = append(all, hostile{name: fmt.Sprintf("byte %d changed to %#x", i, changed[i]), raw: string(changed)})
	}
	return all
}

// byteHostiles have every byte in every place.
func byteHostiles() (all []hostile) {
	for i := range 256 {
		b := string([]byte{byte(i)})
		for place, raw := range map[string]string{
			"query":         getRaw("metric=a" + b + "b&value=1&key=" + selfKey),
			"escaped query": getRaw(fmt.Sprintf("metric=a%%%02xb&value=1&key=%s", i, selfKey)),
			"value":         getRaw("metric=a&value=1" + b + "&key=" + selfKey),
			"escaped value": getRaw(fmt.Sprintf("metric=a&value=%%%02x1&key=%s", i, selfKey)),
			"timestamp":     getRaw("metric=a&value=1&timestamp=" + b + "1&key=" + selfKey),
			"key":           getRaw("metric=a&value=1&key=" + selfKey + b),
			"path":          "GET /metric" + b + "data HTTP/1.1\r\nHost: it\r\n\r\n",
			"escaped path":  fmt.Sprintf("GET /metric%%%02xdata HTTP/1.1\r\nHost: it\r\n\r\n", i),
			"method":        "GE" + b + "T /metric_data HTTP/1.1\r\nHost: it\r\n\r\n",
			"key header":    postRaw(goodBody, "Key: "+b),
			"header":        postRaw(goodBody, "X-It: "+b),
			"header name":   postRaw(goodBody, "X"+b+"It: it"),
			"name":          postRaw(strings.Replace(goodBody, "vista", "vis"+b+"ta", 1)),
			"escaped name":  postRaw(strings.Replace(goodBody, "vista", fmt.Sprintf(`vis\u%04xta`, i), 1)),
			"key member":    postRaw(strings.Replace(goodBody, selfKey, b, 1)),
			"text value":    postRaw(strings.Replace(goodBody, "1.0", b, 1)),
			"JSON":          postRaw(b + goodBody),
			"end of JSON":   postRaw(goodBody + b),
		} {
			all = append(all, hostile{name: fmt.Sprintf("byte %#x in the %s", i, place), raw: raw})
		}
	}
	return all
}

// headHostiles are wrong before the body begins, or about where it ends.
func headHostiles() []hostile {
	get, post := "GET /metric_data HTTP/1.1\r\nHost: it\r\n", "POST /metric_data_post HTTP/1.1\r\nHost: it\r\n"
	x := func(n int) string { return strings.Repeat("x", n) }
	return []hostile{
		{"nothing", "", nil},
		{"empty lines", strings.Repeat("\r\n", 1000), nil},
		{"a line without end", x(1 << 20), []int{431}},
		{"a path without end", "GET /" + x(1<<20), []int{431}},
		{"a header without end", get + "Key: " + x(1<<20), []int{431}},
		{"a header's name without end", get + x(1<<20), []int{431}},
		{"headers without end", get + strings.Repeat("Key: x\r\n", 1<<17), []int{431}},
		{"a folded header without end", get + "Key: x\r\n" + strings.Repeat(" x\r\n", 1<<18), []int{431}},
		{"sixty thousand bytes of query", getRaw(x(60000)), []int{400}},
		{"sixty thousand bytes of ampersands", getRaw(strings.Repeat("&", 60000)), []int{400}},
		{"ten thousand metrics", getRaw("key=" + selfKey + strings.Repeat("&metric", 8000)), []int{400}},
		{"ten thousand headers", get + strings.Repeat("K:\r\n", 10000) + "\r\n", []int{400}},
		{"ten thousand keys", post + strings.Repeat("Key:k\r\n", 6000) + "Content-Length: 2\r\n\r\n{}", []int{400}},
		{"a method without end", x(60000) + " /metric_data HTTP/1.1\r\nHost: it\r\n\r\n", []int{405}},
		{"no version", "GET /metric_data\r\n\r\n", []int{400}},
		{"version 0.9", "GET /metric_data HTTP/0.9\r\n\r\n", nil},
		{"version 1.0", "GET /metric_data HTTP/1.0\r\n\r\n", []int{400}},
		{"version 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", nil},
		{"version 3", "GET /metric_data HTTP/3.0\r\nHost: it\r\n\r\n", []int{505}},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + x(500), []int{400}},
		{"no host", "GET /metric_data HTTP/1.1\r\n\r\n", []int{400}},
		{"two hosts", get + "Host: other\r\n\r\n", []int{400}},
		{"no colon", get + "Key\r\n\r\n", []int{400}},
		{"a blank before the colon", get + "Key : x\r\n\r\n", []int{400}},
		{"line feeds alone", strings.ReplaceAll(getRaw("status"), "\r\n", "\n"), []int{200}},
		{"another expectation", get + "Expect: cake\r\n\r\n", []int{417}},
		{"an upgrade", get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", []int{400}},
		{"a tunnel", "CONNECT carbon:2004 HTTP/1.1\r\nHost: carbon:2004\r\n\r\n", []int{404}},
		{"a proxy's request", "GET http://carbon:2004/ HTTP/1.1\r\nHost: carbon\r\n\r\n", []int{404}},
		{"the server itself", "OPTIONS * HTTP/1.1\r\nHost: it\r\n\r\n", nil},

		{"a length below zero", post + "Content-Length: -1\r\n\r\n", []int{400}},
		{"a length that is none", post + "Content-Length: 0x10\r\n\r\n" + x(16), []int{400}},
		{"a length with a sign", post + "Content-Length: +2\r\n\r\n{}", []int{400}},
		{"a length beyond int64", post + "Content-Length: 99999999999999999999\r\n\r\n", []int{400}},
		{"the greatest length", post + "Content-Length: 9223372036854775807\r\n\r\n", []int{413}},
		{"two lengths", post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}}", []int{400}},
		{"a length that is not kept", post + "Content-Length: 1000\r\n\r\n{}", []int{400}},
		{"length and chunks", post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", nil},
		{"chunked twice", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", []int{501}},
		{"chunks in gzip", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", []int{501}},
		{"chunk without a length", post + "Transfer-Encoding: chunked\r\n\r\n\r\n{}", []int{400}},
		{"chunk below zero", post + "Transfer-Encoding: chunked\r\n\r\n-1\r\n", []int{400}},
		{"chunk of all there is", post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}", []int{400}},
		{"chunk beyond 64 bits", post + "Transfer-Encoding: chunked\r\n\r\n1ffffffffffffffff\r\n{}", []int{400}},
		{"chunk that goes on", post + "Transfer-Encoding: chunked\r\n\r\n1\r\n{}0\r\n\r\n", []int{400}},
		{"chunks without end", post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\n \r\n", 1<<20), []int{400}},
		{"chunk's extension without end", post + "Transfer-Encoding: chunked\r\n\r\n1;" + x(1<<20) + "\r\n", []int{400}},
		{"chunks of extensions", post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+x(1000)+"\r\n \r\n", 1<<12), []int{400}},
		{"trailers without end", post + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + strings.Repeat("Key: x\r\n", 1<<17), []int{400}},

		{"a second request in the body", postRaw(getRaw("status")), []int{400}},
		{"a second request behind the body", postRaw("{}") + getRaw("status"), []int{400, 200}},
		{"a second request behind half a chunk", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + getRaw("status"), []int{400}},
	}
}

// pathHostiles look for something else than the two paths.
func pathHostiles() (all []hostile) {
	for _, path := range []string{
		"/", "//", "/flux", "/flux/", "/metrics", "/health", "/ready", "/debug/pprof/", "/populate_metrics",
		"/../metric_data", "/metric_data/..", "/flux/../../etc/passwd", "/flux/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
		"/metric_data/", "/metric_data%00", "/metric_data%0d%0aSet-Cookie:x", "/metric_data;x=y", "/METRIC_DATA", "/metric_data.php",
		"/" + strings.Repeat("/", 50000) + "x", "/" + strings.Repeat("../", 20000) + "x", "/" + strings.Repeat("%2f", 20000), "/" + strings.Repeat("a/", 25000),
		`/metric_data\`, "/\u212aelvin", "/metric_dat\xff", "/%ff%fe", "/%C0%AFmetric_data",
	} {
		all = append(all, hostile{"path " + path[:min(len(path), 40)], "GET " + path + " HTTP/1.1\r\nHost: it\r\n\r\n", []int{404}})
	}
	for _, path := range []string{"/%", "/%zz", "metric_data", "?status", "/metric_data%", "http://[::1/metric_data", "://metric_data"} {
		all = append(all, hostile{"path " + path, "GET " + path + " HTTP/1.1\r\nHost: it\r\n\r\n", []int{400}})
	}
	for _, path := range []string{"/" + strings.Repeat("/", 50000) + "metric_data", "//flux//metric_data", "/%66%6cux/metric_data"} {
		all = append(all, hostile{"path " + path[:min(len(path), 40)], "GET " + path + "?status HTTP/1.1\r\nHost: it\r\n\r\n", []int{200}})
	}
	return all
}

// mebibyte is the unit of big bodies, and of the limits that they meet. The race
// detector makes all of it slower, so with it there is less.
func mebibyte() int {
	if raceFlag != "" {
		return 1 << 17
	}
	return 1 << 20
}

// bigHostiles are bodies near the limit, which is 32 MiB.
func bigHostiles(t *testing.T) []hostile {
	mib := mebibyte()
	repeat := strings.Repeat
	many := manyDatapoints()
	key := `{"key": "` + selfKey + `", `
	return []hostile{
		{"a list 20000 deep", postRaw(repeat("[", 20000) + repeat("]", 20000)), []int{400}},
		{"an object 20000 deep", postRaw(repeat(`{"a":`, 20000) + "1" + repeat("}", 20000)), []int{400}},
		{"a metric 20000 deep", postRaw(key + `"value": 1, "metric": ` + repeat("[", 20000) + repeat("]", 20000) + "}"), []int{400}},
		{"a metric 9000 deep", postRaw(key + `"value": 1, "metric": ` + repeat("[", 9000) + repeat("]", 9000) + "}"), []int{400}},
		{"lists without end", postRaw(repeat("[", 10*mib)), []int{400}},
		{"objects without end", postRaw(repeat(`{"a":`, 2*mib)), []int{400}},
		{"items that are no objects", postRaw(key + `"metrics": [` + repeat("1,", 15*mib) + "1]}"), []int{400}},
		{"items without members", postRaw(key + `"metrics": [` + repeat("{},", 10*mib) + "{}]}"), []int{400}},
		{"lists as metrics", postRaw(key + `"metrics": [` + repeat("[],", 10*mib) + "[]]}"), []int{400}},
		{"members of one name", postRaw(key + repeat(`"metric":1,`, 2*mib) + `"value": 1}`), []int{400}},
		{"members of no name", postRaw(key + repeat(`"":1,`, 5*mib) + `"value": 1}`), []int{400}},
		{"a name of 30 MiB", postRaw(key + `"value": 1, "metric": "` + repeat("x", 30*mib) + `"}`), []int{400}},
		{"a name of 5 MiB of escapes", postRaw(key + `"value": 1, "metric": "` + repeat(`\u0061`, 5*mib) + `"}`), []int{400}},
		{"a name of dots", postRaw(key + `"value": 1, "metric": "` + repeat(".", 30*mib) + `"}`), []int{400}},
		{"a key of 30 MiB", strings.Replace(postRaw(`{"metric": "a", "value": 1, "key": "`+repeat("x", 30*mib)+`"}`), "Key: "+selfKey+"\r\n", "", 1), []int{401}},
		{"a value of 30 MiB", postRaw(key + `"metric": "a", "value": ` + repeat("9", 30*mib) + "}"), []int{400}},
		{"a fraction of 30 MiB", postRaw(key + `"metric": "a", "value": 0.` + repeat("9", 30*mib) + "}"), []int{204}},
		{"an exponent of 30 MiB", postRaw(key + `"metric": "a", "value": 1e` + repeat("9", 30*mib) + "}"), []int{400}},
		{"a timestamp of 30 MiB", postRaw(key + `"metric": "a", "value": 1, "timestamp": ` + repeat("9", 30*mib) + "}"), []int{400}},
		{"a status code of 30 MiB", postRaw(`{"status": 1, "status_code": ` + repeat("9", 30*mib) + "}"), []int{204}},
		{"blanks", postRaw(repeat(" ", 32*mib)), []int{400}},
		{"zeros", postRaw(repeat("\x00", 32*mib)), []int{400}},
		{"a byte above the limit", postRaw(repeat(" ", 32*mib+1)), []int{413}},
		{"100 MiB", postRaw(repeat(" ", 100*mib)), []int{413}},
		{"100 MiB of zeros in gzip", postRaw(gzipZeros(t, 100*mib), "Content-Encoding: gzip"), []int{413}},
		{"1 GiB of zeros in gzip", postRaw(repeat(gzipZeros(t, mib), 1024), "Content-Encoding: gzip"), []int{413}},
		{"30 MiB of zeros in gzip", postRaw(gzipZeros(t, 30*mib), "Content-Encoding: gzip"), []int{400}},
		{"empty members of gzip", postRaw(repeat(gzipZeros(t, 0), mib), "Content-Encoding: gzip"), []int{400}},
		{"100 MiB in chunks", "POST /metric_data_post HTTP/1.1\r\nHost: it\r\nTransfer-Encoding: chunked\r\n\r\n" +
			repeat(fmt.Sprintf("%x\r\n%s\r\n", mib, repeat(" ", mib)), 100) + "0\r\n\r\n", []int{413}},
		{"half of 32 MiB", postRaw(repeat(" ", 32*mib))[:16*mib], []int{400}},
		{"400000 datapoints and a bad one", postRaw(many[:len(many)-2] + ",{}]}"), []int{400}},
		{"400000 datapoints and two keys", postRaw(many, "Key: "+unknownKey), []int{401}},
		{"400000 datapoints", postRaw(many), []int{204}},
	}
}

// manyDatapoints is a body of 400 000 metrics, 22 MiB.
func manyDatapoints() string {
	var b strings.Builder
	b.WriteString(`{"metrics": [`)
	for i := range mebibyte() * 400_000 >> 20 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"metric":"vista.nodes.skyline-%d.cpu.user","value":%d}`, i, i)
	}
	b.WriteString("]}")
	return b.String()
}

// gzipZeros returns size zeros, packed.
func gzipZeros(t *testing.T, size int) string {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

// launchForHostiles starts fluxgate with room for one request of the greatest
// size, and a sink that throws datapoints away.
func launchForHostiles(t *testing.T) *process {
	return launch(t, fmt.Sprintf(`
keys: [{key: %s}]
limits: {body: %d, inflight: %d}
sinks: {nowhere: {plugin: "%s"}}
`, selfKey, 32*mebibyte(), 32*mebibyte()+headRoom, os.Args[0]))
}

// headRoom is more than the head of any good request here, and less than what
// any leak of a body would leave.
const headRoom = 4 << 10

func TestHostileRequests(t *testing.T) {
	p := launchForHostiles(t)
	plugins := p.plugins(t)
	random := rand.New(rand.NewPCG(1, 2)) // the same noise each time
	throwAll(t, p.listen, 8, slices.Concat(headHostiles(), pathHostiles(), byteHostiles(), randomHostiles(random)))
	throwAll(t, p.listen, 1, bigHostiles(t))

	full := hostile{"a good request of the greatest size", postRaw(goodBody + strings.Repeat(" ", 32*mebibyte()-len(goodBody))), []int{204}}
	throwAll(t, p.listen, 1, []hostile{full})
	select {
	case <-p.ended:
		t.Fatalf("fluxgate has ended: %v", p.err)
	default:
	}
	if now := p.plugins(t); !slices.Equal(now, plugins) {
		t.Errorf("the plugins were %v and are %v", plugins, now)
	}
	checkMemory(t, p, plugins)
	checkLog(t, p)
	checkMetrics(t, p)
}

// The dearest request is one of 32 MiB, and one is worked on at a time: its body
// twice while it grows, the message that carries it, and the datapoints that it
// holds, with as much garbage as the collector lets be.
const memoryBound = 448 << 20

// checkMemory looks at the most memory that fluxgate and its plugins ever had.
func checkMemory(t *testing.T, p *process, plugins []int) {
	t.Helper()
	if raceFlag != "" {
		t.Log("memory is not measured: the race detector multiplies it")
		return
	}
	for _, pid := range append([]int{p.cmd.Process.Pid}, plugins...) {
		name, peak := peakMemory(t, pid)
		t.Logf("%s had %d MiB", name, peak>>20)
		if peak > memoryBound {
			t.Errorf("%s had %d MiB, more than %d MiB", name, peak>>20, memoryBound>>20)
		}
	}
}

// peakMemory returns a process's name and the most memory that it had, in bytes.
func peakMemory(t *testing.T, pid int) (name string, peak int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch field {
		case "Name":
			name = strings.TrimSpace(value)
		case "VmHWM":
			if peak, err = strconv.ParseInt(strings.Fields(value)[0], 10, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	return name, peak << 10
}

// checkLog makes sure that nobody writes lines of their own, and that no key is
// told.
func checkLog(t *testing.T, p *process) {
	t.Helper()
	log := p.logged()
	for line := range strings.Lines(log) {
		var fields struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil || fields.Level == "" || fields.Msg == "" {
			t.Errorf("a line of the log is none: %q", line)
		}
		if fields.Level == "ERROR" {
			t.Errorf("a sender made an error of ours: %s", line)
		}
	}
	if strings.Contains(log, selfKey) {
		t.Error("the log tells a key")
	}
}

// checkMetrics looks for the documented names.
func checkMetrics(t *testing.T, p *process) {
	t.Helper()
	response, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`fluxgate_requests_total{code="413",route="POST /metric_data_post"} `,
		"fluxgate_datapoints_accepted_total ",
		"fluxgate_datapoints_duplicate_total ",
		"fluxgate_datapoints_unchecked_total 0\n",
		`fluxgate_datapoints_refused_total{reason="invalid"} `,
		`fluxgate_datapoints_refused_total{reason="key"} `,
		`fluxgate_datapoints_taken_total{sink="nowhere"} `,
		"fluxgate_record_failed_total 0\n",
		`fluxgate_plugin_restarts_total{plugin="flux"} 0` + "\n",
		`fluxgate_plugin_restarts_total{plugin="nowhere"} 0` + "\n",
	} {
		if !strings.Contains(string(text), "\n"+line) {
			t.Errorf("/metrics has no %q", line)
		}
	}
	if strings.Contains(string(text), `code="500"`) || strings.Contains(string(text), selfKey) {
		t.Error("/metrics tells of a 500, or a key")
	}
}

// TestSlowSenders has 500 connections send a byte a second, whose heads are cut
// and come again, while others send as usual.
func TestSlowSenders(t *testing.T) {
	p := launchForHostiles(t)
	forms := []string{
		strings.Repeat("x", 1000),
		"GET /metric_data?" + strings.Repeat("x", 1000),
		"POST /nowhere HTTP/1.1\r\nHost: it\r\nContent-Length: 10000\r\n\r\n\x00",
		"POST /metric_data_post HTTP/1.1\r\nHost: it\r\nContent-Length: 10000\r\n\r\n\x00",
		"POST /metric_data_post HTTP/1.1\r\nHost: it\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n\x00",
	}
	var (
		slow  sync.WaitGroup
		cut   atomic.Int64 // connections that the server has ended
		enter sync.WaitGroup
	)
	over := make(chan struct{})
	for i := range 500 {
		enter.Add(1)
		slow.Go(func() {
			drip(t, p.listen, forms[i%len(forms)], enter.Done, over)
			for cut.Add(1); !isClosed(over); cut.Add(1) {
				drip(t, p.listen, forms[i%len(forms)], func() {}, over)
			}
		})
	}
	enter.Wait()
	client := http.Client{Timeout: 5 * time.Second}
	sent := 0
	for until := time.Now().Add(answerTime); cut.Load() < 200; sent++ {
		if time.Now().After(until) {
			t.Fatalf("of 500 slow senders only %d were cut in %v", cut.Load(), answerTime)
		}
		response, err := client.Get(fmt.Sprintf("http://%s/metric_data?metric=a.b%d&value=1&key=%s", p.listen, sent, selfKey))
		if err != nil {
			t.Fatal(err)
		}
		if response.Body.Close(); response.StatusCode != 204 {
			t.Fatalf("answered %d", response.StatusCode)
		}
	}
	t.Logf("%d requests were answered meanwhile", sent)
	p.stop(t) // with 300 bodies still on their way
	if p.err != nil {
		t.Errorf("fluxgate left with %v", p.err)
	}
	close(over)
	slow.Wait()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// drip sends a NUL-marked text: what comes before the mark at once, then a byte
// a second, the text's own or blanks. It returns when the server has ended the
// connection or over is closed, and calls begun when it has connected.
func drip(t *testing.T, address, text string, begun func(), over <-chan struct{}) {
	conn, err := net.Dial("tcp", address)
	begun()
	if err != nil { // the server is stopping
		<-over
		return
	}
	defer conn.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn)
	}()
	if head, _, marked := strings.Cut(text, "\x00"); marked {
		_, _ = io.WriteString(conn, head)
		text = strings.Repeat(" ", 1000)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range len(text) {
		_, _ = io.WriteString(conn, text[i:i+1])
		select {
		case <-tick.C:
		case <-gone:
			return
		case <-over:
			return
		}
	}
}
