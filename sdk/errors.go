package sdk

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Every error that a plugin returns is one of these, or a bug in the plugin.
// Wrap them with fmt.Errorf and %w, or use [Invalidf] and [Unavailablef]; they
// survive the trip to the host.
var (
	ErrInvalid     = errors.New("invalid")     // the same call will never succeed
	ErrUnavailable = errors.New("unavailable") // it may succeed later
)

// Invalidf returns an error that wraps [ErrInvalid].
func Invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

// Unavailablef returns an error that wraps [ErrUnavailable].
func Unavailablef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnavailable, fmt.Errorf(format, args...))
}

// maxErrorText bounds the text of an error on the wire, where it travels as a
// header. In bytes.
const maxErrorText = 8 << 10

// kinds is how an error's kind crosses the wire, in both directions. Where an
// error is of several kinds the first counts.
var kinds = [...]struct {
	err  error
	code codes.Code
}{
	{ErrInvalid, codes.InvalidArgument},
	{context.Canceled, codes.Canceled},
	{context.DeadlineExceeded, codes.DeadlineExceeded},
	{ErrUnavailable, codes.Unavailable},
}

// toWire returns err as a gRPC status of the matching code.
func toWire(err error) error {
	if err == nil {
		return nil
	}
	code, text := codeOf(err)
	return status.Error(code, text)
}

// codeOf returns how an error crosses the wire, in UTF-8.
func codeOf(err error) (codes.Code, string) {
	text := cut(err.Error(), maxErrorText)
	text = cut(string([]rune(text)), maxErrorText) // what is no letter has become longer
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.code, text
		}
	}
	return codes.Unknown, text
}

// cut returns the first n bytes of text, without the half of a letter at the
// end.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for back := 0; back < utf8.UTFMax && back < n; back++ {
		if utf8.RuneStart(text[n-back]) {
			return text[:n-back]
		}
	}
	return text[:n]
}

// fromWire is the inverse of toWire: the same words, the same kind.
func fromWire(err error) error {
	if err == nil {
		return nil
	}
	s, _ := status.FromError(err)
	return errorOf(s.Code(), s.Message())
}

// fromCall is fromWire for a call with a context.
func fromCall(ctx context.Context, err error) error { return ofCall(ctx, fromWire(err)) }

// ofCall returns the error of a call with a context: one that was cancelled by somebody
// else did not succeed for now.
func ofCall(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		return Unavailablef("%s", err)
	}
	return err
}

// errorOf is the inverse of codeOf.
func errorOf(code codes.Code, text string) error {
	for _, k := range kinds {
		if code == k.code {
			return &remoteError{text, k.err}
		}
	}
	return errors.New(text)
}

// A remoteError is an error that a plugin returned.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }
