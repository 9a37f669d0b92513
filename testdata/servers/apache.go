package servers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	apacheProgram = "/usr/sbin/apache2" // not on everybody's PATH
	apacheModules = "/usr/lib/apache2/modules"
)

// An ApacheServer is a running Apache with one vhost.
type ApacheServer struct {
	*Process
	URL            string // of the vhost: https and its ServerName
	User, Password string // whom its AuthUserFile admits

	address string
	roots   *x509.CertPool // trusts its certificate
	logs    string         // folder of the logs of the vhost
}

// Apache starts an Apache that serves the <VirtualHost> section given, over TLS,
// with Debian's settings around it. The section is taken as an operator has it;
// its address, certificate, key and user file are replaced by own ones, and must
// be there. Its logs are to lie in ${APACHE_LOG_DIR}.
func Apache(t testing.TB, vhost string) *ApacheServer {
	t.Helper()
	programs := Need(t, apacheProgram, "htpasswd")
	dir := folder(t)
	a := &ApacheServer{
		User: "telegraf", Password: "a password", logs: filepath.Join(dir, "log"),
		address: net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t))),
	}
	name := directive(t, vhost, "ServerName")[1]
	a.URL = "https://" + name
	a.roots = certify(t, dir, name)
	conf := fmt.Sprintf(apacheConf, dir, name, a.address, loadModules()) + a.replace(t, dir, vhost)
	write(t, dir, "apache2.conf", conf)
	a.admit(t, programs[1], filepath.Join(dir, "users"))
	if err := os.Mkdir(a.logs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // workers are www-data, if this is root
		t.Fatal(err)
	}
	a.Process = &Process{
		t: t, name: "apache2", log: filepath.Join(dir, "server.log"), orphaned: syscall.SIGTERM,
		argv:  []string{programs[0], "-f", filepath.Join(dir, "apache2.conf"), "-DFOREGROUND"},
		ready: func() error { return reach(a.address) },
	}
	t.Cleanup(a.end)
	t.Cleanup(func() {
		if t.Failed() {
			logged := a.Logged(t)
			t.Logf("logs of the vhost:\n%s", logged[max(0, len(logged)-maxLogShown):])
		}
	})
	a.Start()
	return a
}

// Client returns a client for the vhost, which it finds whatever the name that
// is asked for.
func (a *ApacheServer) Client(t testing.TB) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:       &tls.Config{RootCAs: a.roots},
		MaxIdleConnsPerHost:   100,
		ExpectContinueTimeout: patience,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", a.address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// Logged returns all that Apache has logged so far: what it printed, then the
// logs of the vhost. A request is logged after its answer.
func (a *ApacheServer) Logged(t testing.TB) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(a.logs, "*"))
	if err != nil {
		t.Fatal(err)
	}
	logged := a.Log()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		logged += string(text)
	}
	return logged
}

// admit writes the user file, as an operator does.
func (a *ApacheServer) admit(t testing.TB, htpasswd, users string) {
	t.Helper()
	cmd := exec.Command(htpasswd, "-i", "-c", users, a.User)
	cmd.Stdin = strings.NewReader(a.Password)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("htpasswd: %v\n%s", err, out)
	}
	if err := os.Chmod(users, 0o644); err != nil {
		t.Fatal(err)
	}
}

// replace returns vhost with the addresses and the files of a.
func (a *ApacheServer) replace(t testing.TB, dir, vhost string) string {
	t.Helper()
	for name, value := range map[string]string{
		"<VirtualHost":          a.address + ">",
		"SSLCertificateFile":    filepath.Join(dir, "certificate.pem"),
		"SSLCertificateKeyFile": filepath.Join(dir, "key.pem"),
		"AuthUserFile":          filepath.Join(dir, "users"),
	} {
		line := directive(t, vhost, name)
		vhost = strings.Replace(vhost, line[0], name+" "+value, 1)
	}
	return vhost
}

// directive returns the one directive of that name in a configuration, and its
// arguments.
func directive(t testing.TB, conf, name string) []string {
	t.Helper()
	found := regexp.MustCompile(`(?m)\Q`+name+`\E[ \t]+(.*)$`).FindAllStringSubmatch(conf, -1)
	if len(found) != 1 {
		t.Fatalf("the vhost has %d directives %s, want one", len(found), name)
	}
	return found[0]
}

// certify writes a certificate for the host of that name, signed with its own
// key, and returns a pool that trusts it.
func certify(t testing.TB, dir, host string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	card := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, card, card, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	write(t, dir, "certificate.pem", string(text))
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return roots
}

// loadModules loads what Debian enables, as far as it can matter here, and what
// ssl and proxy_http bring with them.
func loadModules() string {
	var lines strings.Builder
	for _, name := range []string{
		"mpm_event", "auth_basic", "authn_core", "authn_file", "authz_core", "authz_host", "authz_user",
		"reqtimeout", "setenvif", "socache_shmcb", "ssl", "proxy", "proxy_http",
	} {
		fmt.Fprintf(&lines, "LoadModule %s_module %s/mod_%[1]s.so\n", name, apacheModules)
	}
	return lines.String()
}

const apacheConf = `ServerRoot %[1]s
DefaultRuntimeDir %[1]s
PidFile %[1]s/apache2.pid
ErrorLog %[1]s/server.log
Define APACHE_LOG_DIR %[1]s/log
ServerName %[2]s
Listen %[3]s
%[4]s
User www-data
Group www-data
Timeout 300
KeepAlive On
MaxKeepAliveRequests 100
KeepAliveTimeout 5
RequestReadTimeout header=20-40,minrate=500
RequestReadTimeout body=10,minrate=500
LogFormat "%%v:%%p %%h %%l %%u %%t \"%%r\" %%>s %%O \"%%{Referer}i\" \"%%{User-Agent}i\"" vhost_combined
CustomLog ${APACHE_LOG_DIR}/other_vhosts_access.log vhost_combined
`
