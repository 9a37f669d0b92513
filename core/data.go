package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// own makes the folder data, if need be, and locks it for this process. The
// lock ends when the file is closed, or the process ends.
func own(data string) (*os.File, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(data, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner, _ := io.ReadAll(lock) // without it the message is shorter
		_ = lock.Close()
		return nil, fmt.Errorf("data folder %s: in use by process %s: stop it, or give this one another --data", data, owner)
	}
	if err := lock.Truncate(0); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if _, err := fmt.Fprint(lock, os.Getpid()); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// keyFile holds the key of a server that has none configured.
func keyFile(data string) string { return filepath.Join(data, "key") }

// tokenFile holds what an action on the admin listener needs.
func tokenFile(data string) string { return filepath.Join(data, "token") }

// ownSecret returns the secret in a file of the folder data, which it makes at
// first.
func ownSecret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeSecret(path)
	}
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s: others can read it: chmod 600 it", path)
	}
	secret := strings.TrimSpace(string(text))
	if secret == "" {
		return "", fmt.Errorf("%s: empty: remove it, and a new one is made", path)
	}
	return secret, nil
}

// makeSecret writes one of the form that Skyline asks of a key: 32 letters and digits.
func makeSecret(path string) (string, error) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	key := make([]byte, 32)
	for i := range key {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return "", err
		}
		key[i] = alphabet[n.Int64()]
	}
	// Under its name the file is whole from the start.
	draft := path + ".new"
	if err := os.WriteFile(draft, append(key, '\n'), 0o600); err != nil {
		return "", err
	}
	return string(key), os.Rename(draft, path)
}
