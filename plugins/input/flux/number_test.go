package main

import (
	"math"
	"regexp"
	"strconv"
	"testing"
)

func TestParseTimestamp(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       int64
		reason     string
	}{
		{"plain", "1478021700", 1478021700, ""},
		{"plus sign", "+1478021700", 1478021700, ""},
		{"minus sign", "-1478021700", -1478021700, ""},
		{"zero", "0", 0, ""},
		{"few digits are the host's to judge", "123", 123, ""},
		{"milliseconds are the host's to judge", "1478021700000", 1478021700000, ""},
		{"leading zeros count for nothing", "00000000000000000000001478021700", 1478021700, ""},
		{"every white space around", " \t\n\r\v\f1478021700\f\v\r\n\t ", 1478021700, ""},
		{"largest int64", "9223372036854775807", math.MaxInt64, ""},
		{"smallest int64", "-9223372036854775808", math.MinInt64, ""},
		{"above int64", "9223372036854775808", 0, notCurrent},
		{"below int64", "-9223372036854775809", 0, notCurrent},
		{"far above int64", "99999999999999999999999999999999999999999", 0, notCurrent},
		{"nothing", "", 0, notAnInt},
		{"white space alone", "  ", 0, notAnInt},
		{"sign alone", "+", 0, notAnInt},
		{"two signs", "+-1", 0, notAnInt},
		{"blank behind the sign", "+ 1", 0, notAnInt},
		{"blank inside", "1 478021700", 0, notAnInt},
		{"fraction", "1478021700.0", 0, notAnInt},
		{"exponent", "1e9", 0, notAnInt},
		{"underscores", "1_478_021_700", 0, notAnInt},
		{"hexadecimal", "0x10", 0, notAnInt},
		{"digits of another script", "١٤٧٨٠٢١٧٠٠", 0, notAnInt},
		{"fullwidth digits", "１", 0, notAnInt},
		{"no-break space around", "\u00a01478021700", 0, notAnInt},
		{"NUL behind", "1478021700\x00", 0, notAnInt},
		{"word", "abc", 0, notAnInt},
		{"list", "[1]", 0, notAnInt},
	} {
		if got, reason := parseTimestamp(c.text); got != c.want || reason != c.reason {
			t.Errorf("%s: parseTimestamp(%q) = %d, %q, want %d, %q", c.name, c.text, got, reason, c.want, c.reason)
		}
	}
}

func TestParseValue(t *testing.T) {
	negativeZero := math.Copysign(0, -1)
	for _, c := range []struct {
		name, text string
		want       float64
	}{
		{"integer", "3", 3},
		{"fraction", "2.5", 2.5},
		{"no digit before the point", ".5", 0.5},
		{"no digit behind the point", "5.", 5},
		{"exponent", "1e3", 1000},
		{"exponent in capitals, with plus", "1E+3", 1000},
		{"exponent with minus", "1e-7", 1e-7},
		{"exponent behind a bare point", "5.e2", 500},
		{"plus sign", "+7", 7},
		{"minus sign", "-7.25", -7.25},
		{"zero", "0", 0},
		{"minus zero stays", "-0.0", negativeZero},
		{"leading zeros", "007", 7},
		{"every white space around", " \t\n\r\v\f1.5\f\v\r\n\t ", 1.5},
		{"thirty digits", "123456789012345678901234567890", 1.2345678901234568e+29},
		{"nearest", "123456789.123456789", 123456789.12345679},
		{"one bit more than a float64 has", "900719925474099.5", 900719925474099.5},
		{"full precision", "0.30000000000000004", 0.30000000000000004},
		{"largest", "1.7976931348623157e308", math.MaxFloat64},
		{"rounds down to the largest", "1.7976931348623158e308", math.MaxFloat64},
		{"smallest", "5e-324", 5e-324},
		{"too small is zero", "1e-400", 0},
		{"too small and negative is minus zero", "-1e-400", negativeZero},
		{"zero with a huge exponent", "0e999999999999999999999", 0},
	} {
		got, ok := parseValue(c.text)
		if !ok || math.Float64bits(got) != math.Float64bits(c.want) {
			t.Errorf("%s: parseValue(%q) = %v, %v, want %v", c.name, c.text, got, ok, c.want)
		}
	}
}

func TestParseValueRefuses(t *testing.T) {
	for _, text := range []string{
		"", " ", "+", "-", ".", "+.", "e5", ".e5", "1e", "1e+", "1e1.5", "1.2.3", "--1", "+-1", "- 1", "1 2",
		"nan", "NaN", "inf", "+Inf", "-Infinity", "infinity", "1_000", "0x10", "0x1p3", "1p3", "0b1", "1,5", "1.5f",
		"true", "None", "abc", "[1]", "['1', '2']", "١٢", "1\u00a0", "1\x00",
		"1e400", "-1e400", "1.7976931348623159e308", "1e99999999999999999999",
	} {
		if got, ok := parseValue(text); ok || got != 0 {
			t.Errorf("parseValue(%q) = %v, %v, want it refused", text, got, ok)
		}
	}
}

func TestDecimal(t *testing.T) {
	for text, want := range map[string]bool{
		"1": true, "-1.": true, "+.5e-3": true,
		"": false, ".": false, "-.": false, ".e5": false, "e5": false, "0x1": false, "1e": false, "1_0": false, "inf": false,
	} {
		if _, n, _ := readDecimal(text); (n > 0 && n == len(text)) != want {
			t.Errorf("readDecimal(%q) reads %d bytes", text, n)
		}
	}
}

var (
	integerForm = regexp.MustCompile(`^[+-]?[0-9]+`)
	decimalForm = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?`)
	plainForm   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
)

func FuzzNumber(f *testing.F) {
	for _, text := range []string{
		"4567.775", "-0.0", "0.30000000000000004", "9007199254740991", "9007199254740992", "9007199254740993", "900719925474099.5",
		"1234567890123456789", "12345678901234567890", "18446744073709551617", "0.0000000000000000001", "1e-7", "1e23", "5.e3", ".5", "+7",
		"007", "00.5", "-.5", "1.", "1.7976931348623159e308", "5e-324", "1e", "1.e+", "1478021700,", "-999999999999999999", "9223372036854775808",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value, length, plain := readDecimal(text)
		form := decimalForm.FindString(text)
		want, err := strconv.ParseFloat(form, 64)
		switch {
		case err != nil && (value != 0 || length != 0 || plain):
			t.Errorf("%q: read %v of %d bytes, want none", text, value, length)
		case err == nil && (math.Float64bits(value) != math.Float64bits(want) || length != len(form)):
			t.Errorf("%q: read %v of %d bytes, want %v of %q", text, value, length, want, form)
		case err == nil && plain != plainForm.MatchString(form):
			t.Errorf("%q: plain is %v", text, plain)
		}
		integer, length, fits := readInteger(text)
		form = integerForm.FindString(text)
		wantInteger, err := strconv.ParseInt(form, 10, 64)
		if length != len(form) || fits != (err == nil) || fits && integer != wantInteger {
			t.Errorf("%q: read integer %d of %d bytes, %v; want %d of %q, %v", text, integer, length, fits, wantInteger, form, err)
		}
	})
}
