package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Size is a number of bytes. It is written as a whole number, which may be
// followed by KiB, MiB, GiB or TiB; KB, MB and the like are refused, because
// they mean 1000 to some and 1024 to others.
type Size int64

// The units of a Size.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

type unit struct {
	name string
	size Size
}

// units returns the units of a Size, the greatest first.
func units() []unit {
	return []unit{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}
}

// ParseSize reads a Size as an operator writes it.
func ParseSize(text string) (Size, error) {
	number, scale := strings.TrimSpace(text), Size(1)
	for _, u := range units() {
		if digits, ok := strings.CutSuffix(number, u.name); ok {
			number, scale = strings.TrimSpace(digits), u.size
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: write whole bytes, or a whole number of KiB, MiB, GiB or TiB, such as 32MiB", text)
	}
	if n > uint64(math.MaxInt64/scale) {
		return 0, fmt.Errorf("%q is too large for a size: the most is 8388607TiB", text)
	}
	return Size(n) * scale, nil
}

// UnmarshalText is [ParseSize].
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// String returns s in the greatest unit that needs no fraction.
func (s Size) String() string {
	for _, u := range units() {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText is String for encoders.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
