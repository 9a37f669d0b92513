// Rogue is a plugin of whatever kind that works until it is given something to
// do, and then does to its host what no plugin should. Which of its acts it
// performs follows from its name: rogue-silent never answers.
//
// It speaks HTTP/2 frame by frame, as no library for gRPC would, and the data socket
// byte by byte.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	act := strings.TrimPrefix(filepath.Base(os.Args[0]), "rogue-")
	if !isKnown(act) {
		fmt.Fprintf(os.Stderr, "%s: a plugin for tests, called rogue- and an act\n", os.Args[0])
		os.Exit(2)
	}
	go leaveWithHost()
	if act == stays {
		signal.Ignore(syscall.SIGTERM)
	}
	socket := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), fmt.Sprintf("plugin%d", os.Getpid()))
	listener, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("1|2|unix|%s|grpc|\n", socket)
	for {
		c, err := listener.Accept()
		if err != nil {
			select {} // it has been closed, which is an act
		}
		go newConn(c, listener, act).serve()
	}
}

// leaveWithHost ends this process when its host has died: what a rogue does to
// its host is enough.
func leaveWithHost() {
	host := os.Getppid()
	for os.Getppid() == host {
		time.Sleep(100 * time.Millisecond)
	}
	cleanUp()
	os.Exit(0)
}

func cleanUp() {
	if socket, ok := removeAtEnd.Load().(string); ok {
		_ = os.Remove(socket)
	}
}
