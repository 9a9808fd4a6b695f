package platform

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/audit"
	"github.com/avouch/avouch/internal/config"
	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/manage"
)

func open(t *testing.T, cfg Config) *Platform {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "data")
	}
	cfg.Listen, cfg.IdentityListen, cfg.Engine = "127.0.0.1:0", "127.0.0.1:0", "go"
	p, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// withHosts fills the directory with two web apps and three virtual machines.
func (p *Platform) withHosts(t *testing.T) map[string]*directory.Host {
	t.Helper()
	names := map[string]directory.HostKind{
		"web": directory.WebApp, "other": directory.WebApp,
		"one": directory.VirtualMachine, "two": directory.VirtualMachine, "three": directory.VirtualMachine,
	}
	text := "tenants:\n  - name: contoso\n    hosts:\n"
	for name, kind := range names {
		text += "      - {name: " + name + ", kind: " + string(kind) + "}\n"
	}
	p.apply(t, text)
	hosts := make(map[string]*directory.Host)
	for name := range names {
		h, err := p.Manage().FindHost(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		hosts[name] = h
	}
	return hosts
}

func (p *Platform) apply(t *testing.T, text string) {
	t.Helper()
	d, err := config.ParseDirectory("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	caller := manage.Caller{Actor: audit.Actor{Kind: "system", Name: "test"}}
	if _, err := p.Manage().Apply(t.Context(), caller, []*config.Directory{d}, manage.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestCloseTwice(t *testing.T) {
	p := open(t, Config{})
	p.Close()
	p.Close()
}

// However many servers have a stuck request, the end waits for them at once,
// not for one after the other.
func TestCloseWaitsOnce(t *testing.T) {
	p := open(t, Config{})
	var addresses []string
	hosts := p.withHosts(t)
	for _, name := range []string{"one", "two"} {
		address, err := p.endpoints.machineAddress(hosts[name])
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, address)
	}
	addresses = append(addresses, p.endpoints.shared)
	for _, address := range addresses {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: ")); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(50 * time.Millisecond)
	began := time.Now()
	p.Close()
	if took := time.Since(began); took > grace+time.Second {
		t.Errorf("closing took %v", took)
	}
	if _, err := p.endpoints.machineAddress(hosts["three"]); err == nil {
		t.Error("a platform that has ended opens endpoints")
	}
}

// A failed start lets go of everything: the next one finds nothing locked.
func TestFailedStartLetsGo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, cfg := range []Config{
		{Dir: dir, Listen: "not an address", IdentityListen: "127.0.0.1:0"},
		{Dir: dir, Listen: "127.0.0.1:0", IdentityListen: "0.0.0.0:0"},
		{Dir: dir, Listen: "127.0.0.1:0", IdentityListen: "not an address"},
		{Dir: dir, Listen: "127.0.0.1:0", IdentityListen: "127.0.0.1:0", Cloud: "usgov"},
		{Dir: dir, Listen: "127.0.0.1:0", IdentityListen: "127.0.0.1:0", Engine: "none"},
		{},
	} {
		if cfg.Engine == "" {
			cfg.Engine = "go"
		}
		if p, err := Open(t.Context(), cfg); err == nil {
			p.Close()
			t.Errorf("%+v started", cfg)
		}
	}
	open(t, Config{Dir: dir})
}

func TestUnfinishedFilesAreRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	open(t, Config{Dir: dir}).Close()
	for _, name := range []string{".new-1", ".key-2", ".mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open(t, Config{Dir: dir})
	for name, want := range map[string]bool{".new-1": false, ".key-2": false, ".mine": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEnvironmentOfHosts(t *testing.T) {
	p := open(t, Config{})
	hosts := p.withHosts(t)
	web, other, machine := hosts["web"], hosts["other"], hosts["one"]
	env := func(h *directory.Host) (set map[string]string, unset string) {
		t.Helper()
		vars, err := p.Environment(h)
		if err != nil {
			t.Fatal(err)
		}
		set = make(map[string]string)
		for _, v := range vars {
			if v.Unset {
				unset += " " + v.Name
			} else {
				set[v.Name] = v.Value
			}
		}
		return set, unset
	}
	a, _ := env(web)
	b, _ := env(other)
	if a["IDENTITY_HEADER"] == b["IDENTITY_HEADER"] {
		t.Error("two web apps have one secret")
	}
	if again, _ := env(web); again["IDENTITY_HEADER"] != a["IDENTITY_HEADER"] {
		t.Error("a web app's secret changes while the platform runs")
	}
	vm, unset := env(machine)
	if vm["IDENTITY_HEADER"] != "" || !strings.Contains(unset, "IDENTITY_HEADER") || vm["AZURE_POD_IDENTITY_AUTHORITY_HOST"] == "" {
		t.Errorf("a virtual machine's environment is %v, without%s", vm, unset)
	}
	if two, _ := env(hosts["two"]); two["AZURE_POD_IDENTITY_AUTHORITY_HOST"] == vm["AZURE_POD_IDENTITY_AUTHORITY_HOST"] {
		t.Error("two virtual machines have one address")
	}
	if again, _ := env(machine); again["AZURE_POD_IDENTITY_AUTHORITY_HOST"] != vm["AZURE_POD_IDENTITY_AUTHORITY_HOST"] {
		t.Error("a virtual machine's address changes while the platform runs")
	}
	for name := range vm {
		if strings.Contains(unset, " "+name+" ") {
			t.Errorf("%s is set and unset", name)
		}
	}
	if _, err := p.Environment(&directory.Host{Name: "x", Kind: "kiosk"}); err == nil {
		t.Error("a host of an unknown kind has an environment")
	}
}

// The endpoint of a virtual machine ends with the machine.
func TestEndpointOfADeletedHost(t *testing.T) {
	p := open(t, Config{})
	hosts := p.withHosts(t)
	address, err := p.endpoints.machineAddress(hosts["one"])
	if err != nil {
		t.Fatal(err)
	}
	p.apply(t, "tenants: [{name: contoso, hosts: []}]")
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		_ = conn.Close()
		if time.Now().After(end) {
			t.Fatal("the endpoint of a deleted host still listens")
		}
	}
}
