package graphapi

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" // names certificates, as Windows does; nothing rests on it
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/avouch/avouch/internal/directory"
)

// maxKeys is how many certificates one application may have.
const maxKeys = 50

// minRSA is the shortest modulus that is accepted, in bits (threats J6).
const minRSA = 2048

func (a *API) keyRoutes() []Operation {
	return []Operation{
		{Method: http.MethodPost, Path: "/applications/{id}/addPassword", Need: updateCredentials, Handle: refusePassword},
		{Method: http.MethodPost, Path: "/applications/{id}/removePassword", Need: updateCredentials, Handle: refusePassword},
		{Method: http.MethodPost, Path: "/applications/{id}/addKey", Need: updateCredentials, Handle: refuseAddKey},
		{Method: http.MethodPost, Path: "/applications/{id}/removeKey", Need: updateCredentials, Handle: removeKey},
		{Method: http.MethodPost, Path: "/servicePrincipals/{id}/addPassword", Need: updatePrincipal, Handle: refusePassword},
		{Method: http.MethodPost, Path: "/servicePrincipals/{id}/removePassword", Need: updatePrincipal, Handle: refusePassword},
		{Method: http.MethodPost, Path: "/servicePrincipals/{id}/addKey", Need: updatePrincipal, Handle: refusePrincipalKey},
		{Method: http.MethodPost, Path: "/servicePrincipals/{id}/removeKey", Need: updatePrincipal, Handle: refusePrincipalKey},
		{Method: http.MethodPost, Path: "/servicePrincipals/{id}/addTokenSigningCertificate", Need: updatePrincipal, Handle: refusePrincipalKey},
	}
}

func refusePassword(*call) error { return noPasswords() }

func refuseAddKey(*call) error {
	return notOffered("The action addKey is not offered: write the application's keyCredentials with PATCH /applications/{id}.")
}

func refusePrincipalKey(*call) error {
	return notOffered("Service principals have no credentials of their own here: give them to the application, as keyCredentials or as federated identity credentials.")
}

// keyEntity is a certificate as reads show it: itself only when asked for.
func keyEntity(k *directory.KeyCredential, whole bool) entity {
	var certificate any
	if whole {
		certificate = k.Certificate
	}
	return entity{
		{"customKeyIdentifier", orNull(k.Thumbprint)}, {"displayName", orNull(k.Name)}, {"endDateTime", instant(k.NotAfter)},
		{"key", certificate}, {"keyId", k.ID.String()}, {"startDateTime", instant(k.NotBefore)}, {"type", "AsymmetricX509Cert"}, {"usage", "Verify"},
	}
}

// readKeys reads keyCredentials, which replace those that there are. One without
// its certificate is one that is there and stays: clients send back what they
// have read.
func readKeys(raw json.RawMessage, present []directory.KeyCredential) ([]directory.KeyCredential, error) {
	all, err := objects(raw, "keyCredentials")
	if err != nil {
		return nil, err
	}
	if len(all) > maxKeys {
		return nil, badRequest("An application has at most %d keyCredentials.", maxKeys)
	}
	seen := make(map[directory.ObjectID]bool)
	var keys []directory.KeyCredential
	for i, b := range all {
		k, err := readKeyCredential(b, fmt.Sprintf("keyCredentials[%d].", i), present)
		if err != nil {
			return nil, err
		}
		if seen[k.ID] {
			return nil, badRequest("Property 'keyCredentials[%d].keyId' is that of another key.", i)
		}
		seen[k.ID] = true
		keys = append(keys, k)
	}
	return keys, nil
}

func readKeyTimes(b body, at string, k *directory.KeyCredential) error {
	for name, into := range map[string]*time.Time{"startDateTime": &k.NotBefore, "endDateTime": &k.NotAfter} {
		var text string
		set, err := b.text(name, &text)
		if err != nil {
			return err
		}
		if !set || text == "" {
			continue
		}
		if *into, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return wrongType(at+name, "Edm.DateTimeOffset")
		}
	}
	return nil
}

func readOneKey(b body, at string, present []directory.KeyCredential) (directory.KeyCredential, error) {
	var k directory.KeyCredential
	if err := b.refuse("keyCredential", "customKeyIdentifier", "displayName", "endDateTime", "key", "keyId", "startDateTime", "type", "usage"); err != nil {
		return k, err
	}
	var kind, usage, id string
	for name, into := range map[string]*string{"type": &kind, "usage": &usage, "keyId": &id, "displayName": &k.Name, "customKeyIdentifier": &k.Thumbprint} {
		if _, err := b.text(name, into); err != nil {
			return k, err
		}
		if len(*into) > 256 {
			return k, badRequest("Property '%s%s' is too long.", at, name)
		}
	}
	if kind != "AsymmetricX509Cert" || usage != "Verify" {
		return k, badRequest("Property '%stype' must be 'AsymmetricX509Cert' and '%susage' 'Verify': only public keys in certificates are kept.", at, at)
	}
	if id != "" {
		var err error
		if k.ID, err = directory.ParseObjectID(id); err != nil {
			return k, wrongType(at+"keyId", "Edm.Guid")
		}
	}
	var certificate []byte
	if raw, ok := b["key"]; ok && json.Unmarshal(raw, &certificate) != nil {
		return k, wrongType(at+"key", "Edm.Binary")
	}
	for _, old := range present {
		if old.ID == k.ID && (certificate == nil || bytes.Equal(certificate, old.Certificate)) {
			// The dates of a key cannot be moved: that would be another key.
			return old, nil
		}
	}
	if certificate == nil {
		return k, badRequest("Property '%skey' is required: the certificate, DER in base64.", at)
	}
	return k, completeKey(b, at, &k, certificate)
}

func readKeyCredential(b body, at string, present []directory.KeyCredential) (directory.KeyCredential, error) {
	k, err := readOneKey(b, at, present)
	if err == nil && k.ID.IsZero() {
		k.ID = directory.NewObjectID()
	}
	return k, err
}

// completeKey checks a new certificate.
func completeKey(b body, at string, k *directory.KeyCredential, der []byte) error {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return badRequest("Property '%skey' is not an X.509 certificate: send it as DER in base64.", at)
	}
	switch key := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSA {
			return badRequest("Property '%skey' holds an RSA key of %d bits; at least %d are needed.", at, key.N.BitLen(), minRSA)
		}
	case *ecdsa.PublicKey:
	default:
		return badRequest("Property '%skey' holds a key that is neither RSA nor ECDSA.", at)
	}
	k.Certificate, k.NotBefore, k.NotAfter = der, certificate.NotBefore.UTC(), certificate.NotAfter.UTC()
	if err := readKeyTimes(b, at, k); err != nil {
		return err
	}
	switch {
	case k.NotAfter.After(certificate.NotAfter):
		return badRequest("Key credential end date is invalid: '%sendDateTime' is after the end of the certificate.", at)
	case k.NotBefore.Before(certificate.NotBefore):
		return badRequest("Key credential start date is invalid: '%sstartDateTime' is before the start of the certificate.", at)
	case !k.NotBefore.Before(k.NotAfter):
		return badRequest("Key credential end date is invalid: '%sendDateTime' is not after '%sstartDateTime'.", at, at)
	}
	if k.Thumbprint == "" {
		sum := sha1.Sum(der)
		text, err := json.Marshal(sum[:])
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &k.Thumbprint)
	}
	return nil
}

// removeKey takes a certificate away. The proof that the real service asks for is
// read and not needed: the caller's right is.
func removeKey(c *call) error {
	key, err := c.applicationKey(0)
	if err != nil {
		return err
	}
	b, err := c.readBody()
	if err != nil {
		return err
	}
	if err := b.refuse("removeKey", "keyId", "proof"); err != nil {
		return err
	}
	id, err := b.guid("", "keyId")
	if err != nil {
		return err
	}
	_, err = c.api.manage.ChangeApplication(c.ctx, c.caller, c.tenant, key, func(a *directory.Application) error {
		for i := range a.Keys {
			if a.Keys[i].ID == id {
				a.Keys = append(a.Keys[:i:i], a.Keys[i+1:]...)
				return nil
			}
		}
		return badRequest("No credentials found to be removed: no key has the keyId %s.", id)
	})
	if err != nil {
		return applicationFault(err)
	}
	return c.replyNone()
}
