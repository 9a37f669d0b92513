package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fluxgate/sdk"
)

func TestSparkline(t *testing.T) {
	for want, values := range map[string][]float64{
		"no points": {}, "▅▅": {7, 7}, "▁▃▅▆█": {0, 1, 2, 3, 4}, "▁█": {-math.MaxFloat64, math.MaxFloat64},
	} {
		var points []sdk.Point
		for i, v := range values {
			points = append(points, sdk.Point{Timestamp: int64(i), Value: v})
		}
		if got := sparkline(points); got != want {
			t.Errorf("%v is drawn %s, want %s", values, got, want)
		}
	}
}

func TestShow(t *testing.T) {
	root := filepath.Join(t.TempDir(), "tree")
	yaml := fmt.Sprintf("keys: [{key: %s}]\nsinks:\n  fine: {plugin: fluxgate-sink-whisper, config: {path: %q, retentions: \"1s:1h,1m:1d\"}}\n"+
		"  coarse: {plugin: fluxgate-sink-whisper, config: {path: %q, retentions: \"1h:1y\"}}\n", aKey, root, root+"2")
	p := launch(t, yaml)
	file := filepath.Join(t.TempDir(), "fluxgate.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	for i := range int64(5) {
		if status := p.get(t, fmt.Sprintf("metric=a..b%%20c&value=%d.5&timestamp=%d&key=%s", i, now-5+i, aKey)); status != http.StatusNoContent {
			t.Fatalf("answered %d", status)
		}
	}
	show := func(args ...string) (string, string, int) {
		return fluxgate(t, append([]string{"show", "--config", file}, args...)...)
	}
	stdout, stderr, code := show("a.b c", "--sink", "fine", "--output", "json", "--points", "3")
	var points []struct {
		Timestamp int64
		Value     float64
	}
	if err := json.Unmarshal([]byte(stdout), &points); err != nil || code != 0 {
		t.Fatalf("exits %d, prints %q, %q: %v", code, stdout, stderr, err)
	}
	if len(points) != 3 || points[0].Timestamp != now-3 || points[2].Value != 4.5 {
		t.Errorf("shows %v, want the newest three", points)
	}
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"a.b_c"}, "coarse, fine"},
		{[]string{"a.b_c", "--sink", "other"}, `there is no whisper sink "other": it is one of coarse, fine`},
		{[]string{"a.other", "--sink", "fine"}, `nothing is stored of metric "a.other"`},
		{[]string{"a;b", "--sink", "fine"}, "invalid characters in name"},
	} {
		if _, stderr, code := show(tt.args...); code != exitFailed || !strings.Contains(stderr, tt.says) {
			t.Errorf("show %v exits %d, says %q; want %q", tt.args, code, stderr, tt.says)
		}
	}
	damaged := filepath.Join(root, "a", "damaged.wsp")
	if err := os.WriteFile(damaged, bytes.Repeat([]byte{0}, 16), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := show("a.damaged", "--sink", "fine"); code != exitFailed || strings.Contains(stderr, "goroutine") {
		t.Errorf("a damaged file: exits %d, says %q", code, stderr)
	}
}
