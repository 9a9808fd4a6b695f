package platform

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/avouch/avouch/internal/fixture"
	keystore "github.com/pavlo-v-chernykh/keystore-go/v4"
)

func newAuthority(t *testing.T) (*authority, string) {
	t.Helper()
	dir := t.TempDir()
	a, err := openAuthority(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

// foreign signs a leaf without asking serverCertificate, as somebody who has
// stolen the authority's key would.
func (a *authority) foreign(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// What the constraints promise: a program that trusts this authority trusts it
// for nothing but this machine and the clouds' own names, whoever holds the key.
func TestNameConstraints(t *testing.T) {
	a, _ := newAuthority(t)
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	for _, tt := range []struct {
		name string
		good bool
	}{
		{"localhost", true},
		{"storage.test", true},
		{"build.internal", true},
		{"printer.local", true},
		{"contoso.example", true},
		{"127.0.0.1", true},
		{"::1", true},
		{"169.254.169.254", true},
		{"10.1.2.3", true},
		{"192.168.1.1", true},
		{"fd00::1", true},
		{"login.microsoftonline.com", true},
		{"graph.microsoft.com", true},
		{"account.blob.core.windows.net", true},
		{"login.microsoftonline.us", true},
		{"login.partner.microsoftonline.cn", true},

		{"www.contoso.com", false},
		{"example.com", false},
		{"notlocalhost", false},
		{"localhost.example.com", false},
		{"microsoft.com", false},
		{"login.microsoftonline.com.evil.org", false},
		{"evil-login.microsoftonline.com", false},
		{"8.8.8.8", false},
		{"100.64.0.1", false},
		{"172.32.0.1", false},
		{"2001:db8::1", false},
	} {
		leaf := a.foreign(t, tt.name)
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: tt.name})
		if (err == nil) != tt.good {
			t.Errorf("a leaf for %s: %v", tt.name, err)
		}
		_, err = a.serverCertificate(time.Now(), tt.name)
		if (err == nil) != tt.good {
			t.Errorf("a certificate for %s: %v", tt.name, err)
		}
		if err != nil && !strings.Contains(err.Error(), tt.name) {
			t.Errorf("the refusal does not name %s: %v", tt.name, err)
		}
	}
	if _, err := a.serverCertificate(time.Now()); err == nil {
		t.Error("a certificate without a name was issued")
	}
	if _, err := a.serverCertificate(time.Now(), "localhost", "www.contoso.com"); err == nil {
		t.Error("a foreign name beside a good one was vouched for")
	}
}

func TestAuthorityMakesNoAuthorities(t *testing.T) {
	a, _ := newAuthority(t)
	if !a.certificate.IsCA || !a.certificate.MaxPathLenZero || a.certificate.MaxPathLen != 0 {
		t.Error("the authority's path length is not zero")
	}
	if !a.certificate.PermittedDNSDomainsCritical {
		t.Error("the name constraints may be ignored")
	}
	leaf, err := a.serverCertificate(time.Now(), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	if leaf.Leaf.IsCA || leaf.Leaf.KeyUsage&x509.KeyUsageCertSign != 0 {
		t.Error("a leaf can sign certificates")
	}
	if life := leaf.Leaf.NotAfter.Sub(leaf.Leaf.NotBefore); life > serverLife+time.Hour {
		t.Errorf("a leaf lives %v, longer than clients accept", life)
	}
}

func TestAuthorityIsKept(t *testing.T) {
	now := time.Now()
	first, dir := newAuthority(t)
	again, err := openAuthority(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	if !again.certificate.Equal(first.certificate) {
		t.Error("the authority changed")
	}
	for name, want := range map[string]os.FileMode{caFile: 0o644, caKeyFile: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %04o", name, info.Mode().Perm())
		}
	}

	refuses := func(what string, at time.Time, words ...string) {
		t.Helper()
		_, err := openAuthority(dir, at)
		if err == nil {
			t.Fatalf("%s: opened", what)
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: the error does not say %q: %v", what, word, err)
			}
		}
	}
	refuses("expired", now.Add(caLife+time.Hour), "expired", caKeyFile)
	_, other := newAuthority(t)
	key, err := os.ReadFile(filepath.Join(other, caKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, caKeyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	refuses("another's key", now, "do not belong together")
	if err := os.Remove(filepath.Join(dir, caKeyFile)); err != nil {
		t.Fatal(err)
	}
	refuses("no key", now, "its key is not", "remove")
	// A start that was killed between the two files leaves only the key.
	if err := os.WriteFile(filepath.Join(dir, caKeyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, caFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := openAuthority(dir, now); err != nil {
		t.Errorf("a key without a certificate is in the way: %v", err)
	}
}

func certificates(t *testing.T, data []byte) (all [][]byte) {
	t.Helper()
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return all
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Fatalf("certificate %d: %v", len(all), err)
		}
		all = append(all, block.Bytes)
	}
}

// The bundles hold the system's roots and ours: programs that are given one
// file go on trusting the world.
func TestBundles(t *testing.T) {
	a, dir := newAuthority(t)
	if err := a.writeBundles(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	bundle, err := os.ReadFile(filepath.Join(dir, bundleFile))
	if err != nil {
		t.Fatal(err)
	}
	have := certificates(t, bundle)
	var want [][]byte
	for _, path := range systemBundles() {
		if data, err := os.ReadFile(path); err == nil {
			want = certificates(t, data)
			break
		}
	}
	if len(want) == 0 {
		t.Log("this machine has no roots of its own")
	}
	want = append(want, a.certificate.Raw)
	if len(have) != len(want) {
		t.Fatalf("the bundle holds %d certificates, want %d", len(have), len(want))
	}
	for i := range want {
		if !bytes.Equal(have[i], want[i]) {
			t.Errorf("certificate %d of the bundle is another", i)
		}
	}

	javaPath := filepath.Join(dir, javaFile)
	java, err := os.ReadFile(javaPath)
	if err != nil {
		t.Fatal(err)
	}
	store := keystore.New()
	if err := store.Load(bytes.NewReader(java), []byte(javaPassword)); err != nil {
		t.Fatal(err)
	}
	if n := len(store.Aliases()); n != len(want) {
		t.Errorf("the Java store holds %d certificates, want %d", n, len(want))
	}

	// Writing again touches nothing; a store that was removed comes back.
	before, err := os.Stat(javaPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.writeBundles(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(javaPath)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("the Java store was written again for nothing")
	}
	if err := os.Remove(javaPath); err != nil {
		t.Fatal(err)
	}
	if err := a.writeBundles(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(javaPath); err != nil {
		t.Error(err)
	}

	keytool, err := exec.LookPath("keytool")
	if err != nil {
		fixture.Missing(t, "there is no keytool: Java's own reading of the store is not tested")
	}
	out, err := exec.CommandContext(t.Context(), keytool, "-list", "-keystore", javaPath, "-storepass", javaPassword).CombinedOutput()
	if err != nil {
		t.Fatalf("keytool: %v\n%s", err, out)
	}
	if n := strings.Count(string(out), "trustedCertEntry"); n != len(want) {
		t.Errorf("keytool sees %d certificates, want %d:\n%.500s", n, len(want), out)
	}
}
