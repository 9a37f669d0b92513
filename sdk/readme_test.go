package sdk_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// block is code in a page, behind a comment with the file that it is from.
var block = regexp.MustCompile("(?m)(?:^<!-- (\\S+) -->\n)?^```(go|python)\n((?s:.*?))^```$")

// The code of the page for authors is code of files that are compiled and tested.
func TestCodeOnThePageIsInItsFile(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := block.FindAllStringSubmatch(string(page), -1)
	if len(found) < 6 {
		t.Errorf("the page has %d blocks of code", len(found))
	}
	for _, match := range found {
		file, code := match[1], match[3]
		if file == "" {
			t.Errorf("no file is named for\n%s", code)
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Error(err)
			continue
		}
		if code == "" || !strings.Contains(string(text), code) {
			t.Errorf("%s does not hold\n%s", file, code)
		}
	}
}
