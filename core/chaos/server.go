package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const theKey = "chaos6789012345678901234567890ab"

// A server is a Fluxgate, which can be killed and started again on its data.
type server struct {
	*process
	program string // fluxgate
	listen  string // host:port
	admin   string
	file    string // its configuration
	data    string
	config  map[string]any
}

// newServer returns a Fluxgate that is not started yet. Settings are laid over
// those that every row has.
func newServer(bin, name, dir string, env []string, settings map[string]any) (*server, error) {
	listen, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	sockets := filepath.Join(dir, name+"-tmp")
	if err := os.MkdirAll(sockets, 0o700); err != nil {
		return nil, err
	}
	s := &server{
		listen: listen, admin: admin,
		file: filepath.Join(dir, name+".yaml"), data: filepath.Join(dir, name+"-data"),
	}
	s.config = map[string]any{
		"listen": listen, "admin": admin, "data": s.data,
		"keys": []any{map[string]any{"key": theKey}},
	}
	for name, value := range settings {
		s.config[name] = value
	}
	if s.program, err = filepath.Abs(filepath.Join(bin, "fluxgate")); err != nil {
		return nil, err
	}
	s.process = &process{
		name: name, dir: dir, core: true, env: append([]string{"TMPDIR=" + sockets}, env...),
		argv: []string{s.program, "serve", "--config", s.file},
	}
	return s, s.configure()
}

// configure writes the configuration.
func (s *server) configure() error {
	text, err := yaml.Marshal(s.config)
	if err != nil {
		return err
	}
	return os.WriteFile(s.file, text, 0o600)
}

// begin starts Fluxgate and returns how long it took until it was ready.
func (s *server) begin(ctx context.Context) (time.Duration, error) {
	start := time.Now()
	if err := s.start(); err != nil {
		return 0, err
	}
	err := s.await(ctx, "ready", func() error {
		_, err := s.ask(ctx, "/ready")
		return err
	})
	return time.Since(start), err
}

// ask returns what the admin listener answers with 200.
func (s *server) ask(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		return "", err
	}
	r.Close = true // the server may be another one next time
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %d %.200s", path, answer.StatusCode, text)
	}
	return string(text), err
}

// command runs `fluxgate ARGS --config FILE --output json` and returns what it
// prints. One that exits with 1 has printed all the same.
func (s *server) command(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.program, append(args, "--config", s.file, "--output", "json")...)
	var stderr strings.Builder
	cmd.Dir, cmd.Env, cmd.Stderr = s.dir, append(os.Environ(), s.env...), &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("fluxgate %s: %w: %.300s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, err
}

// verify returns the books on the disk and what is wrong with them.
func (s *server) verify(ctx context.Context) (books diskBooks, broken []string) {
	out, failed := s.command(ctx, "journal", "verify")
	books, err := parseBooks(out)
	if err != nil {
		return books, []string{errors.Join(failed, err).Error()}
	}
	broken = books.balance()
	if failed != nil && len(broken) == 0 {
		broken = append(broken, failed.Error())
	}
	return books, broken
}

// admits reports whether Fluxgate knows a key.
func (s *server) admits(ctx context.Context, key string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	body := fmt.Sprintf(`{"key":%q,"validate_key":true}`, key)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url(), strings.NewReader(body))
	if err != nil {
		return false
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode/100 == 2
}

// folderSize returns how many bytes the files below a folder take on the disk.
func folderSize(folder string) (total int64) {
	_ = filepath.WalkDir(folder, func(_ string, entry os.DirEntry, err error) error {
		if err != nil {
			return nil // it is just being removed
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}
