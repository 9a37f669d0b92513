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

// ownKey returns the key in the folder data, which it makes at first.
func ownKey(data string) (string, error) {
	path := keyFile(data)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("key file %s: others can read it: chmod 600 it", path)
	}
	key := strings.TrimSpace(string(text))
	if key == "" {
		return "", fmt.Errorf("key file %s: empty: remove it, and a new key is made", path)
	}
	return key, nil
}

// makeKey writes a key of the form that Skyline asks for: 32 letters and digits.
func makeKey(path string) (string, error) {
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
