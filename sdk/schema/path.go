// Package schema is what Carbon knows of a metric's whisper file: where it lies
// and which archives it has.
package schema

import (
	"path/filepath"
	"strings"

	"fluxgate/sdk"
)

// maxElement is the longest name of a file or folder, in bytes.
const maxElement = 255

// Path returns the path of a metric's whisper file below Carbon's root folder,
// as Carbon 1.1.7 maps it: each dot is a separator, separators in front do not
// count, and several in a row are one. Metrics that differ only in these share
// a file.
//
// What cannot be such a file is refused with an error that wraps
// [sdk.ErrInvalid]: a name with nothing in it, with control characters, or with
// an element longer than 255 bytes, the last one counted with its .wsp. So are
// tagged names, which Carbon stores elsewhere under a hash. The path is always
// local, as [filepath.IsLocal] means it.
func Path(metric string) (string, error) {
	for i := range len(metric) {
		if c := metric[i]; c < ' ' || c == 0x7f {
			return "", sdk.Invalidf("metric %q: a control character cannot be part of a file's name", metric)
		}
	}
	if strings.Contains(metric, ";") || strings.Contains(metric, "{") && strings.HasSuffix(metric, `"}`) {
		return "", sdk.Invalidf("metric %q: names with tags have no whisper file here", metric)
	}
	name := metric
	if bare := strings.TrimLeft(metric, "~"); bare != "" {
		name = bare // Carbon's own normal form, in which no name begins with a tilde
	}
	name = strings.TrimLeft(strings.ReplaceAll(name, ".", "/"), "/")
	if name == "" {
		return "", sdk.Invalidf("metric %q: the name is empty", metric)
	}
	path := filepath.Clean(name + ".wsp")
	for element := range strings.SplitSeq(path, "/") {
		if len(element) > maxElement {
			return "", sdk.Invalidf("metric %q: an element is longer than %d bytes, counting the .wsp of the last", metric, maxElement)
		}
	}
	if !filepath.IsLocal(path) {
		return "", sdk.Invalidf("metric %q: its file would lie outside the root", metric)
	}
	return path, nil
}
