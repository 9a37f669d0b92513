package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	yamlv3 "go.yaml.in/yaml/v3"
)

// A document parses a file of settings. It refuses what YAML would read in
// another way than the operator meant: a tag, an anchor without a value and an
// unknown alias are most often a password without quotes.
type document struct{ yaml.YAML }

// Unmarshal returns nil for an empty document. Errors are of one line and name
// the line of the file.
func (d *document) Unmarshal(text []byte) (map[string]any, error) {
	lines := yamlv3.NewDecoder(bytes.NewReader(text))
	var first, second yamlv3.Node
	if err := lines.Decode(&first); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, malformed(text, err)
	}
	if err := lines.Decode(&second); err == nil {
		return nil, fmt.Errorf("line %d: a second document begins: remove it, or the --- before it", second.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, malformed(text, err)
	}
	root := first.Content[0]
	if root.ShortTag() == "!!null" {
		return nil, nil
	}
	if root.Kind != yamlv3.MappingNode {
		return nil, fmt.Errorf("line %d: not a section: write settings, such as listen: 127.0.0.1:8000", root.Line)
	}
	if err := inspect(root); err != nil {
		return nil, err
	}
	settings, err := d.YAML.Unmarshal(text)
	if err != nil {
		return nil, oneLine(err)
	}
	return settings, nil
}

// inspect refuses the first node that is a trap.
func inspect(n *yamlv3.Node) error {
	switch {
	case n.Kind == yamlv3.AliasNode:
		return nil
	case !strings.HasPrefix(n.ShortTag(), "!!"):
		return fmt.Errorf("line %d: a value begins with an exclamation mark: put it in quotes", n.Line)
	case n.Anchor != "" && n.ShortTag() == "!!null":
		return fmt.Errorf("line %d: a value begins with an ampersand: put it in quotes", n.Line)
	}
	for i, inner := range n.Content {
		if n.Kind == yamlv3.MappingNode && i%2 == 0 && inner.ShortTag() != "!!str" && inner.ShortTag() != "!!merge" {
			return fmt.Errorf("line %d: a name is not text: put it in quotes", inner.Line)
		}
		if err := inspect(inner); err != nil {
			return err
		}
	}
	return nil
}

// malformed returns err about the syntax of text with its line, which the
// decoder leaves out if it is the first, and for an unknown alias. The name of
// an alias is not told.
func malformed(text []byte, err error) error {
	err = oneLine(err)
	if alias := regexp.MustCompile(`^unknown anchor '(.*)' referenced$`).FindStringSubmatch(err.Error()); alias != nil {
		before, _, _ := bytes.Cut(text, []byte("*"+alias[1]))
		return fmt.Errorf("line %d: a value begins with an asterisk: put it in quotes", bytes.Count(before, []byte("\n"))+1)
	}
	line := ""
	if !strings.HasPrefix(err.Error(), "line ") {
		line = "line 1: "
	}
	return fmt.Errorf("%s%w: look at the indentation and the quotes there", line, err)
}

// oneLine returns err of the YAML decoder on one line, without the values that
// it quotes.
func oneLine(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	lines := strings.Split(strings.TrimPrefix(text, "unmarshal errors:\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	text = strings.Join(lines, "; ")
	return errors.New(regexp.MustCompile("`[^`]*`").ReplaceAllString(text, "a value"))
}
