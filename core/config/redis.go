package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func (f *faults) checkRedis(r Redis) {
	f.checkRedisAddress(r)
	f.checkRedisTLS(r)
	none := len(r.Address) == 0
	switch {
	case none && r.Username != "":
		f.add("redis.username", "is for a Redis that is not named: set redis.address, or remove it")
	case r.Username != "" && r.Password == "":
		f.add("redis.username", "has no password: set redis.password too, or remove it")
	}
	if none && r.Password != "" {
		f.add("redis.password", "is for a Redis that is not named: set redis.address, or remove it")
	}
	switch {
	case r.Database < 0:
		f.add("redis.database", "%d is negative: give the number of a database, such as 0", r.Database)
	case r.Database > 0 && len(r.Address) > 1:
		f.add("redis.database", "is %d, and a cluster, which several addresses are, has only database 0: remove it", r.Database)
	}
	if r.Expire < 0 || r.Expire%time.Second != 0 {
		f.add("redis.expire", "%v is not a number of whole seconds: write it like 24h, or 0s for never", r.Expire)
	}
}

func (f *faults) checkRedisAddress(r Redis) {
	for i, address := range r.Address {
		setting, wrong := "redis.address", misplaced(address)
		if len(r.Address) > 1 {
			setting = fmt.Sprintf("redis.address[%d]", i)
		}
		switch {
		case wrong != "" && strings.ContainsAny(address, "@?"): // a password may be part of it
			f.add(setting, "is a URL: write host:port alone, and username, password and database as settings beside it")
		case wrong == "" && len(r.Address) > 1 && filepath.IsAbs(address):
			f.add(setting, "%q is a socket, and several addresses are a cluster: give it alone, or each node as host:port", address)
		case wrong != "" && strings.TrimSpace(address) == "":
			f.add(setting, "is empty: name a node of the cluster, or remove it")
		case wrong != "":
			f.add(setting, "%q %s", address, wrong)
		}
	}
}

func (f *faults) checkRedisTLS(r Redis) {
	switch {
	case len(r.Address) == 0 && r.TLS.Enabled:
		f.add("redis.tls.enabled", "is for a Redis that is not named: set redis.address, or remove it")
	case r.TLS.Enabled && slices.ContainsFunc(r.Address, filepath.IsAbs):
		f.add("redis.tls.enabled", "is true, and redis.address is a socket, which has no TLS: remove it, or give host:port")
	}
	if r.TLS.CA != "" && !r.TLS.Enabled {
		f.add("redis.tls.ca", "has no effect: set redis.tls.enabled to true, or remove it")
	}
}

// Bounds of the metrics that the ledger remembers.
const (
	leastMetrics = 1_000
	mostMetrics  = 1_000_000_000
)

func (f *faults) checkLedger(l Ledger, r Redis) {
	switch {
	case l.Mode != LedgerLocal && l.Mode != LedgerShared:
		f.add("ledger.mode", "%q is no mode: write %s if this Fluxgate alone uses the ledger, else %s", l.Mode, LedgerLocal, LedgerShared)
	case l.Mode == LedgerShared && len(r.Address) == 0:
		f.add("ledger.mode", "is %s, and without Redis nobody shares the ledger: set redis.address, or remove it", LedgerShared)
	}
	if l.Metrics < leastMetrics || l.Metrics > mostMetrics {
		f.add("ledger.metrics", "%d is out of range: give at least %d and at most %d", l.Metrics, leastMetrics, mostMetrics)
	}
}
