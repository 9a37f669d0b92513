package flow

import (
	"strings"
	"testing"
)

func TestCanonical(t *testing.T) {
	long := strings.Repeat("x", 251)
	tests := []struct{ about, name, prefix, want, err string }{
		{"as it is", "a.b-c_d/e=f:g%h+i.9", "", "a.b-c_d/e=f:g%h+i.9", ""},
		{"replacements", " 'x'*", "", "__x__", ""},
		{"dots in a row", "a..b...c", "", "a.b.c", ""},
		{"dots at the ends", "..a.b..", "", "a.b", ""},
		{"a blank between dots stays an element", "a. .b", "", "a._.b", ""},
		{"empty", "", "", "", "empty name"},
		{"only dots", "...", "", "", "empty name"},
		{"only dots, with a prefix", "..", "acme", "", "empty name"},
		{"prefix", "m", "acme", "acme.m", ""},
		{"prefix is there", "acme.m", "acme", "acme.m", ""},
		{"name is the prefix", "acme", "acme", "acme", ""},
		{"name only begins like the prefix", "acmexyz.m", "acme", "acme.acmexyz.m", ""},
		{"prefix of two elements", "beta.m", "beta.prod", "beta.prod.beta.m", ""},
		{"prefix behind dots", "..acme..m", "acme", "acme.m", ""},
		{"semicolon", "a;b", "", "", "invalid characters in name"},
		{"new line", "a\nb", "", "", "invalid characters in name"},
		{"not ASCII", "a.é", "", "", "invalid characters in name"},
		{"not UTF-8", "a.\xff", "", "", "invalid characters in name"},
		{"NUL", "a\x00", "", "", "invalid characters in name"},
		{"longest last element", "a." + long, "", "a." + long, ""},
		{"last element too long", "a." + long + "x", "", "", "longer than 255 characters"},
		{"longest inner element", long + "xxxx.a", "", long + "xxxx.a", ""},
		{"inner element too long", long + "xxxxx.a", "", "", "longer than 255 characters"},
		{"longest name", strings.Repeat("abcdefghi.", 406) + "ab", "", strings.Repeat("abcdefghi.", 406) + "ab", ""},
		{"name too long", strings.Repeat("abcdefghi.", 406) + "abc", "", "", "name too long"},
		{"too long with its prefix", strings.Repeat("abcdefghi.", 406) + "ab", "p", "", "name too long"},
	}
	for _, tt := range tests {
		got, err := Canonical(tt.name, tt.prefix)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != tt.want || text != tt.err {
			t.Errorf("%s: got %q, %q; want %q, %q", tt.about, got, text, tt.want, tt.err)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add("a..b c", "acme")
	f.Add("acme.", "acme")
	f.Add("...", "")
	f.Fuzz(func(t *testing.T, name, prefix string) {
		prefix, err := Canonical(prefix, "")
		if err != nil {
			return
		}
		got, err := Canonical(name, prefix)
		if err != nil {
			return
		}
		if got != prefix && !strings.HasPrefix(got, prefix+".") {
			t.Errorf("Canonical(%q, %q) = %q left its prefix", name, prefix, got)
		}
		if again, err := Canonical(got, prefix); err != nil || again != got {
			t.Errorf("Canonical(%q, %q) = %q, and of that %q, %v", name, prefix, got, again, err)
		}
	})
}

func TestKeys(t *testing.T) {
	var keys Keys
	for _, k := range []struct{ key, prefix string }{
		{"plain", "a"},
		{"sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b", "b"}, // of "secret"
		{"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "c"}, // of ""
	} {
		if err := keys.Add(k.key, Grant{Prefix: k.prefix}); err != nil {
			t.Fatal(err)
		}
	}
	for key, want := range map[string]string{"plain": "a", "secret": "b"} {
		if grant, err := keys.Admit(key); grant.Prefix != want || err != nil {
			t.Errorf("key %q: prefix %q, %v", key, grant.Prefix, err)
		}
	}
	for _, key := range []string{"", "Plain", "plain ", "plai", "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"} {
		if _, err := keys.Admit(key); err != ErrKey {
			t.Errorf("key %q: %v, want ErrKey", key, err)
		}
	}
	if err := keys.Add("sha256:12", Grant{}); err == nil {
		t.Error("a digest of one byte was admitted")
	}
}
