package servers

import (
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fluxgate/sdk"
)

// A PrometheusServer is a running Prometheus. It scrapes nothing: its samples are
// those that it was started with, which survive [Process.Kill].
type PrometheusServer struct {
	*Process
	URL string // http://127.0.0.1:port, without a path
}

// Prometheus starts a Prometheus with the samples of a text in the format
// OpenMetrics, see [OpenMetrics]. All of them can be queried at once, however
// new. It keeps samples for 400 days; older ones are lost.
func Prometheus(t testing.TB, openMetrics string) *PrometheusServer {
	t.Helper()
	programs := Need(t, "prometheus", "promtool")
	dir, data := folder(t), "data"
	write(t, dir, "prometheus.yml", "")
	write(t, dir, "samples.txt", openMetrics)
	makeBlocks := exec.Command(programs[1], "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=64h", "samples.txt", data)
	makeBlocks.Dir = dir
	if out, err := makeBlocks.CombinedOutput(); err != nil {
		t.Fatalf("promtool makes no blocks of the samples: %v\n%.2000s", err, out)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	p := &PrometheusServer{URL: "http://" + address}
	argv := []string{
		programs[0], "--config.file=prometheus.yml", "--storage.tsdb.path=" + filepath.Join(dir, data),
		"--storage.tsdb.retention.time=400d", "--web.listen-address=" + address,
	}
	p.Process = launch(t, "prometheus", dir, argv, func() error {
		_, err := get(p.URL + "/-/ready")
		return err
	})
	return p
}

// OpenMetrics returns a text for [Prometheus]: a gauge for each series, whose
// Metric may hold labels, such as load{host="a"}. Series of one name must stand
// together.
func OpenMetrics(series ...sdk.Series) string {
	var text strings.Builder
	family := ""
	for _, s := range series {
		name, _, _ := strings.Cut(s.Metric, "{")
		if name != family {
			text.WriteString("# TYPE " + name + " gauge\n")
			family = name
		}
		for _, p := range s.Points {
			text.WriteString(s.Metric + " " + strconv.FormatFloat(p.Value, 'g', -1, 64) + " " + strconv.FormatInt(p.Timestamp, 10) + "\n")
		}
	}
	return text.String() + "# EOF\n"
}
