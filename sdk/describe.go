package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"fluxgate/sdk/internal/wire"
)

// A Description is what a plugin says of itself. One that speaks protocol 1, or
// says nothing, leaves all but Protocol empty.
type Description struct {
	Kind     string    `json:"kind"`     // input, sink or resampler
	Version  string    `json:"version"`  // the plugin's own, for people
	Protocol int       `json:"protocol"` // which it speaks with this host
	Settings []Setting `json:"settings"` // nil: not told; empty: there are none
}

// Describe starts a plugin of whatever kind, asks what it says of itself, and
// stops it. It is not opened: [Spec.Config] does not matter. Errors are those of
// [StartSink].
func Describe(ctx context.Context, s Spec) (Description, error) {
	p := &Process[any]{done: make(chan struct{})}
	if err := p.connect(ctx, "plugin", s); err != nil {
		return Description{}, err
	}
	defer p.leave()
	ctx, cancel := context.WithTimeout(ctx, StartTimeout)
	defer cancel()
	d, err := p.Describe(ctx)
	if err != nil {
		return d, fmt.Errorf("describe plugin %q (%s): %w", s.Name, s.program(), err)
	}
	return d, nil
}

// Describe asks the plugin what it says of itself.
func (p *Process[T]) Describe(ctx context.Context) (Description, error) {
	d := Description{Protocol: p.protocol}
	if p.protocol < describingProtocol {
		return d, nil
	}
	w, err := p.remote.Describe(ctx, &wire.Nothing{})
	if status.Code(err) == codes.Unimplemented {
		return d, nil
	}
	if err != nil {
		return d, fromWire(err)
	}
	d.Kind, d.Version, d.Settings = w.GetKind(), w.GetVersion(), make([]Setting, len(w.GetSetting()))
	for i, s := range w.GetSetting() {
		d.Settings[i] = Setting{s.GetName(), s.GetType(), s.GetUnit(), s.GetHelp(), json.RawMessage(s.GetDefaultJson())}
	}
	return d, nil
}

// admit tells whether the plugin is of a kind, and takes settings, a JSON object.
// What the plugin does not tell is left to Open.
func (d Description) admit(kind string, settings []byte) error {
	if d.Kind != "" && d.Kind != kind {
		return wrongKind(d.Kind, kind)
	}
	if d.Settings == nil {
		return nil
	}
	values, err := decodeSettings(settings)
	if err != nil {
		return err
	}
	if err := checkSettings(values, d.Settings); err != nil {
		return Invalidf("%w", err)
	}
	return nil
}

func wrongKind(is, configured string) error {
	return Invalidf("this program is a plugin of kind %s, and is configured as %s", is, configured)
}

// Markdown returns the settings as a table, as it stands in a plugin's README.
func (d Description) Markdown() string {
	if len(d.Settings) == 0 {
		return "There are no settings.\n"
	}
	var table strings.Builder
	table.WriteString("| setting | type | default | |\n|---|---|---|---|\n")
	for _, s := range d.Settings {
		kind, preset := s.Type, "(must be given)"
		if s.Unit != "" {
			kind += " of " + s.Unit
		}
		if s.Default != nil {
			preset = "`" + string(s.Default) + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", s.Name, kind, preset, strings.ReplaceAll(s.Help, "|", "\\|"))
	}
	return table.String()
}

// describe is the description of the plugin that this program is.
func describe(kind string, defaults any) *wire.Description {
	d := &wire.Description{Kind: kind, Version: version()}
	for _, s := range settingsOf(defaults) {
		d.Setting = append(d.Setting, &wire.Setting{
			Name: s.Name, Type: s.Type, Unit: s.Unit, Help: s.Help, DefaultJson: s.Default,
		})
	}
	return d
}

// version returns the version of the program's module, as far as Go has stamped
// it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return strings.Trim(info.Main.Version, "()")
	}
	return "unknown"
}
