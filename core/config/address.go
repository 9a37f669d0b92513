package config

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxSocketPath is what the kernel holds of a socket's path, in bytes.
const maxSocketPath = 107

// checkListeners notes addresses that cannot be listened on at the same time.
func (f *faults) checkListeners(listen, admin string) {
	wrong, adminWrong := misaddressed(listen), misaddressed(admin)
	if wrong != "" {
		f.add("listen", "%q %s", listen, wrong)
	}
	if adminWrong != "" {
		f.add("admin", "%q %s", admin, adminWrong)
	}
	if wrong != "" || adminWrong != "" {
		return
	}
	host, port, _ := net.SplitHostPort(listen)
	adminHost, adminPort, _ := net.SplitHostPort(admin)
	same := host == adminHost || everywhere(host) || everywhere(adminHost)
	if number, _ := strconv.Atoi(port); same && port == adminPort && number != 0 {
		f.add("admin", "%q is taken by %s: give it another port", admin, f.sources.spell("listen"))
	}
}

// everywhere tells whether host stands for every address of the machine.
func everywhere(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "" || err == nil && address.IsUnspecified()
}

// misplaced says why address is not a place where a server can be reached.
func misplaced(address string) string {
	if filepath.IsAbs(address) {
		if len(address) > maxSocketPath {
			return fmt.Sprintf("is longer than the %d bytes of a socket's path: move the socket", maxSocketPath)
		}
		return ""
	}
	if misaddressed(address) != "" {
		return "is neither host:port nor the path of a socket: write it like 127.0.0.1:6379 or /run/redis/redis.sock"
	}
	host, port, _ := net.SplitHostPort(address)
	if number, _ := strconv.Atoi(port); host == "" || number == 0 {
		return "needs a host and a port: write it like 127.0.0.1:6379"
	}
	return ""
}

// misaddressed says why address is not of the form host:port. The host may be
// empty, and the port 0.
func misaddressed(address string) string {
	const remedy = "write it like 127.0.0.1:8000"
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "is not host:port: " + remedy
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "has no port from 0 to 65535: " + remedy
	}
	_, notIP := netip.ParseAddr(host)
	if notIP != nil && !regexp.MustCompile(`^[A-Za-z0-9._-]*$`).MatchString(host) {
		return "has no host name or address before the port: " + remedy
	}
	return ""
}

// misrouted says why route is not one that can be served.
func misrouted(route string) string {
	method, path, ok := strings.Cut(route, " ")
	elements := strings.Split(path, "/")
	switch {
	case !ok || !strings.HasPrefix(path, "/"):
		return "is not a method and a path: write it like POST /metrics"
	case !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, method):
		return "has a method that is not served: use GET, POST, PUT, PATCH or DELETE, in capitals"
	case strings.HasPrefix(path, "/flux/"):
		return "begins with /flux: leave that away, each route is served under /flux as well"
	case elements[1] == "populate_metric":
		return "is Fluxgate's own, for jobs: choose another path"
	case slices.Contains(elements[1:], ""):
		return "has a slash too many: put single slashes, and none at the end"
	case slices.Contains(elements, "."), slices.Contains(elements, ".."):
		return "has an element of dots alone: write the path in full"
	case !regexp.MustCompile(`^[A-Za-z0-9/._~!$&'()*+,;=:@-]+$`).MatchString(path):
		return "has a character that stands for something else in a path: use letters, digits and - . _ ~ ! $ & ' ( ) * + , ; = : @"
	}
	return ""
}
