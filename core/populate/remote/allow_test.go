package remote

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"fluxgate/sdk"
)

func TestParseAllow(t *testing.T) {
	for _, text := range []string{
		"graphite.example.org", "Graphite.Example.ORG.", "g_1", "g:8080", "10.0.0.5", "10.0.0.5:80", "::1", "[::1]", "[::1]:80",
		"10.0.0.0/8", "10.1.2.3/8", "fd00::/8", "::ffff:10.0.0.0/104", "xn--mnchen-3ya.example", "::ffff:10.0.0.5",
	} {
		if _, err := ParseAllow([]string{text}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{
		"", ".", "*.example.org", "http://g", "g/render", "g:", "g:0", "g:65536", "g:x", "g:80:80", "münchen.example", "a..b", "a b", "u@g",
		"127.1", "2130706433", "0x7f000001", "0x7f.1", "1.2.3.4.5", "10.0.0.0/33", "10.0.0.0/8:80", "fe80::1%eth0", "[g]:x", ":80",
		strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a.b",
	} {
		if l, err := ParseAllow([]string{text}); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%q is taken for %+v, %v", text, l, err)
		}
	}
}

func allow(t *testing.T, hosts ...string) Allow {
	t.Helper()
	a, err := ParseAllow(hosts)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAllowedByName(t *testing.T) {
	c := &Client{allow: allow(t, "g.example.org", "p:9090", "10.0.0.5", "10.0.0.6:80", "127.0.0.1:8080", "[fd00::1]:80")}
	wide := &Client{allow: allow(t, "10.0.0.0/8", "fd00::/8")}
	tests := []struct {
		url          string
		listed, wide bool
	}{
		{"http://g.example.org/render/?target=a", true, true},
		{"https://G.Example.Org.:444/", true, true},
		{"http://g.example.org@evil/", false, false},
		{"http://evil/?g.example.org", false, true},
		{"http://evil#g.example.org", false, true},
		{"http://evil\\@g.example.org/", false, false},
		{"http://a.g.example.org/", false, true},
		{"http://xg.example.org/", false, true},
		{"http://p:9090/", true, true},
		{"http://p/", false, true},
		{"http://p:9091/", false, true},
		{"http://10.0.0.5/", true, true},
		{"http://10.0.0.5:81/", true, true},
		{"http://[::ffff:10.0.0.5]/", true, true},
		{"http://[::ffff:a00:5]/", true, true},
		{"http://10.0.0.6/", true, true},
		{"https://10.0.0.6/", false, true},
		{"http://11.0.0.5/", false, false},
		{"http://[fd00::1]/", true, true},
		{"http://[fd00:0:0::1]/", true, true},
		{"http://[fd00::2]/", false, true},
		{"http://127.0.0.1:8080/", true, false},
		{"http://127.0.0.1:8081/", false, false},
		{"http://0x7f000001:8080/", false, false},
		{"http://2130706433:8080/", false, false},
		{"http://127.1:8080/", false, false},
		{"http://0177.0.0.1:8080/", false, false},
		{"http://017700000001:8080/", false, false},
		{"http://127.0.0.1.:8080/", false, false},
		{"http://[::ffff:127.0.0.1]:8081/", false, false},
		{"http://[::1]:8080/", false, false},
		{"http://[fe80::1%25eth0]/", false, false},
		{"http://①②⑦.0.0.1:8080/", false, false},
		{"http://localhost:8080/", false, true},
		{"http://169.254.169.254/latest", false, false},
		{"http://user:geheim@g.example.org/", false, false},
		{"http://user@g.example.org/", false, false},
		{"http://g.example.org:0/", false, false},
		{"http://g.example.org:99999/", false, false},
		{"http://g.example.org:geheim/", false, false},
		{"http:///render", false, false},
		{"http:g.example.org", false, false},
		{"//g.example.org/", false, false},
		{"ftp://g.example.org/", false, false},
		{"file:///etc/passwd", false, false},
		{"gopher://g.example.org/", false, false},
		{"http://g.example.org/\r\nHost: evil", false, false},
		{"HTTP://g.example.org/", true, true},
		{"", false, false},
	}
	for _, test := range tests {
		for client, want := range map[*Client]bool{c: test.listed, wide: test.wide} {
			err := client.Allowed(test.url)
			if (err == nil) != want || err != nil && !errors.Is(err, sdk.ErrInvalid) {
				t.Errorf("%q of %+v: %v", test.url, client.allow, err)
			}
			if err != nil && strings.Contains(err.Error(), "geheim") {
				t.Errorf("%q: %v", test.url, err)
			}
		}
	}
}

func TestAllowedByTheKey(t *testing.T) {
	c := &Client{allow: allow(t, "a.test", "b.test")}
	narrow := allow(t, "a.test", "c.test")
	for host, want := range map[string]string{"a.test": "", "b.test": "key", "c.test": "populate.allow"} {
		err := c.Allowed("http://"+host+"/", nil, narrow)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), host)) {
			t.Errorf("%s: %v, want %q", host, err, want)
		}
	}
	if c.Allowed("http://a.test/", allow(t)) == nil {
		t.Error("an empty list of a key allows a host")
	}
}

func TestAllowedByAddress(t *testing.T) {
	tests := []struct {
		name, url, address string
		list               []string
		want               bool
	}{
		{"a name", "http://g/", "93.184.216.34", []string{"g"}, true},
		{"a name in a private network", "http://g/", "10.0.0.5", []string{"g"}, true},
		{"a name that leads to loopback", "http://g/", "127.0.0.1", []string{"g"}, false},
		{"a name that leads to loopback by IPv6", "http://g/", "::1", []string{"g"}, false},
		{"a name that leads to all of loopback", "http://g/", "127.8.9.10", []string{"g"}, false},
		{"a name that leads to metadata", "http://g/", "169.254.169.254", []string{"g"}, false},
		{"a name that leads to metadata by IPv6", "http://g/", "fd00:ec2::254", []string{"g"}, false},
		{"a name that leads to link-local", "http://g/", "fe80::1", []string{"g"}, false},
		{"a name that leads to nowhere", "http://g/", "0.0.0.0", []string{"g"}, false},
		{"a name that leads to this network", "http://g/", "0.1.2.3", []string{"g"}, false},
		{"a name that leads to nowhere by IPv6", "http://g/", "::", []string{"g"}, false},
		{"a name that leads to multicast", "http://g/", "224.0.0.1", []string{"g"}, false},
		{"a name that leads to broadcast", "http://g/", "255.255.255.255", []string{"g"}, false},
		{"loopback behind NAT64", "http://g/", "64:ff9b::7f00:1", []string{"g"}, false},
		{"loopback behind 6to4", "http://g/", "2002:7f00:1::", []string{"g"}, false},
		{"loopback in a compatible address", "http://g/", "::7f00:1", []string{"g"}, false},
		{"another behind NAT64", "http://g/", "64:ff9b::5db8:d822", []string{"g"}, true},
		{"loopback listed itself", "http://g/", "127.0.0.1", []string{"g", "127.0.0.1"}, true},
		{"loopback listed with the port", "http://g:80/", "127.0.0.1", []string{"g", "127.0.0.1:80"}, true},
		{"loopback listed with another port", "http://g/", "127.0.0.1", []string{"g", "127.0.0.1:81"}, false},
		{"loopback in a network", "http://g/", "127.0.0.1", []string{"g", "127.0.0.0/8"}, true},
		{"an unlisted name in a network", "http://x/", "10.0.0.5", []string{"10.0.0.0/8"}, true},
		{"an unlisted name out of the network", "http://x/", "11.0.0.5", []string{"10.0.0.0/8"}, false},
		{"an unlisted name beside a listed one", "http://x/", "93.184.216.34", []string{"g", "10.0.0.0/8"}, false},
		{"an unlisted name at a listed address", "http://x/", "10.0.0.5", []string{"10.0.0.5", "10.9.0.0/16"}, false},
		{"a listed name with another port", "http://g:81/", "93.184.216.34", []string{"g:80", "10.0.0.0/8"}, false},
		{"an address", "http://127.0.0.1/", "127.0.0.1", []string{"127.0.0.1"}, true},
		{"an address by another", "http://10.0.0.5/", "127.0.0.1", []string{"10.0.0.5"}, false},
		{"nothing listed", "http://g/", "93.184.216.34", nil, false},
	}
	for _, test := range tests {
		p, err := locate(test.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := allow(t, test.list...).reaches(p, netip.MustParseAddr(test.address)); got != test.want {
			t.Errorf("%s: %s at %s with %q: %v", test.name, test.url, test.address, test.list, got)
		}
	}
}

// What is allowed is one of the listed hosts, as its text stands.
func FuzzAllowed(f *testing.F) {
	for _, url := range []string{"http://g.example.org/", "http://127.0.0.1:8080/x", "http://[::ffff:127.0.0.1]:8080/", "http://evil\\@g.example.org/", "http://g.example.org.:80"} {
		f.Add(url)
	}
	c := &Client{allow: Allow{{name: "g.example.org"}, {address: netip.MustParseAddr("127.0.0.1"), port: 8080}}}
	f.Fuzz(func(t *testing.T, raw string) {
		if c.Allowed(raw) != nil {
			return
		}
		p, err := locate(raw)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.ToLower(strings.TrimSuffix(p.url.Hostname(), "."))
		if name != "g.example.org" && (name != "127.0.0.1" || p.url.Port() != "8080") || p.url.User != nil {
			t.Errorf("%q leads to %q", raw, p.url)
		}
		again, err := locate(p.url.String())
		if err != nil || again.hostPort() != p.hostPort() {
			t.Errorf("%q leads to %q, and that to %q, %v", raw, p.hostPort(), again.hostPort(), err)
		}
	})
}
