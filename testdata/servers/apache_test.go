package servers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const apacheVhost = `<VirtualHost *:443>
    ServerName site.example.org
    SSLEngine on
    SSLCertificateFile /etc/ssl/certs/site.pem
    SSLCertificateKeyFile /etc/ssl/private/site.key
    CustomLog ${APACHE_LOG_DIR}/site.log "own line %%U"
    <Location "/">
        AuthType Basic
        AuthName "site"
        AuthUserFile /etc/apache2/site.users
        Require valid-user
        ProxyPass %s/
    </Location>
</VirtualHost>
`

func TestApacheServesItsVhost(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "behind ", r.URL.Path)
	}))
	t.Cleanup(behind.Close)
	a := Apache(t, fmt.Sprintf(apacheVhost, behind.URL))
	if a.URL != "https://site.example.org" {
		t.Errorf("URL is %s", a.URL)
	}
	client := a.Client(t)
	for password, want := range map[string]string{"wrong": "401", a.Password: "200 behind /path"} {
		r, err := http.NewRequest(http.MethodGet, a.URL+"/path?query", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(a.User, password)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if got := fmt.Sprint(answer.StatusCode, " ", string(body)); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("password %s: got %q, %v; want %s", password, got, err, want)
		}
	}
	a.await("logging what it served", func() error {
		if logged := a.Logged(t); !strings.Contains(logged, "own line /path") || strings.Contains(logged, "?query") {
			return errors.New(logged)
		}
		return nil
	})
}

func TestNoWorkerOfApacheStays(t *testing.T) {
	var a *ApacheServer
	t.Run("inner", func(t *testing.T) {
		a = Apache(t, fmt.Sprintf(apacheVhost, "http://127.0.0.1:9"))
		a.await("served by workers", func() error {
			if alive := group(t, a.Pid()); len(alive) < 2 {
				return fmt.Errorf("its processes are %v", alive)
			}
			return nil
		})
	})
	if a == nil {
		t.SkipNow() // for the reason that the inner test gave
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(pollInterval) {
		alive := group(t, a.Pid())
		if len(alive) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes %v outlive their test", alive)
		}
	}
}

// group returns the live processes of a process group.
func group(t *testing.T, id int) (alive []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		var pid, parent, members int
		var state string
		numbers, rest, _ := strings.Cut(string(stat), " (")
		rest = rest[strings.LastIndex(rest, ")")+1:]
		if _, err := fmt.Sscan(numbers+rest, &pid, &state, &parent, &members); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if members == id && state != "Z" {
			alive = append(alive, pid)
		}
	}
	return alive
}
