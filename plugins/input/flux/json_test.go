package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestMembers(t *testing.T) {
	for _, c := range []struct {
		name, object string
		want         []string // name, value, name, value
	}{
		{"none", `{}`, nil},
		{"none, with white space", "{ \n\t\r }", nil},
		{"each kind of value", `{"a":1,"b":"x","c":null,"d":true,"e":[1,2],"f":{"g":3}}`,
			[]string{"a", "1", "b", `"x"`, "c", "null", "d", "true", "e", "[1,2]", "f", `{"g":3}`}},
		{"white space everywhere", "{ \"a\" \n:\t1\r,\n\"b\" : [ 1 , 2 ] }", []string{"a", "1", "b", "[ 1 , 2 ]"}},
		{"equal names, in order", `{"a":1,"a":2}`, []string{"a", "1", "a", "2"}},
		{"empty name", `{"":1}`, []string{"", "1"}},
		{"escapes in a name", `{"\u006bey\n":1}`, []string{"key\n", "1"}},
		{"escapes in a value stay", `{"a":"\"\\"}`, []string{"a", `"\"\\"`}},
		{"marks inside texts", `{"a":"},]","b":["]\"",{"c":"}"}]}`, []string{"a", `"},]"`, "b", `["]\"",{"c":"}"}]`}},
		{"what follows is not looked at", `{"a":1} {"b":2}`, []string{"a", "1"}},
	} {
		var got []string
		m := membersOf(c.object)
		for m.next() {
			got = append(got, m.name, m.value)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if m.next() {
			t.Errorf("%s: there is another member behind the last", c.name)
		}
	}
}

func TestElements(t *testing.T) {
	for _, c := range []struct {
		name, list string
		want       []string
	}{
		{"none", `[]`, nil},
		{"none, with white space", "[ \n ]", nil},
		{"one", `[1]`, []string{"1"}},
		{"each kind of value", ` [-1.5e3, "a", null , [ [ ] ], {"b": "]"}]`[1:],
			[]string{"-1.5e3", `"a"`, "null", "[ [ ] ]", `{"b": "]"}`}},
	} {
		var got []string
		for e := elementsOf(c.list); e.next(); {
			got = append(got, e.value)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestUnquote(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", `""`, ""},
		{"as it is", `"a.b é"`, "a.b é"},
		{"escapes", `"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"},
		{"a character by its number", `"\u00e9"`, "é"},
		{"a pair of surrogates", `"\ud83d\ude00"`, "😀"},
		{"half a pair is no character", `"\ud800"`, "\uFFFD"},
	} {
		if got := unquote(c.text); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// sameAsStandard compares a walk through a value, and through what lies in it
// down to some depth, with encoding/json.
func sameAsStandard(t *testing.T, value string, depth int) {
	if depth == 0 {
		return
	}
	switch value[0] {
	case '{':
		want := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(value), &want); err != nil {
			t.Fatal(err)
		}
		got := map[string]json.RawMessage{}
		for m := membersOf(value); m.next(); {
			got[m.name] = json.RawMessage(m.value)
			sameAsStandard(t, m.value, depth-1)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("members of %q: got %q, want %q", value, got, want)
		}
	case '[':
		want := []json.RawMessage{}
		if err := json.Unmarshal([]byte(value), &want); err != nil {
			t.Fatal(err)
		}
		got := []json.RawMessage{}
		for e := elementsOf(value); e.next(); {
			got = append(got, json.RawMessage(e.value))
			sameAsStandard(t, e.value, depth-1)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("elements of %q: got %q, want %q", value, got, want)
		}
	case '"':
		var want string
		if err := json.Unmarshal([]byte(value), &want); err != nil {
			t.Fatal(err)
		}
		if got := unquote(value); got != want {
			t.Errorf("text of %q: got %q, want %q", value, got, want)
		}
	}
}

func TestWalkIsThatOfTheStandardLibrary(t *testing.T) {
	sameAsStandard(t, `{"a": [1, {"b": ["x\\", "\"", {}]}, []], "a": {"c" : -0.5e-7 }, "d": "\u00e9,}"}`, 10)
}

func TestDeepValuesAreNoRecursion(t *testing.T) {
	deep := strings.Repeat("[", 5_000_000) + strings.Repeat("]", 5_000_000)
	if n := length(deep + ","); n != len(deep) {
		t.Errorf("length is %d, want %d", n, len(deep))
	}
}
