package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A redisServer is a real Redis that keeps what it has answered, also when it is
// killed.
type redisServer struct {
	*process
	address string
	client  *redis.Client // straight to it
}

// startRedis starts a Redis that keeps its data in dir.
func (r *run) startRedis(dir string) (*redisServer, error) {
	program, err := findProgram("redis-server")
	if err != nil {
		return nil, notRun(err.Error())
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	s := &redisServer{address: address, client: redis.NewClient(&redis.Options{Addr: address, ContextTimeoutEnabled: true})}
	s.process = &process{name: "redis", dir: dir, argv: []string{
		program, "--bind", host, "--port", port, "--dir", dir, "--save", "", "--appendonly", "yes", "--daemonize", "no",
	}}
	r.atEnd(func() {
		_ = s.client.Close()
		s.kill()
	})
	return s, s.up(r.ctx)
}

// up starts it and returns when it answers.
func (s *redisServer) up(ctx context.Context) error {
	if err := s.start(); err != nil {
		return err
	}
	return s.await(ctx, "ready", func() error { return s.client.Ping(ctx).Err() })
}

// startLoading starts one that was killed so that it takes delay over each entry,
// and returns when it answers that it loads.
func (s *redisServer) startLoading(ctx context.Context, delay time.Duration) error {
	soon := s.argv
	defer func() { s.argv = soon }()
	s.argv = append(slices.Clip(soon),
		"--key-load-delay", strconv.FormatInt(delay.Microseconds(), 10), "--loading-process-events-interval-bytes", "1024")
	if err := s.start(); err != nil {
		return err
	}
	return s.await(ctx, "loading", func() error {
		if !s.loads(ctx) {
			return errors.New("it does not answer that it loads")
		}
		return nil
	})
}

func (s *redisServer) loads(ctx context.Context) bool {
	return redis.HasErrorPrefix(s.client.Ping(ctx).Err(), "LOADING")
}

// rewrite has all that Redis holds in one file, during whose loading it answers.
func (s *redisServer) rewrite(ctx context.Context) error {
	if err := s.do(ctx, "bgrewriteaof"); err != nil {
		return err
	}
	_, err := until(ctx, patience, "Redis has rewritten its file", func() bool {
		text, err := s.client.Info(ctx, "persistence").Result()
		return err == nil && strings.Contains(text, "aof_rewrite_in_progress:0") && strings.Contains(text, "aof_rewrite_scheduled:0")
	})
	return err
}

// do gives Redis a command.
func (s *redisServer) do(ctx context.Context, words ...any) error {
	return s.client.Do(ctx, words...).Err()
}

// Fluxgate's entries in Redis.
const (
	stringPrefix = "flux.last." // + metric
	hashEntry    = "flux.last.metric_data"
)

// recorded returns the newest timestamp of each metric that has a string or a
// field of the hash. The metrics are those whose names begin with prefix.
func (s *redisServer) recorded(ctx context.Context, prefix string) (map[string]int64, error) {
	keys, err := s.client.Keys(ctx, stringPrefix+prefix+"*").Result()
	if err != nil {
		return nil, err
	}
	metrics := make([]string, len(keys))
	for i, key := range keys {
		metrics[i] = strings.TrimPrefix(key, stringPrefix)
	}
	found, err := s.entries(ctx, metrics)
	if err != nil {
		return nil, err
	}
	fields, err := s.client.HGetAll(ctx, hashEntry).Result()
	for metric, text := range fields {
		var at int64
		if _, err := fmt.Sscanf(text, "{'timestamp': %d,", &at); err != nil {
			return nil, fmt.Errorf("redis: field %s is %q: %w", metric, text, err)
		}
		if strings.HasPrefix(metric, prefix) {
			found[metric] = max(found[metric], at)
		}
	}
	return found, err
}

// entries returns the timestamp of each metric that has a string.
func (s *redisServer) entries(ctx context.Context, metrics []string) (map[string]int64, error) {
	found := map[string]int64{}
	for part := range slices.Chunk(metrics, 500) {
		keys := make([]string, len(part))
		for i, metric := range part {
			keys[i] = stringPrefix + metric
		}
		values, err := s.client.MGet(ctx, keys...).Result()
		if err != nil {
			return nil, err
		}
		for i, value := range values {
			text, isText := value.(string)
			if !isText {
				continue
			}
			var pair [2]float64
			if err := json.Unmarshal([]byte(text), &pair); err != nil {
				return nil, fmt.Errorf("redis: entry %s is %q: %w", keys[i], text, err)
			}
			found[part[i]] = int64(pair[0])
		}
	}
	return found, nil
}

// compare returns the metrics whose entry is older than the newest acknowledged
// datapoint, and those whose entry is newer than any that was sent.
func (s *redisServer) compare(ctx context.Context, acknowledged, sent map[string]int64) (behind, ahead []string, err error) {
	found, err := s.entries(ctx, slices.Sorted(maps.Keys(sent)))
	if err != nil {
		return nil, nil, err
	}
	for metric, newest := range sent {
		told := fmt.Sprintf("%s has %d, acknowledged %d, sent %d", metric, found[metric], acknowledged[metric], newest)
		if found[metric] < acknowledged[metric] {
			behind = append(behind, told)
		}
		if found[metric] > newest {
			ahead = append(ahead, told)
		}
	}
	return behind, ahead, nil
}
