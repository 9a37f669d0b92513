package main

import (
	"os/exec"
	"testing"
)

func TestARemedyMeansTheSameServer(t *testing.T) {
	for want, args := range map[string][]string{
		"fluxgate dead list":                                      nil,
		"fluxgate dead list --config a.yaml --data 'b c'":         {"--data", "b c", "--config", "a.yaml"},
		"fluxgate dead list --data d --admin 1.2.3.4:56":          {"--admin", "1.2.3.4:56", "--listen", "1.2.3.4:57", "--data", "d"},
		"fluxgate dead list --config 'it'\\''s.yaml' --data /a/b": {"--config", "it's.yaml", "--data", "/a/b"},
	} {
		root, o := rootCommand(), &options{}
		root.ResetFlags()
		o.addTo(root)
		if err := root.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		c, _ := o.load() // the files do not exist
		if got := c.Command("dead list"); got != want {
			t.Errorf("after %q one is to type %s, want %s", args, got, want)
		}
	}
}

func TestShellWord(t *testing.T) {
	for _, text := range []string{"", "a b", "it's", `"$HOME" \ ~ * # ;`, "/plain/path-1.yaml", "ü", "-", "a\nb"} {
		out, err := exec.Command("/bin/sh", "-c", "printf %s "+shellWord(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q becomes %s, which a shell reads as %q, %v", text, shellWord(text), out, err)
		}
	}
}
