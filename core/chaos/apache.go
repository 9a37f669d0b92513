package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const apacheModules = "/usr/lib/apache2/modules"

const apacheConf = `ServerRoot %[1]s
DefaultRuntimeDir %[1]s
PidFile %[1]s/apache2.pid
ErrorLog %[1]s/error.log
ServerName chaos.example.org
Listen %[2]s
%[3]s
User www-data
Group www-data
GracefulShutdownTimeout 5
RequestReadTimeout body=50
ProxyPass /flux http://%[4]s/flux ttl=60 timeout=120 retry=0
`

// startApache starts an Apache that passes /flux on to behind, and returns its
// address.
func (r *run) startApache(dir, behind string) (*process, string, error) {
	program, err := findProgram("apache2")
	if err != nil {
		return nil, "", notRun(err.Error())
	}
	address, err := freeAddress()
	if err != nil {
		return nil, "", err
	}
	dir = filepath.Join(dir, "apache")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, "", err
	}
	var modules strings.Builder
	for _, name := range []string{"mpm_event", "authz_core", "reqtimeout", "proxy", "proxy_http"} {
		fmt.Fprintf(&modules, "LoadModule %s_module %s/mod_%[1]s.so\n", name, apacheModules)
	}
	conf := filepath.Join(dir, "apache2.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, apacheConf, dir, address, modules.String(), behind), 0o644); err != nil {
		return nil, "", err
	}
	p := &process{name: "apache", dir: dir, argv: []string{program, "-f", conf, "-DFOREGROUND"}}
	r.atEnd(p.kill)
	if err := p.start(); err != nil {
		return nil, "", err
	}
	return p, address, p.await(r.ctx, "ready", func() error { return reach(address) })
}

// apacheRestarts restarts Apache under load: gracefully, at once, and by a kill.
func apacheRestarts(r *run) error {
	s, err := r.site(plan{redis: true, idle: true})
	if err != nil {
		return err
	}
	apache, address, err := r.startApache(s.dir, s.listen)
	if err != nil {
		return err
	}
	s.plan.load.targets = []string{"http://" + address + "/flux/metric_data_post"}
	if err := s.open(); err != nil {
		return err
	}
	for i := range r.count(60, 6) {
		if err := r.wait(r.between(100*time.Millisecond, 600*time.Millisecond)); err != nil {
			return err
		}
		if err := restartApache(r, apache, address, i%3); err != nil {
			return err
		}
		r.Runs++
	}
	if err := s.progress(500); err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	failed := 0
	for _, n := range s.load.failures() {
		failed += n
	}
	s.note("%d requests sent again", failed)
	return nil
}

func restartApache(r *run, apache *process, address string, how int) error {
	switch how {
	case 0:
		return apache.signal(syscall.SIGUSR1)
	case 1:
		if err := apache.signal(syscall.SIGTERM); err != nil {
			return err
		}
		<-apache.gone
	case 2:
		apache.kill()
	}
	_ = os.Remove(filepath.Join(apache.dir, "apache2.pid")) // a killed one leaves it
	if err := apache.start(); err != nil {
		return err
	}
	return apache.await(r.ctx, "ready", func() error { return reach(address) })
}
