package ledger

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Check reports whether Redis can be used: on every node that is asked for
// entries it looks for each right that the ledger needs, and whether it may
// write. It changes nothing.
func (r *Redis) Check(ctx context.Context) error {
	err := r.checkNodes(ctx)
	if errors.Is(err, io.EOF) && !r.o.TLS {
		return fmt.Errorf("redis: %w: does Redis expect TLS there? Then set redis.tls.enabled to true", err)
	}
	if err != nil {
		return r.trouble(err)
	}
	// No metric has an empty name, so this entry never exists and is not made.
	if err := r.client.SetXX(ctx, stringPrefix, "", 0).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return r.trouble(err)
	}
	_, err = r.Last(ctx, []string{""})
	return err
}

func (r *Redis) checkNodes(ctx context.Context) error {
	if c, ok := r.client.(*redis.ClusterClient); ok {
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return r.missing(ctx, node) })
	}
	if err := r.missing(ctx, r.client); err != nil {
		return err
	}
	// A node of a cluster does not take entries together that have other slots.
	return r.client.Eval(ctx, "return 0", []string{hashEntry, stringPrefix}).Err()
}

// A refusal is rights that the user lacks.
type refusal struct{ lacks []string }

func (e refusal) Error() string { return "the user may not " + strings.Join(e.lacks, ", ") }

// findMissing returns those lines of ARGV, each a command with its first
// arguments, that the user may not give. Before Redis 7.0 it cannot tell. The
// lines are one argument: of somebody who has given no password Redis takes ten.
const findMissing = `
local missing = {}
for line in string.gmatch(redis.acl_check_cmd and ARGV[1] or '', '[^\n]+') do
  local words = {}
  for word in string.gmatch(line, '%S+') do
    words[#words + 1] = word
  end
  if not redis.acl_check_cmd(unpack(words)) then
    missing[#missing + 1] = line
  end
end
return missing
`

// missing asks one node for the rights that the ledger lacks there.
func (r *Redis) missing(ctx context.Context, node redis.Scripter) error {
	needed := []string{
		"get " + stringPrefix + "*", "set " + stringPrefix + "* x", "set flux.listen x", "set " + BeatWorker + " x",
		"get " + leasePrefix + "*", "set " + leasePrefix + "* x", "pexpire " + leasePrefix + "* 0",
		"sadd " + vistaTargets + " x", "set " + vistaResolution + "* x", "evalsha x 0",
	}
	if r.o.Hash {
		needed = append(needed, "hmget "+hashEntry+" x", "hget "+hashEntry+" x", "hset "+hashEntry+" x x")
	}
	if r.cluster {
		needed = append(needed, "cluster slots", "asking")
	}
	if r.o.Database > 0 {
		needed = append(needed, "select 0")
	}
	lacks, err := node.Eval(ctx, findMissing, nil, strings.Join(needed, "\n")).StringSlice()
	if err != nil {
		return err
	}
	for i, line := range lacks {
		lacks[i] = strings.TrimRight(line, " x0")
	}
	if len(lacks) > 0 {
		return refusal{lacks}
	}
	return nil
}

// refused returns err as trouble, with the rights that the user lacks if it is
// about those.
func (r *Redis) refused(ctx context.Context, err error) error {
	if isRefusal(err) && !r.cluster {
		if lacks, ok := errors.AsType[refusal](r.missing(ctx, r.client)); ok {
			err = fmt.Errorf("%w: %w", err, lacks)
		}
	}
	return r.trouble(err)
}

// isRefusal reports whether err is about rights. Redis 7.0 says it in another
// way when a script meets it.
func isRefusal(err error) bool {
	_, ok := errors.AsType[refusal](err)
	return ok || redis.HasErrorPrefix(err, "NOPERM") || err != nil && strings.Contains(err.Error(), "executing the script can't")
}

// trouble returns err with its remedy. The nodes of a cluster are looked for
// anew after one that did not answer: another may have its entries by now.
func (r *Redis) trouble(err error) error {
	if err == nil {
		return nil
	}
	if c, ok := r.client.(*redis.ClusterClient); ok && !isReply(err) {
		c.ReloadState(context.Background())
	}
	if remedy := r.remedy(err); remedy != "" {
		return fmt.Errorf("redis: %w: %s", err, remedy)
	}
	return fmt.Errorf("redis: %w", err)
}

// remedy says what to do about err, or nothing where the words of Redis say it.
func (r *Redis) remedy(err error) string {
	if remedy := remedyTLS(err); remedy != "" {
		return remedy
	}
	says := func(prefix string) bool { return redis.HasErrorPrefix(err, prefix) }
	dialed, isNet := errors.AsType[*net.OpError](err)
	switch {
	case isRefusal(err):
		return "give that user its rights: " + r.grant()
	case says("WRONGPASS"), says("NOAUTH"), strings.Contains(err.Error(), "invalid username-password pair"):
		return "are redis.username and redis.password right?"
	case !r.cluster && (says("MOVED") || says("CROSSSLOT")):
		return "this is a node of a cluster: list two or more of its nodes in redis.address"
	case strings.Contains(err.Error(), "cluster support disabled"):
		return "this is no cluster: give redis.address one address alone"
	case isNet && dialed.Op == "dial":
		return "is Redis running there?"
	}
	return ""
}

func remedyTLS(err error) string {
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	handshake, shaking := errors.AsType[handshakeError](err)
	switch {
	case unknown:
		return "name in redis.tls.ca the file of the CA that signed Redis's certificate"
	case host:
		return "give redis.address the name or address that stands in Redis's certificate"
	case plain:
		return "Redis does not speak TLS there: give redis.address its tls-port, or set redis.tls.enabled to false"
	case strings.Contains(err.Error(), "certificate required"):
		return "Redis wants a certificate of us, which it does not get: set tls-auth-clients no there"
	case strings.Contains(err.Error(), "protocol version not supported"):
		return "allow TLS 1.2 or newer in Redis's tls-protocols"
	case shaking && errors.Is(handshake, context.DeadlineExceeded):
		return "nobody answers to TLS: give redis.address Redis's tls-port, or set redis.tls.enabled to false, if it is not just slow"
	}
	return ""
}

// grant returns the command that gives the user all that the ledger needs.
func (r *Redis) grant() string {
	user := r.o.Username
	if user == "" {
		user = "default"
	}
	line := "ACL SETUSER " + user + " ~" + stringPrefix + "* ~flux.listen ~" + BeatWorker +
		" ~" + leasePrefix + "* ~" + vistaTargets + " ~" + vistaResolution + "* +eval +evalsha +get +set +pexpire +sadd"
	if r.o.Hash {
		line += " +hget +hmget +hset"
	}
	if r.cluster {
		line += " +cluster|slots +asking"
	}
	if r.o.Database > 0 {
		line += " +select"
	}
	return line
}
