package flow

import (
	"fmt"
	"net/http"

	"fluxgate/sdk"
)

// An Ack says when a request is answered with success.
type Ack int

// The acknowledgements, the weaker first.
const (
	AckDurable   Ack = iota // once its datapoints are on disk
	AckDelivered            // once every required sink has them besides
)

// AckHeader is the header by which a request may ask for more than its key gives.
const AckHeader = "X-Fluxgate-Ack"

// UnmarshalText reads "durable" or "delivered".
func (a *Ack) UnmarshalText(text []byte) error {
	switch string(text) {
	case "durable":
		*a = AckDurable
	case "delivered":
		*a = AckDelivered
	default:
		return fmt.Errorf("%q is no acknowledgement: it is durable or delivered", text)
	}
	return nil
}

// stronger returns what the key gives or the header asks for, whichever is more.
func stronger(given Ack, header http.Header) (Ack, error) {
	text := header.Get(AckHeader)
	if text == "" {
		return given, nil
	}
	var asked Ack
	if err := asked.UnmarshalText([]byte(text)); err != nil {
		return 0, sdk.Invalidf("header %s: %w", AckHeader, err)
	}
	return max(given, asked), nil
}
