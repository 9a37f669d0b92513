package main

import (
	"fmt"
	"net/url"

	"fluxgate/core/config"
	"fluxgate/core/populate"
	"fluxgate/core/populate/remote"
)

// fetching returns what the client of jobs works with.
func fetching(p config.Populate) remote.Options {
	o := remote.Options{
		Allow: p.Allow, PerHost: p.PerHost, Bytes: int64(p.Limits.Answer), Points: p.Limits.Points, Time: p.Limits.Time,
	}
	for _, r := range p.Remotes {
		o.Remotes = append(o.Remotes, remote.Remote{
			Host: r.Host, Login: remote.Login{User: r.User, Password: string(r.Password), Token: string(r.Token)},
			CA: r.CA, Cert: r.Cert, Key: r.Key, Vista: r.Vista,
		})
	}
	return o
}

// openOwn returns the Graphite that is asked what it has, or nil where none is
// configured. It is asked whatever jobs may fetch from, and may be on this machine.
func openOwn(p config.Populate) (*populate.Own, error) {
	if p.Graphite == "" {
		return nil, nil
	}
	base, err := url.Parse(p.Graphite)
	if err != nil {
		return nil, fmt.Errorf("populate.graphite: %w", err)
	}
	o := fetching(p)
	o.Allow = []string{base.Host, "127.0.0.0/8", "::1/128"}
	client, err := remote.New(o)
	if err != nil {
		return nil, fmt.Errorf("populate.graphite: %w", err)
	}
	return &populate.Own{Client: client, Base: p.Graphite}, nil
}
