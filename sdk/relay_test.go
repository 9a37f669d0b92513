package sdk

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestRelay(t *testing.T) {
	long := strings.Repeat("x", maxLogLine)
	tests := []struct {
		name   string
		writes []string
		want   []string
	}{
		{"a line", []string{"so\n"}, []string{"INFO so"}},
		{"a line in pieces", []string{"s", "", "o", "\n"}, []string{"INFO so"}},
		{"lines in one piece", []string{"a\nb\n"}, []string{"INFO a", "INFO b"}},
		{"no line yet", []string{"so"}, nil},
		{"empty lines", []string{"\n \n\t\r\n"}, nil},
		{"slog's JSON", []string{`{"time":"now","level":"ERROR","msg":"so","b":1,"a":"x"}` + "\n"}, []string{"ERROR so a=x b=1"}},
		{"a level between", []string{`{"level":"DEBUG+2","msg":"so"}` + "\n"}, []string{"DEBUG+2 so"}},
		{"an odd level", []string{`{"level":"loud","msg":"so"}` + "\n"}, []string{"INFO so"}},
		{"a level that is no text", []string{`{"level":5,"msg":"so"}` + "\n"}, []string{"INFO so"}},
		{"JSON without a message", []string{`{"@message": 5}` + "\n"}, []string{`INFO {"@message": 5}`}},
		{"a message that is no text", []string{`{"msg": 5}` + "\n"}, []string{`INFO {"msg": 5}`}},
		{"JSON that is no object", []string{"[1]\nnull\n5\n"}, []string{"INFO [1]", "INFO null", "INFO 5"}},
		{"broken JSON", []string{`{"msg":"so"` + "\n"}, []string{`INFO {"msg":"so"`}},
		{"as long as a line may be", []string{long + "\nb\n"}, []string{"INFO " + long, "INFO b"}},
		{"longer", []string{long + "x\nb\n"}, []string{"INFO " + long + " cut=true", "INFO b"}},
		{"longer, in pieces", []string{long, long, "\nb", "\n"}, []string{"INFO " + long + " cut=true", "INFO b"}},
		{"longer, ended on its bound", []string{long, "\nb\n"}, []string{"INFO " + long, "INFO b"}},
		{"JSON that is too long", []string{`{"msg":"` + long + `"}` + "\n"}, []string{`INFO {"msg":"` + long[:maxLogLine-8] + " cut=true"}},
	}
	for _, tt := range tests {
		var log lines
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: plain}))
		r := newRelay(logger, newThrottle(logger))
		for _, text := range tt.writes {
			if n, err := r.Write([]byte(text)); n != len(text) || err != nil {
				t.Errorf("%s: wrote %d of %d bytes, %v", tt.name, n, len(text), err)
			}
		}
		want := ""
		for _, l := range tt.want {
			want += l + "\n"
		}
		if log.String() != want {
			t.Errorf("%s: logged %.200q, want %.200q", tt.name, log.String(), want)
		}
	}
}

// plain leaves out what a text line of slog says besides.
func plain(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// lines keeps each line of slog's text as level, message and attributes.
type lines struct{ bytes.Buffer }

func (l *lines) Write(text []byte) (int, error) {
	line := strings.TrimPrefix(string(text), "level=")
	level, rest, _ := strings.Cut(line, " msg=")
	message := rest
	if strings.HasPrefix(rest, `"`) {
		var after string
		if _, err := fmt.Sscanf(rest, "%q", &message); err != nil {
			return 0, err
		}
		after = rest[len(fmt.Sprintf("%q", message)):]
		message += after
	}
	l.WriteString(level + " " + message)
	return len(text), nil
}

func TestRelayHoldsNoMoreThanALine(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	r := newRelay(logger, newThrottle(logger))
	piece := bytes.Repeat([]byte("x"), 64<<10)
	for range 64 {
		if _, err := r.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if cap(r.line) > 2*maxLogLine {
		t.Errorf("it holds %d bytes of a line, want %d", cap(r.line), maxLogLine)
	}
}
