package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	maxPrefix = 200     // characters: a metric needs room behind it
	maxBody   = 1 * GiB // larger requests would not pass through a plugin

	// A journal has several segments, each larger than a record.
	minJournal = 16 * MiB

	// journalShare is how much larger than one request the journal must be, so that
	// every request fits, with longer metrics and some room for others.
	journalShare = 16

	// digestMark begins a key of which only the sha256 is given.
	digestMark = "sha256:"
)

// check notes what is wrong with a complete configuration.
func (f *faults) check(c Config) {
	f.checkListeners(c.Listen, c.Admin)
	if strings.TrimSpace(c.Data) == "" {
		f.add("data", "is empty: name a folder, such as ./data")
	}
	f.checkAck("ack", c.Ack)
	f.checkKeys(c.Keys)
	f.checkKeyHosts(c)
	f.checkRedis(c.Redis)
	f.checkLedger(c.Ledger, c.Redis)
	f.checkSpan("validate.max_age", c.Validate.MaxAge)
	f.checkSpan("validate.max_ahead", c.Validate.MaxAhead)
	f.checkLimits(c.Limits)
	f.checkFolders(c.Plugins)
	f.checkInputs(c.Inputs)
	f.checkSinks(c.Sinks)
	f.checkResamplers(c.Resamplers)
	f.checkPopulate(c)
	f.checkRuntime(c.Runtime)
}

func (f *faults) checkRuntime(r Runtime) {
	if r.GOMAXPROCS < 0 || r.GOMAXPROCS > 1024 {
		f.add("runtime.gomaxprocs", "%d is out of range: give at most 1024, or 0 for as many as there are processors", r.GOMAXPROCS)
	}
	if r.GOGC != 0 && (r.GOGC < 10 || r.GOGC > 10_000) {
		f.add("runtime.gogc", "%d is out of range: give a percentage from 10 to 10000, or 0 for what is best as a rule", r.GOGC)
	}
}

func (f *faults) checkAck(setting, ack string) {
	if ack != AckDurable && ack != AckDelivered {
		f.add(setting, "%q is no acknowledgement: write %s or %s", ack, AckDurable, AckDelivered)
	}
}

// checkKeys never prints a key: it may be right in all but one letter.
func (f *faults) checkKeys(keys []Key) {
	seen := make(map[string]int, len(keys))
	for i, k := range keys {
		setting := fmt.Sprintf("keys[%d]", i)
		if wrong := misprefixed(k.Prefix); wrong != "" {
			f.add(setting+".prefix", "%q %s", k.Prefix, wrong)
		}
		if k.Ack != "" {
			f.checkAck(setting+".ack", k.Ack)
		}
		digest, wrong := digestOf(string(k.Key))
		if wrong != "" {
			f.add(setting+".key", "%s", wrong)
			continue
		}
		if other, ok := seen[digest]; ok {
			f.add(setting+".key", "is the key of keys[%d] again: remove one of them", other)
			continue
		}
		seen[digest] = i
	}
}

// digestOf returns what tells a key from others, or what is wrong with it.
func digestOf(key string) (digest, wrong string) {
	if strings.TrimSpace(key) == "" {
		return "", "is empty: give a key, or remove the item"
	}
	digits, marked := strings.CutPrefix(key, digestMark)
	if !marked {
		sum := sha256.Sum256([]byte(key))
		return hex.EncodeToString(sum[:]), ""
	}
	if !isDigest(digits) {
		return "", "begins with sha256: and must go on with 64 hexadecimal digits: take them from printf %s KEY | sha256sum"
	}
	return strings.ToLower(digits), ""
}

func isDigest(digits string) bool {
	sum, err := hex.DecodeString(digits)
	return err == nil && len(sum) == sha256.Size
}

// misprefixed says why prefix is not one that metrics can have, in the form in
// which they are stored.
func misprefixed(prefix string) string {
	switch {
	case len(prefix) > maxPrefix:
		return fmt.Sprintf("is longer than %d characters: shorten it", maxPrefix)
	case !regexp.MustCompile(`^[A-Za-z0-9+%._/=:-]*$`).MatchString(prefix):
		return "has a character that metrics cannot have: use letters, digits and + - % . _ / = :"
	case strings.HasPrefix(prefix, "."), strings.HasSuffix(prefix, "."), strings.Contains(prefix, ".."):
		return "has a dot too many: put single dots, and only between elements"
	}
	return ""
}

func (f *faults) checkSpan(setting string, d time.Duration) {
	if d <= 0 || d%time.Second != 0 {
		f.add(setting, "%v is not a number of whole seconds above zero: write it like 60s or 1h", d)
	}
}

func (f *faults) checkLimits(l Limits) {
	if l.Body <= 0 || l.Body > maxBody {
		f.add("limits.body", "%v is out of range: give at least 1 byte and at most %v", l.Body, maxBody)
	}
	if l.Inflight < l.Body || l.Inflight <= 0 {
		f.add("limits.inflight", "%v is less than one request may have: give at least limits.body, which is %v", l.Inflight, l.Body)
	}
	if least := max(minJournal, journalShare*l.Body); l.Body <= maxBody && l.Journal < least {
		f.add("limits.journal", "%v is too small: give at least %v and %d times limits.body, which makes %v", l.Journal, Size(minJournal), journalShare, least)
	}
	if l.Backfill < 0 {
		f.add("limits.backfill", "%d is negative: give the most datapoints of history in a second, or 0 for as many as a sink takes", l.Backfill)
	}
}

func (f *faults) checkFolders(folders []string) {
	if len(folders) == 0 {
		f.add("plugins", "names no folder: name one, or leave the setting out for the default")
	}
	for i, folder := range folders {
		if strings.TrimSpace(folder) == "" {
			f.add(fmt.Sprintf("plugins[%d]", i), "is empty: name a folder or remove it")
		}
	}
}

func (f *faults) checkInputs(inputs map[string]Input) {
	if len(inputs) == 0 {
		f.add("inputs", "names no input: name one, or leave the section out for the default")
	}
	seen := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		setting, in := "inputs."+name, inputs[name]
		f.checkPlugin(setting, name, in.Plugin, in.Checksum)
		if len(in.Routes) == 0 {
			f.add(setting+".routes", "names no route: name one, such as POST /metrics")
		}
		for i, route := range in.Routes {
			at := fmt.Sprintf("%s.routes[%d]", setting, i)
			if wrong := misrouted(route); wrong != "" {
				f.add(at, "%q %s", route, wrong)
			}
			if other, ok := seen[route]; ok {
				f.add(at, "%q is served by %s already: remove one of them", route, other)
				continue
			}
			seen[route] = at
		}
	}
}

func (f *faults) checkSinks(sinks map[string]Sink) {
	if len(sinks) == 0 {
		f.add("sinks", "names no sink: name one, or leave the section out for the default")
	}
	for _, name := range slices.Sorted(maps.Keys(sinks)) {
		f.checkPlugin("sinks."+name, name, sinks[name].Plugin, sinks[name].Checksum)
		if rate := sinks[name].Rate; rate < 0 {
			f.add("sinks."+name+".rate", "%d is negative: give the most datapoints in a second, or 0 for as many as it takes", rate)
		}
	}
}

func (f *faults) checkPlugin(setting, name, program, checksum string) {
	if !regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString(name) {
		f.add(setting, "the name %q has another character than letters, digits, - and _: rename it", name)
	}
	if strings.TrimSpace(program) == "" {
		f.add(setting+".plugin", "is empty: name a program of a folder in plugins, or give its path")
	}
	if checksum != "" && !isDigest(checksum) {
		f.add(setting+".checksum", "%q is not a sha256: give the 64 hexadecimal digits that sha256sum prints", checksum)
	}
}
