package sdk_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"fluxgate/sdk"
)

// planes are how a plugin is called.
var planes = []struct {
	name     string
	portable bool
}{{"data", false}, {"grpc", true}}

func BenchmarkDecode(b *testing.B) {
	get := sdk.Request{
		Route: "GET /metric_data", Method: "GET", Query: "metric=vista.nodes.skyline-1.cpu.user&value=1.5&timestamp=1478021700&key=" + strings.Repeat("k", 32),
		Header: http.Header{"User-Agent": {"curl/8"}, "Accept": {"*/*"}},
	}
	post := sdk.Request{Route: "POST /metric_data_post", Method: "POST", Header: http.Header{"Content-Type": {"application/json"}}, Body: make([]byte, 47<<10)}
	for _, bench := range []struct {
		name    string
		request sdk.Request
		callers int
	}{{"get", get, 1}, {"get", get, 32}, {"get", get, 128}, {"47KiB", post, 8}} {
		for _, plane := range planes {
			b.Run(fmt.Sprintf("%s/callers=%d/%s", bench.name, bench.callers, plane.name), func(b *testing.B) {
				p, err := sdk.StartInput(b.Context(), sdk.Spec{Name: "echo", Path: trapNamed(b, "input"), SocketDir: socketDir(b), Portable: plane.portable})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = p.Stop(context.Background()) }()
				callAtOnce(b, bench.callers, func() error {
					_, err := p.Plugin.Decode(context.Background(), bench.request)
					return err
				})
			})
		}
	}
}

// callAtOnce makes b.N calls, so many at a time.
func callAtOnce(b *testing.B, callers int, call func() error) {
	var left sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for i := range callers {
		left.Go(func() {
			for n := i; n < b.N; n += callers {
				if err := call(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	left.Wait()
}
