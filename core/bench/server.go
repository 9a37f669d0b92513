package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const theKey = "bench6789012345678901234567890ab"

// A road is what a datapoint takes: a server, and its settings as a configuration has
// them. {{carbon}} in the settings is the address of a Carbon that throws away,
// {{carbon-cache}} that of a real one, {{redis}} that of a Redis of its own, {{folder}}
// an empty folder.
type road struct {
	name     string
	program  program
	settings string
	memory   bool // what it keeps lies in memory, where a sync costs nothing
}

// A program is what serves.
type program int

const (
	shipped program = iota // fluxgate and its plugins
	direct                 // fluxgate with input and sink in the same process
	nothing                // the floor
)

// A server is a road that is open.
type server struct {
	road
	*child
	url, admin string
	redis      *child // nil: none
	carbon     *child // a real one; nil: none
	carbonPort int
	ends       []func() error
}

// open starts a road, with what is around it, and returns when it is ready.
func (b *bench) open(ctx context.Context, r road) (s *server, err error) {
	s = &server{road: r}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	root := b.dir
	if r.memory {
		root = b.memory
	}
	dir, err := os.MkdirTemp(root, "")
	if err != nil {
		return s, err
	}
	s.ends = append(s.ends, func() error { return os.RemoveAll(dir) })
	if r.program == nothing {
		return s, s.openFloor(ctx, dir)
	}
	settings, err := s.furnish(ctx, b.dir)
	if err != nil {
		return s, err
	}
	return s, s.openFluxgate(ctx, b, dir, settings)
}

// furnish starts what the settings name, and returns them with the addresses.
func (s *server) furnish(ctx context.Context, root string) (string, error) {
	dir, err := os.MkdirTemp(root, "")
	if err != nil {
		return "", err
	}
	s.ends = append(s.ends, func() error { return os.RemoveAll(dir) })
	addresses := []string{"{{folder}}", dir}
	if strings.Contains(s.settings, "{{carbon}}") {
		d, err := newDrain()
		if err != nil {
			return "", err
		}
		s.ends = append(s.ends, d.Close)
		addresses = append(addresses, "{{carbon}}", d.Addr().String())
	}
	for name, begin := range map[string]func(context.Context, string) (*child, string, error){"{{redis}}": startRedis, "{{carbon-cache}}": startCarbon} {
		if !strings.Contains(s.settings, name) {
			continue
		}
		c, address, err := begin(ctx, dir)
		if c != nil {
			s.ends = append(s.ends, c.stop)
		}
		if err != nil {
			return "", err
		}
		if addresses = append(addresses, name, address); name == "{{redis}}" {
			s.redis = c
			continue
		}
		s.carbon = c
		_, port, _ := net.SplitHostPort(address) // it has been connected to
		if s.carbonPort, err = strconv.Atoi(port); err != nil {
			return "", err
		}
	}
	return strings.NewReplacer(addresses...).Replace(s.settings), nil
}

func (s *server) openFloor(ctx context.Context, dir string) (err error) {
	if s.child, err = startFloor(dir); err != nil {
		return err
	}
	s.ends = append(s.ends, s.child.stop)
	return s.await(ctx, func() error {
		text, err := os.ReadFile(s.log)
		address, _, whole := strings.Cut(string(text), "\n")
		if err == nil && !whole {
			err = errors.New("it has not told its address")
		}
		s.url = "http://" + address
		return err
	})
}

// openFluxgate starts Fluxgate, if its configuration is sound.
func (s *server) openFluxgate(ctx context.Context, b *bench, dir, settings string) (err error) {
	file, data := filepath.Join(dir, "fluxgate.yaml"), filepath.Join(dir, "data")
	yaml := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\ndata: %s\nkeys: [{key: %s}]\n%s\n", strconv.Quote(data), theKey, settings)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, b.fluxgate(), "check", "--config", file).CombinedOutput(); err != nil {
		return fmt.Errorf("this fluxgate refuses the settings: %s", strings.TrimSpace(string(out)))
	}
	program, env := b.fluxgate(), []string(nil)
	if s.program == direct {
		if program, err = b.direct(ctx); err != nil {
			return err
		}
		env = []string{directEnv + "=" + settings}
	}
	if s.child, err = start("fluxgate", dir, env, program, "serve", "--config", file); err != nil {
		return err
	}
	s.ends = append(s.ends, s.child.stop)
	return s.await(ctx, func() error {
		if err := s.findAddresses(); err != nil {
			return err
		}
		_, err := s.ask(ctx, "/ready")
		return err
	})
}

// findAddresses reads in the log where fluxgate listens.
func (s *server) findAddresses() error {
	log, err := os.Open(s.log)
	if err != nil {
		return err
	}
	defer log.Close()
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct{ Msg, Listen, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "taking metrics" {
			s.url, s.admin = "http://"+line.Listen, line.Admin
			return nil
		}
	}
	return errors.New("it does not tell where it listens")
}

// close ends a server and what is around it, what was started last first.
func (s *server) close() (err error) {
	for len(s.ends) > 0 {
		last := len(s.ends) - 1
		err = errors.Join(err, s.ends[last]())
		s.ends = s.ends[:last]
	}
	return err
}

// ask returns what the admin listener answers with 200.
func (s *server) ask(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path, nil)
	if err != nil {
		return "", err
	}
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
