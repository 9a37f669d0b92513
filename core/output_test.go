package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestTextOfOthersIsLegible(t *testing.T) {
	var out strings.Builder
	n, err := fmt.Fprint(legible{&out}, "a\x1b[31m\tb\x07\u009b2J\nü\r\x7f")
	if want := "a[31m\tb2J\nü"; out.String() != want || err != nil || n != len("a\x1b[31m\tb\x07\u009b2J\nü\r\x7f") {
		t.Errorf("printed %q, %d, %v; want %q", out.String(), n, err, want)
	}
}
