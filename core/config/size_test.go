package config

import (
	"math"
	"strings"
	"testing"
)

func TestSize(t *testing.T) {
	for _, test := range []struct {
		text string
		want Size
		back string
	}{
		{"0", 0, "0"},
		{"1000", 1000, "1000"},
		{"1024", KiB, "1KiB"},
		{"512KiB", 512 * KiB, "512KiB"},
		{"1024KiB", MiB, "1MiB"},
		{"32MiB", 32 * MiB, "32MiB"},
		{" 32 MiB ", 32 * MiB, "32MiB"},
		{"1GiB", GiB, "1GiB"},
		{"1536MiB", 1536 * MiB, "1536MiB"},
		{"2TiB", 2 * TiB, "2TiB"},
		{"0GiB", 0, "0"},
		{"8388607TiB", 8388607 * TiB, "8388607TiB"},
		{"9223372036854775807", math.MaxInt64, "9223372036854775807"},
	} {
		got, err := ParseSize(test.text)
		if err != nil || got != test.want || got.String() != test.back {
			t.Errorf("ParseSize(%q) = %d (%s), %v; want %d (%s)", test.text, got, got, err, test.want, test.back)
		}
	}
}

func TestSizeRefused(t *testing.T) {
	for _, text := range []string{"", "MiB", "32MB", "32mb", "32M", "32mib", "1.5GiB", "-1", "+1", "1e6", "1_000", "0x10", "32MiBs", "32MiBMiB", "32 Mi B"} {
		if got, err := ParseSize(text); err == nil || !strings.Contains(err.Error(), "such as 32MiB") {
			t.Errorf("ParseSize(%q) = %d, %v; want a refusal with the remedy", text, got, err)
		}
	}
	for _, text := range []string{"8388608TiB", "9223372036854775808"} {
		if got, err := ParseSize(text); err == nil || !strings.Contains(err.Error(), "too large") {
			t.Errorf("ParseSize(%q) = %d, %v; want: too large", text, got, err)
		}
	}
}
