package populate

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"fluxgate/core/populate/remote"
)

// An Own is the Graphite that the target belongs to.
type Own struct {
	Client *remote.Client
	Base   string // URL, without /render
}

// newest returns the timestamp of the newest point that Graphite has of a metric, 0
// for none. It looks ever further back, as Flux does.
func (o *Own) newest(ctx context.Context, metric string) (int64, error) {
	var failures []error
	for _, age := range []string{"50mins", "6hours", "24hours", "7days", "30days", "90days"} {
		ask := fmt.Sprintf("%s/render/?from=-%s&target=%s&format=json", strings.TrimRight(o.Base, "/"), age, url.QueryEscape(metric))
		var newest int64
		_, err := o.Client.Fetch(ctx, remote.Query{Kind: remote.Graphite, URL: ask}, func(s remote.Sample) error {
			if !s.Null {
				newest = max(newest, s.Timestamp)
			}
			return nil
		})
		if newest != 0 && err == nil {
			return newest, nil
		}
		failures = append(failures, err)
	}
	return 0, errors.Join(failures...)
}
