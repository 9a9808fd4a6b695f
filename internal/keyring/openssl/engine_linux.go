//go:build linux && (amd64 || arm64) && !noopenssl

package openssl

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

const libraryName = "libcrypto.so.3"

// Values from OpenSSL's headers.
const (
	initNoLoadConfig = 0x80       // OPENSSL_INIT_NO_LOAD_CONFIG
	rsaPKCS1Padding  = 1          // RSA_PKCS1_PADDING
	version3         = 0x30000000 // OPENSSL_VERSION_NUMBER of 3.0.0
	version4         = 0x40000000
)

// library holds the addresses of the functions in use.
type library struct {
	opensslVersionNum  uintptr
	opensslInitCrypto  uintptr
	errClearError      uintptr
	evpSHA256          uintptr
	d2iAutoPrivateKey  uintptr
	pkeyFree           uintptr
	ctxNew             uintptr
	ctxFree            uintptr
	signInit           uintptr
	setRSAPadding      uintptr
	setSignatureDigest uintptr
	sign               uintptr
}

// Engine signs with OpenSSL. It is safe for concurrent use. The library stays
// loaded until the process ends.
type Engine struct{ lib *library }

// New loads OpenSSL 3 and tests it against crypto/rsa. It takes about as long
// as the generation of a key. The error says what is missing.
//
// OpenSSL's configuration file is not read: it can name modules to load into
// the process that holds the signing keys.
func New() (*Engine, error) {
	handle, err := purego.Dlopen(libraryName, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("openssl: loading %s: %w", libraryName, err)
	}
	lib := new(library)
	for name, address := range map[string]*uintptr{
		"OpenSSL_version_num":           &lib.opensslVersionNum,
		"OPENSSL_init_crypto":           &lib.opensslInitCrypto,
		"ERR_clear_error":               &lib.errClearError,
		"EVP_sha256":                    &lib.evpSHA256,
		"d2i_AutoPrivateKey":            &lib.d2iAutoPrivateKey,
		"EVP_PKEY_free":                 &lib.pkeyFree,
		"EVP_PKEY_CTX_new":              &lib.ctxNew,
		"EVP_PKEY_CTX_free":             &lib.ctxFree,
		"EVP_PKEY_sign_init":            &lib.signInit,
		"EVP_PKEY_CTX_set_rsa_padding":  &lib.setRSAPadding,
		"EVP_PKEY_CTX_set_signature_md": &lib.setSignatureDigest,
		"EVP_PKEY_sign":                 &lib.sign,
	} {
		if *address, err = purego.Dlsym(handle, name); err != nil {
			return nil, fmt.Errorf("openssl: %s has no %s: %w", libraryName, name, err)
		}
	}
	if v := call(lib.opensslVersionNum); v < version3 || v >= version4 {
		return nil, fmt.Errorf("openssl: %s has version %#x, not 3", libraryName, v)
	}
	if !succeeded(call(lib.opensslInitCrypto, initNoLoadConfig, 0)) {
		return nil, errors.New("openssl: it cannot be initialised")
	}
	engine := &Engine{lib: lib}
	if err := selfTest(engine); err != nil {
		return nil, fmt.Errorf("openssl: %s failed its test: %w", libraryName, err)
	}
	return engine, nil
}

// Name returns "openssl".
func (*Engine) Name() string { return "openssl" }

// Signer returns a *Signer, which has copied key.
func (e *Engine) Signer(key *rsa.PrivateKey) (crypto.Signer, error) {
	if err := key.Validate(); err != nil {
		return nil, err
	}
	der := x509.MarshalPKCS1PrivateKey(key)
	defer clear(der)
	signer, err := newSigner(e.lib, der, runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	signer.public = &key.PublicKey
	return signer, nil
}

// Signer holds one private key in OpenSSL's memory. At most GOMAXPROCS (as it
// was when the signer was made) signatures are made at a time, and further
// calls wait: a thread in C is out of the Go scheduler's reach, and one for each
// waiting call would starve everything else.
//
// There is no verification of signatures after the event, which would guard
// against a fault giving the key away: OpenSSL does it, and on failure computes
// anew without the Chinese remainder theorem. TestFaultIsCorrected holds it to
// that.
type Signer struct {
	public  *rsa.PublicKey
	pool    *pool
	cleanup runtime.Cleanup
}

// pool is what has to be freed. It is apart from Signer so that the cleanup of
// the one can refer to the other.
type pool struct {
	idle   chan worker
	size   int
	closed chan struct{}
	once   sync.Once
}

// worker is a key with a context of its own. A context serves one call at a
// time; a key could be shared, but locks inside (for blinding) would then make
// the workers wait for each other.
type worker struct {
	lib      *library
	key, ctx uintptr
}

func newSigner(lib *library, der []byte, workers int) (*Signer, error) {
	p := &pool{idle: make(chan worker, workers), closed: make(chan struct{})}
	for range workers {
		w, err := newWorker(lib, der)
		if err != nil {
			p.close()
			return nil, err
		}
		p.idle <- w
		p.size++
	}
	s := &Signer{pool: p}
	s.cleanup = runtime.AddCleanup(s, (*pool).close, p)
	return s, nil
}

func newWorker(lib *library, der []byte) (worker, error) {
	// d2i_AutoPrivateKey takes the address of a pointer. What that pointer
	// leads to is hidden from the compiler and has to be pinned.
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&der[0])
	start := unsafe.Pointer(&der[0])
	key := call(lib.d2iAutoPrivateKey, 0, uintptr(unsafe.Pointer(&start)), uintptr(len(der)))
	if key == 0 {
		lib.fail()
		return worker{}, errors.New("openssl: it does not accept the private key")
	}
	w := worker{lib: lib, key: key, ctx: call(lib.ctxNew, key, 0)}
	if w.ctx == 0 ||
		!succeeded(call(lib.signInit, w.ctx)) ||
		!succeeded(call(lib.setRSAPadding, w.ctx, rsaPKCS1Padding)) ||
		!succeeded(call(lib.setSignatureDigest, w.ctx, call(lib.evpSHA256))) {
		lib.fail()
		w.free()
		return worker{}, errors.New("openssl: it cannot sign with the private key")
	}
	return w, nil
}

func (w worker) free() {
	call(w.lib.ctxFree, w.ctx) // of 0 does nothing
	call(w.lib.pkeyFree, w.key)
}

func (w worker) sign(digest *[sha256.Size]byte, signature []byte) error {
	size := uint64(len(signature)) // size_t on both architectures
	done := call(w.lib.sign, w.ctx,
		uintptr(unsafe.Pointer(&signature[0])), uintptr(unsafe.Pointer(&size)),
		uintptr(unsafe.Pointer(digest)), sha256.Size)
	if !succeeded(done) || size != uint64(len(signature)) {
		w.lib.fail()
		return errors.New("openssl: signing failed")
	}
	return nil
}

// close waits for calls in progress and frees everything. Calling it again has
// no effect.
func (p *pool) close() {
	p.once.Do(func() {
		close(p.closed)
		for range p.size {
			w := <-p.idle
			w.free()
		}
	})
}

// Public returns the *rsa.PublicKey.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign makes a PKCS#1 v1.5 signature of a SHA-256 digest, and returns an error
// if opts ask for anything else. The reader is not used.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, pss := opts.(*rsa.PSSOptions); pss || opts == nil || opts.HashFunc() != crypto.SHA256 {
		return nil, errors.New("openssl: only PKCS#1 v1.5 with SHA-256 is supported")
	}
	if len(digest) != sha256.Size {
		return nil, fmt.Errorf("openssl: a SHA-256 digest has %d bytes, not %d", sha256.Size, len(digest))
	}
	input := [sha256.Size]byte(digest)
	signature := make([]byte, s.public.Size())
	select {
	case <-s.pool.closed:
		return nil, errors.New("openssl: the signer is closed")
	case w := <-s.pool.idle:
		err := w.sign(&input, signature)
		s.pool.idle <- w
		// The cleanup must not free w while it is at work.
		runtime.KeepAlive(s)
		if err != nil {
			return nil, err
		}
		return signature, nil
	}
}

// Close erases the key from OpenSSL's memory, after calls in progress. Later
// calls of Sign return an error. A signer that is never closed is erased when
// it has become unreachable.
func (s *Signer) Close() error {
	s.cleanup.Stop()
	s.pool.close()
	return nil
}

const redacted = "openssl signer [redacted]"

// String says what it is.
func (s *Signer) String() string { return redacted }

// GoString is String.
func (s *Signer) GoString() string { return redacted }

// LogValue is String.
func (s *Signer) LogValue() slog.Value { return slog.StringValue(redacted) }

// call calls a C function. The arguments that are pointers into Go memory must
// be converted in the list of arguments itself: the directive then keeps what
// they point to on the heap and alive until the function returns.
//
//go:uintptrescapes
func call(function uintptr, args ...uintptr) uintptr {
	result, _, _ := purego.SyscallN(function, args...)
	return result
}

// succeeded reads the result of a C function that returns int, which fills only
// the lower half of the register, and for which only 1 is success.
func succeeded(result uintptr) bool { return int32(result) == 1 }

// fail drops what OpenSSL has noted about a failure. The notes belong to the
// thread; they may be those of another one by now, and are then overwritten by
// the next, as OpenSSL keeps sixteen.
func (l *library) fail() { call(l.errClearError) }
