package platform

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/avouch/avouch/internal/directory"
	keystore "github.com/pavlo-v-chernykh/keystore-go/v4"
)

// Files of the private certificate authority in the data directory.
const (
	caFile     = "ca.pem"
	caKeyFile  = "ca-key.pem"
	bundleFile = "ca-bundle.pem" // the system's roots and ours, for programs that know one file
	javaFile   = "ca-bundle.jks" // the same for Java
	caLife     = 10 * 365 * 24 * time.Hour
	serverLife = 825 * 24 * time.Hour // the longest that common clients accept
)

// authority is the private certificate authority of one data directory. Its
// name constraints limit it to this machine's own names and to the names of
// the clouds, so that a program that trusts it trusts it for nothing else.
type authority struct {
	certificate *x509.Certificate
	pem         []byte
	key         crypto.Signer
}

// openAuthority reads the authority from dir, or makes one there.
func openAuthority(dir string, now time.Time) (*authority, error) {
	certPath, keyPath := filepath.Join(dir, caFile), filepath.Join(dir, caKeyFile)
	certPEM, err := os.ReadFile(certPath)
	if errors.Is(err, fs.ErrNotExist) {
		return makeAuthority(certPath, keyPath, now)
	}
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(keyPath)
	if err != nil {
		return nil, fmt.Errorf("%s is there but its key is not: %w; remove %s to make a new certificate authority", certPath, err, certPath)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s do not belong together: %w; remove both to make a new certificate authority", certPath, keyPath, err)
	}
	certificate, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certPath, err)
	}
	if now.After(certificate.NotAfter) {
		return nil, fmt.Errorf("%s expired on %s; remove it and %s to make a new certificate authority", certPath, certificate.NotAfter.Format(time.DateOnly), keyPath)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds a key that cannot sign", keyPath)
	}
	return &authority{certificate: certificate, pem: certPEM, key: key}, nil
}

func makeAuthority(certPath, keyPath string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	domains := []string{"localhost", "local", "internal", "test", "example"}
	for _, cloud := range directory.Clouds() {
		domains = append(domains, cloudDomains(cloud)...)
	}
	var networks []*net.IPNet
	for _, cidr := range []string{"127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"} {
		_, network, err := net.ParseCIDR(cidr)
		if err != nil {
			return nil, err
		}
		networks = append(networks, network)
	}
	template := &x509.Certificate{
		SerialNumber:                serial(),
		Subject:                     pkix.Name{CommonName: "Avouch development authority", Organization: []string{"Avouch on this machine"}},
		NotBefore:                   now.Add(-time.Hour),
		NotAfter:                    now.Add(caLife),
		KeyUsage:                    x509.KeyUsageCertSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         domains,
		PermittedIPRanges:           networks,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	// The key first: a certificate whose key is missing would be in the way of
	// the next start.
	if err := writeFile(keyPath, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return nil, err
	}
	if err := writeFile(certPath, certPEM, 0o644); err != nil {
		return nil, err
	}
	return &authority{certificate: certificate, pem: certPEM, key: key}, nil
}

// cloudDomains are the names under which a cloud's own services live.
func cloudDomains(c *directory.Cloud) []string {
	names := append([]string{c.GraphHost, c.GraphLegacy, c.ARMHost, c.PortalHost, strings.TrimPrefix(c.StorageHosts, ".")}, c.LoginAliases...)
	for _, fp := range c.FirstParties() {
		for _, suffix := range fp.HostSuffixes {
			names = append(names, strings.TrimPrefix(suffix, "."))
		}
	}
	return names
}

// serverCertificate issues a certificate for the names; IP addresses are told
// apart by their form. The error says which name the authority may not vouch for.
func (a *authority) serverCertificate(now time.Time, names ...string) (*tls.Certificate, error) {
	if len(names) == 0 {
		return nil, errors.New("a certificate needs at least one name")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	notAfter := now.Add(serverLife)
	if notAfter.After(a.certificate.NotAfter) {
		notAfter = a.certificate.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: names[0]},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now}); err != nil {
		return nil, fmt.Errorf("the private authority may not vouch for %q: it is limited to this machine's names (such as localhost and names under .local, .internal and .test), private addresses and the clouds' own names", names)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// systemBundles are the places where Linux distributions and macOS keep their
// roots as one file; the first that exists counts.
func systemBundles() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/ssl/cert.pem",
	}
}

// writeBundles writes the system's roots and ours as one PEM file and as a Java
// key store. Without system roots the bundles hold ours alone.
func (a *authority) writeBundles(dir string, now time.Time) error {
	var system []byte
	for _, path := range systemBundles() {
		data, err := os.ReadFile(path)
		if err == nil {
			system = data
			break
		}
	}
	stamp := sha256.Sum256(append(append([]byte{}, system...), a.pem...))
	bundle := fmt.Appendf(nil, "# Made by avouch: the system's roots and the private authority. %x\n", stamp[:8])
	bundle = append(bundle, system...)
	if len(system) > 0 && system[len(system)-1] != '\n' {
		bundle = append(bundle, '\n')
	}
	bundle = append(bundle, a.pem...)
	path, javaPath := filepath.Join(dir, bundleFile), filepath.Join(dir, javaFile)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, bundle) {
		if _, err := os.Stat(javaPath); err == nil {
			return nil
		}
	}
	java, err := javaStore(bundle, now)
	if err != nil {
		return err
	}
	if err := writeFile(javaPath, java, 0o644); err != nil {
		return err
	}
	return writeFile(path, bundle, 0o644)
}

// javaPassword guards nothing: it is the well-known password of Java's own
// store of public certificates, which holds no private key.
const javaPassword = "changeit"

func javaStore(bundle []byte, now time.Time) ([]byte, error) {
	store := keystore.New()
	for i := 0; ; i++ {
		var block *pem.Block
		block, bundle = pem.Decode(bundle)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		err := store.SetTrustedCertificateEntry(fmt.Sprintf("root-%d", i), keystore.TrustedCertificateEntry{
			CreationTime: now, Certificate: keystore.Certificate{Type: "X.509", Content: block.Bytes},
		})
		if err != nil {
			return nil, fmt.Errorf("making the Java trust store: %w", err)
		}
	}
	var out bytes.Buffer
	if err := store.Store(&out, []byte(javaPassword)); err != nil {
		return nil, fmt.Errorf("making the Java trust store: %w", err)
	}
	return out.Bytes(), nil
}

func serial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b[:])
}

// writeFile replaces a file in one step, so that a reader sees the old or the
// new content and a crash leaves no half of it.
func writeFile(path string, data []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := f.Chmod(mode); err != nil {
		return errors.Join(err, f.Close())
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// encodePair is the chain and the private key as PEM.
func encodePair(c *tls.Certificate) (chain, key []byte, err error) {
	for _, der := range c.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	return chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
