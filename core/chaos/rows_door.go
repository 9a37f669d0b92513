package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

func doorRows() []row {
	return []row{{"F28", "malformed requests of every kind", "4xx, no crash, and others are served", malformed}}
}

// foreignKey puts hostile before each metric, so that what a mutated request may
// still store is known for what it is.
const foreignKey, foreignPrefix = "hostile89012345678901234567890ab", "hostile."

func malformed(r *run) error {
	s, err := r.site(plan{settings: map[string]any{"keys": []any{
		map[string]any{"key": theKey}, map[string]any{"key": foreignKey, "prefix": strings.TrimSuffix(foreignPrefix, ".")},
	}}})
	if err != nil {
		return err
	}
	s.foreign = foreignPrefix
	pid, before := s.pid(), s.gauge(r.ctx, "fluxgate_plugin_restarts_total")
	answers := s.hostile(r.count(40_000, 1500))
	if err := s.noise(r.count(2000, 100)); err != nil {
		return err
	}
	for status, n := range answers {
		r.Runs += n
		if status >= 500 && status != http.StatusServiceUnavailable {
			s.breaks("%d requests answered %d", n, status)
		}
	}
	s.note("answers %v", answers)
	if !s.running() || s.pid() != pid {
		return fmt.Errorf("fluxgate has ended: %s", s.lastWords())
	}
	if after := s.gauge(r.ctx, "fluxgate_plugin_restarts_total"); after != before {
		s.breaks("plugins were started again: %v before, %v after", before, after)
	}
	if err := s.progress(500); err != nil {
		return err
	}
	return s.settle()
}

// hostile sends n mutated requests and counts the answers by status; 0 is no
// answer.
func (s *site) hostile(n int) map[int]int {
	answers := map[int]int{}
	var mu sync.Mutex
	var senders sync.WaitGroup
	for range 4 {
		rng := rand.New(rand.NewPCG(s.rng.Uint64(), s.rng.Uint64()))
		senders.Go(func() {
			client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
			defer client.CloseIdleConnections()
			for range n / 4 {
				status := post(s.ctx, client, s.url(), mutate(rng))
				mu.Lock()
				answers[status]++
				mu.Unlock()
			}
		})
	}
	senders.Wait()
	return answers
}

// A letter is a body as it is announced.
type letter struct {
	body     []byte
	encoding string
}

func post(ctx context.Context, client *http.Client, url string, l letter) (status int) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(l.body))
	if err != nil {
		return 0
	}
	if l.encoding != "" {
		r.Header.Set("Content-Encoding", l.encoding)
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

// mutate returns a sound body with something wrong.
func mutate(rng *rand.Rand) letter {
	now := time.Now().Unix()
	text := fmt.Sprintf(`{"key":%q,"metrics":[{"metric":"a.b%d","timestamp":"%d","value":"%d"},{"metric":"a.c","timestamp":%[3]d,"value":1e3}]}`,
		foreignKey, rng.IntN(1000), now-int64(rng.IntN(3000)), rng.IntN(1000))
	b := []byte(text)
	switch rng.IntN(9) {
	case 0:
		b = b[:rng.IntN(len(b))]
	case 1:
		for range 1 + rng.IntN(8) {
			b[rng.IntN(len(b))] = byte(rng.IntN(256))
		}
	case 2:
		b = []byte(strings.Replace(text, `"1`, []string{`"NaN`, `"-1e999`, `"\u0000`, `[[`, `{"`}[rng.IntN(5)], 1+rng.IntN(3)))
	case 3:
		b = []byte(strings.Repeat("[", 1+rng.IntN(100_000)))
	case 4:
		b = []byte(strings.Replace(text, "a.b", strings.Repeat("../", rng.IntN(50))+"\\u000a", 1))
	case 5:
		b = bytes.Repeat(b, 1+rng.IntN(3))
	case 6:
		return letter{b, []string{"gzip", "deflate", "br", "nonsense"}[rng.IntN(4)]}
	case 7:
		squeezed := squeeze(bytes.Repeat([]byte{byte(rng.IntN(128))}, rng.IntN(1<<20)))
		return letter{squeezed[:1+rng.IntN(len(squeezed))], "gzip"}
	case 8:
		if rng.IntN(50) == 0 {
			return letter{bomb(), "gzip"}
		}
	}
	return letter{body: b}
}

// bomb is 100 MiB of blanks, squeezed.
var bomb = sync.OnceValue(func() []byte { return squeeze(bytes.Repeat([]byte(" "), 100<<20)) })

func squeeze(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b) // memory takes everything
	_ = w.Close()
	return out.Bytes()
}

// noise sends bytes that are no HTTP, and hangs up in the midst of requests.
func (s *site) noise(n int) error {
	sound := fmt.Sprintf("POST /flux/metric_data_post HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{\"key\":%q", foreignKey)
	for i := range n {
		c, err := net.DialTimeout("tcp", s.listen, 5*time.Second)
		if err != nil {
			return err
		}
		b := []byte(sound)[:s.rng.IntN(len(sound))]
		if i%2 == 0 {
			for j := range b {
				b[j] = byte(s.rng.IntN(256))
			}
		}
		_, _ = c.Write(b) // it may have been hung up on
		_ = c.Close()
	}
	return nil
}
