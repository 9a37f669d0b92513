package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"fluxgate/sdk"
	"fluxgate/testdata/servers"
)

// newestDues is dues of which a ledger knows that they are the newest.
func newestDues(b sdk.Batch) []Due {
	all := dues(b)
	for i := range all {
		all[i].Newest = true
	}
	return all
}

// contents returns every entry that Redis has, and empties it.
func contents(t *testing.T, c redis.Cmdable) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range c.Keys(t.Context(), "*").Val() {
		if key != hashEntry {
			all[key] = c.Get(t.Context(), key).Val()
		}
	}
	for metric, field := range c.HGetAll(t.Context(), hashEntry).Val() {
		all[hashEntry+" "+metric] = field
	}
	if err := c.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPlainEntriesAreThoseOfTheScript(t *testing.T) {
	server, without := servers.Redis(t, append([]string{"--user"}, documentedUser(t)...)...), servers.Redis(t, "--rename-command", "MSET", "")
	b, _ := many(2*pieceLimit, now)
	for i, value := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 1e-7, 1e22, 4567.775} {
		b = append(b, sdk.Datapoint{Metric: fmt.Sprintf("odd %d \xff\r\n", i), Timestamp: now + int64(i), Value: value})
	}
	for o, server := range map[*RedisOptions]*servers.RedisServer{{}: server, {Username: "fluxgate", Password: "PASSWORD"}: server, {Database: 1}: without} {
		c := redis.NewClient(&redis.Options{Network: "unix", Addr: server.Socket, DB: o.Database})
		defer c.Close()
		for _, o.Hash = range []bool{true, false} {
			o.Addresses = []string{server.Address}
			s := openTestRedis(t, *o)
			half := dues(b)
			for i := range half {
				half[i].Newest = i%3 == 0
			}
			var all []map[string]string
			for _, dues := range [][]Due{dues(b), newestDues(b), half} {
				c.LPush(t.Context(), stringPrefix+b[0].Metric, "a list, which is none of ours")
				if err := s.Record(t.Context(), dues, now+3600); err != nil {
					t.Fatal(err)
				}
				all = append(all, contents(t, c))
			}
			if want := map[bool]int{true: 2, false: 1}[o.Hash] * len(b); len(all[0]) != want {
				t.Errorf("%+v: %d entries, want %d", o, len(all[0]), want)
			}
			if !maps.Equal(all[0], all[1]) || !maps.Equal(all[0], all[2]) {
				t.Errorf("%+v: plain entries are others than those of the script", o)
			}
		}
	}
}

// commands returns how often commands were called on the servers, and how often
// refused, since that was asked last.
func commands(t *testing.T, clients ...*redis.Client) (calls, refused map[string]int) {
	t.Helper()
	calls, refused = map[string]int{}, map[string]int{}
	line := regexp.MustCompile(`cmdstat_(\w+):calls=(\d+),.*rejected_calls=(\d+)`)
	for _, c := range clients {
		for _, found := range line.FindAllStringSubmatch(c.Info(t.Context(), "commandstats").Val(), -1) {
			n, _ := strconv.Atoi(found[2])
			calls[found[1]] += n
			n, _ = strconv.Atoi(found[3])
			refused[found[1]] += n
		}
		do(t, c, "CONFIG RESETSTAT")
	}
	calls["eval"] += calls["evalsha"]
	return calls, refused
}

// acceptAll has l accept b, piece by piece, so that a machine that is busy looks each up
// in time.
func acceptAll(t *testing.T, l *Ledger, b sdk.Batch) {
	t.Helper()
	for piece := range slices.Chunk(b, 50) {
		judge := l.Look(piece)
		for l.lookups.broken() {
			l.lookups.retry = time.Time{}
			judge()
			judge = l.Look(piece)
		}
		if _, settle := judge(); settle(nil) != nil {
			t.Error("nothing is accepted")
		}
	}
}

func TestRedisIsAskedToCompareWhereItMust(t *testing.T) {
	server, cluster := servers.Redis(t), servers.RedisCluster(t)
	single := []*redis.Client{operator(t, server)}
	var nodes []*redis.Client
	for _, node := range cluster.Nodes {
		nodes = append(nodes, operator(t, node))
	}
	one := []string{server.Address}
	for name, tt := range map[string]struct {
		o        RedisOptions
		shared   bool
		restored bool
		clients  []*redis.Client
		plain    bool
	}{
		"local":    {RedisOptions{Addresses: one, Hash: true}, false, false, single, true},
		"no hash":  {RedisOptions{Addresses: one}, false, false, single, true},
		"shared":   {RedisOptions{Addresses: one, Hash: true}, true, false, single, false},
		"restored": {RedisOptions{Addresses: one, Hash: true}, false, true, single, false},
		"expiring": {RedisOptions{Addresses: one, Hash: true, Expire: time.Hour}, false, false, single, false},
		"cluster":  {RedisOptions{Addresses: cluster.Addresses, Hash: true}, false, false, nodes, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTestRedis(t, tt.o)
			l := New(s, Options{MaxAhead: 1 << 40, Shared: tt.shared, Metrics: plenty}, prometheus.NewRegistry())
			b, metrics := many(2500, now)
			for i := range b {
				b[i].Metric = name + b[i].Metric
				metrics[i] = b[i].Metric
			}
			if tt.restored {
				l.Restore(b)
			} else {
				acceptAll(t, l, b)
			}
			commands(t, tt.clients...)
			collect(t, l)
			calls, _ := commands(t, tt.clients...)
			if tt.plain != (calls["eval"] == 0) || tt.plain != (calls["mset"] == 3) || tt.plain && tt.o.Hash != (calls["hset"] == 3) {
				t.Errorf("recording takes %v", calls)
			}
			same(t, newestAll(t, s, metrics), now, name)
		})
	}
}

func TestRedisThatRefusesMSet(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	server := servers.Redis(t, append([]string{"--user"}, documentedUser(t)...)...)
	c := operator(t, server)
	s := openTestRedis(t, RedisOptions{Addresses: []string{server.Address}, Username: "fluxgate", Password: "PASSWORD", Hash: true})
	record := func(timestamp int64, connections string) (calls, refused map[string]int) {
		t.Helper()
		if connections != "" {
			do(t, c, connections)
			eventually(t, func() error { _, err := s.Last(t.Context(), []string{"a"}); return err })
		}
		commands(t, c)
		b, metrics := many(500, timestamp)
		if err := s.Record(t.Context(), newestDues(b), now+60); err != nil {
			t.Fatal(err)
		}
		calls, refused = commands(t, c)
		same(t, newestAll(t, s, metrics), timestamp, "without a right")
		return calls, refused
	}
	for i, tried := range []int{1, 0} {
		if calls, refused := record(now+int64(i), ""); calls["set"] != 500 || calls["hset"] != 1 || refused["mset"] != tried {
			t.Errorf("flush %d: MSET is refused %d times, want %d; calls are %v", i, refused["mset"], tried, calls)
		}
	}
	if _, refused := record(now+2, "CLIENT KILL USER fluxgate"); refused["mset"] != 1 {
		t.Errorf("over a new connection MSET is refused %d times, want 1", refused["mset"])
	}
	if said := log.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "right=+mset") {
		t.Errorf("the log says %q, want one line that names the right", said)
	}
	do(t, c, "ACL SETUSER fluxgate +mset")
	if calls, _ := record(now+3, "CLIENT KILL USER fluxgate"); calls["mset"] != 1 || calls["set"] != 0 {
		t.Errorf("with the right calls are %v", calls)
	}
	do(t, c, "ACL SETUSER fluxgate resetkeys")
	b, _ := many(1, now+4)
	if err := s.Record(t.Context(), newestDues(b), now+60); err == nil || !strings.Contains(err.Error(), "give that user its rights: ACL SETUSER") {
		t.Errorf("without a right that is needed: %v", err)
	}
}

func TestAHashOfAnotherTypeIsAnError(t *testing.T) {
	s := openTestRedis(t, RedisOptions{Addresses: []string{servers.Redis(t).Address}, Hash: true})
	s.client.Set(t.Context(), hashEntry, "none of ours", 0)
	for name, dues := range map[string][]Due{"script": dues(points("a", now)), "plain": newestDues(points("a", now))} {
		if err := s.Record(t.Context(), dues, now); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Somebody else has recorded what is newer, and a lookup has told so.
func TestNothingOfOthersIsMovedBack(t *testing.T) {
	s := openTestRedis(t, RedisOptions{Addresses: []string{servers.Redis(t).Address}, Hash: true})
	l := New(s, Options{MaxAhead: time.Minute, Metrics: plenty}, prometheus.NewRegistry())
	l.now = func() time.Time { return time.Unix(now, 0) }
	s.client.Set(t.Context(), "flux.last.newer", listText(now+30, 5), 0)
	s.client.HSet(t.Context(), hashEntry, "newer", dictText(now+20, 5))
	s.client.Set(t.Context(), "flux.last.absurd", listText(now+90, 5), 0) // is replaced, but not the field
	s.client.HSet(t.Context(), hashEntry, "absurd", dictText(now+20, 5))
	var b sdk.Batch
	for _, metric := range []string{"newer", "absurd"} {
		b = append(b, points(metric, now)...)
	}
	fresh := accept(t, l, b)
	collect(t, l)
	if !slices.Equal(fresh, []int64{now}) {
		t.Errorf("fresh are %v, want what only an entry that is not believed is newer than", fresh)
	}
	if list, dict := text(t, s.client, "newer"); list != listText(now+30, 5) || dict != dictText(now+20, 5) {
		t.Errorf("entries that are newer are now %q and %q", list, dict)
	}
	if list, dict := text(t, s.client, "absurd"); list != listText(now, 0) || dict != dictText(now+20, 5) {
		t.Errorf("entries of which one is absurd, and the other newer, are now %q and %q", list, dict)
	}
}

// The network does not deliver later what was not sent when a connection was given up.
func TestAConnectionThatIsGivenUpSendsNothingMore(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	dial, err := RedisOptions{}.dialer()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := dial(t.Context(), "tcp", mute.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := mute.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if err := ours.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	sent, err := io.Copy(ours, neverEnding{})
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("writing to somebody who does not read ends with %v", err)
	}
	ours.Close()
	read, err := io.Copy(io.Discard, theirs)
	if !errors.Is(err, syscall.ECONNRESET) || read >= sent {
		t.Errorf("%d of %d bytes arrived, and then %v", read, sent, err)
	}
}

type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }
