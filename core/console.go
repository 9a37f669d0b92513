package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"fluxgate/core/config"
)

// A console speaks to the admin listener of the running server.
type console struct {
	address, file string // as configured
	token         string
	client        *http.Client
	command       func(words string) string // what a person types to have a command mean the same server
}

// openConsole returns one for the server that runs with c.
func openConsole(c config.Config) (*console, error) {
	file := tokenFile(c.Data)
	token, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the token of the running server: %w: is it running with this configuration?", err)
	}
	client := &http.Client{Transport: &http.Transport{}} // no proxy: the token is for this machine
	return &console{c.Admin, file, strings.TrimSpace(string(token)), client, c.Command}, nil
}

// send sends a request, with body as JSON unless it is nil, and returns the answer
// of a server that takes the token.
func (c *console) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var sent io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+reachable(admin(c.address))+path, sent)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	answer, err := c.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("the running server: %w: is it running with this configuration?", err)
	}
	if answer.StatusCode == http.StatusUnauthorized {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("the server at %s does not take the token in %s: is it running with this configuration?", c.address, c.file)
	}
	return answer, nil
}

// ask sends a request and reads the answer into result. What
// the server says of a request that it refuses is the error.
func (c *console) ask(ctx context.Context, method, path string, body, result any) error {
	answer, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("the running server: %w", err)
	}
	if answer.StatusCode >= 300 {
		return refused(answer.Status, text)
	}
	if err := json.Unmarshal(text, result); err != nil {
		return fmt.Errorf("the server answered %s, which cannot be read: %w", answer.Status, err)
	}
	return nil
}

// refused returns the error that an answer tells.
func refused(status string, body []byte) error {
	var told struct{ Message string }
	if err := json.Unmarshal(body, &told); err == nil && told.Message != "" {
		return errors.New(told.Message)
	}
	return fmt.Errorf("the server answered %s: is it of the same version?", status)
}

// admin is the address of the admin listener.
type admin string

func (admin) Network() string  { return "tcp" }
func (a admin) String() string { return string(a) }

var _ net.Addr = admin("")
