package fleet

import (
	"context"
	"errors"
	"time"

	"fluxgate/sdk"
)

// A Sink is a sink plugin of a fleet. While its process is away, Write returns
// [sdk.ErrUnavailable].
type Sink struct{ *plugin[sdk.Sink] }

// Write implements [sdk.Sink].
func (s *Sink) Write(ctx context.Context, b sdk.Batch) error {
	process, err := s.running(ctx)
	if err != nil {
		return err
	}
	return process.Plugin.Write(ctx, b)
}

// An Input is an input plugin of a fleet.
type Input struct{ *plugin[sdk.Input] }

// Decode implements [sdk.Input]. A request that found the process dying is
// tried once more on the next: it may not have been what it died of.
func (i *Input) Decode(ctx context.Context, r sdk.Request) (sdk.Submission, error) {
	for tries := 1; ; tries++ {
		process, err := i.running(ctx)
		if err != nil {
			return sdk.Submission{}, err
		}
		s, err := process.Plugin.Decode(ctx, r)
		if tries == 2 || !errors.Is(err, sdk.ErrUnavailable) {
			return s, err
		}
		if !i.died(process) {
			return s, err
		}
	}
}

// deathNotice is how much later than a failed call a death may be noticed.
const deathNotice = 100 * time.Millisecond

// died reports whether process has ended, as its failed call suggests.
func (i *Input) died(process *sdk.Process[sdk.Input]) bool {
	select {
	case <-process.Done():
		i.lose(process)
		return true
	case <-time.After(deathNotice):
		return false
	}
}
