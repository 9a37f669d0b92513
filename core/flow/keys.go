package flow

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"strings"
)

// ErrKey means that a request carried a key that is not admitted.
var ErrKey = errors.New("invalid key")

// Keys are the API keys that are admitted.
type Keys []admitted

// A Grant is what a key gives.
type Grant struct {
	Prefix string   // put before every metric
	Ack    Ack      // when its requests are answered
	Hosts  []string // from which its jobs may fetch; empty: from all that any may
}

type admitted struct {
	digest [sha256.Size]byte
	grant  Grant
}

// Add admits key, written plainly or as "sha256:" and its digest in
// hexadecimal.
func (k *Keys) Add(key string, g Grant) error {
	a := admitted{sha256.Sum256([]byte(key)), g}
	if digits, ok := strings.CutPrefix(key, "sha256:"); ok {
		digest, err := hex.DecodeString(digits)
		if err != nil || len(digest) != sha256.Size {
			return errors.New("a digest of a key is 64 hexadecimal digits")
		}
		a.digest = [sha256.Size]byte(digest)
	}
	*k = append(*k, a)
	return nil
}

// Admit returns what a key gives, or [ErrKey]. It takes the same time for
// every key that is not admitted.
func (k Keys) Admit(key string) (Grant, error) {
	digest := sha256.Sum256([]byte(key))
	found := -1
	for i := range k {
		if subtle.ConstantTimeCompare(k[i].digest[:], digest[:]) == 1 {
			found = i
		}
	}
	if found < 0 || key == "" {
		return Grant{}, ErrKey
	}
	return k[found].grant, nil
}
