package tokenapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// form is a decoded request body. Names are compared byte for byte.
type form map[string]string

// readForm reads the body of a token request: form encoding only, no
// compression, each name once. The query is never looked at. It is more
// lenient than the standard library where real clients need it: an unescaped
// blank, comma, pipe or semicolon in a value stands for itself.
func readForm(r *http.Request) (form, *failure) {
	for _, encoding := range r.Header.Values("Content-Encoding") {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			return nil, unsupportedBody("the body is compressed; send it as it is")
		}
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, unsupportedBody("the content type must be application/x-www-form-urlencoded")
	}
	if r.ContentLength > maxForm {
		return nil, bodyTooLarge()
	}
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, bodyTooLarge()
	}
	if err != nil {
		return nil, malformed("the body could not be read to its end")
	}
	return parseForm(string(body))
}

// parseForm decodes application/x-www-form-urlencoded text. A name given
// twice, an escape that is none and a NUL byte make it malformed (threats H5).
func parseForm(body string) (form, *failure) {
	f := make(form, 8)
	for len(body) > 0 {
		var pair string
		pair, body, _ = strings.Cut(body, "&")
		if pair == "" {
			continue
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, ok := unescape(rawName)
		if !ok || name == "" {
			return nil, malformed("a parameter name is not valid form encoding")
		}
		value, ok := unescape(rawValue)
		if !ok {
			return nil, malformed("the value of parameter " + quote(name) + " is not valid form encoding")
		}
		if _, twice := f[name]; twice {
			return nil, malformed("parameter " + quote(name) + " is given more than once")
		}
		if len(f) >= maxParameters {
			return nil, malformed("there are too many parameters")
		}
		f[name] = value
	}
	return f, nil
}

const maxParameters = 100

// unescape decodes one name or value.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, strings.IndexByte(s, 0) < 0
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			out = append(out, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 || hi|lo == 0 {
				return "", false
			}
			out = append(out, byte(hi<<4|lo))
			i += 2
		case 0:
			return "", false
		default:
			out = append(out, c)
		}
	}
	return string(out), true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// scopeTarget works out the resource that the scopes of a version 2
// client_credentials request name. Clients add the OpenID scopes in any order;
// they mean nothing here. Exactly one {resource}/.default must remain; a bare
// .default means Microsoft Graph.
func (a *API) scopeTarget(scope string) (string, *failure) {
	var target string
	found := 0
	for s := range strings.FieldsSeq(scope) {
		switch s {
		case "openid", "profile", "offline_access", "email":
			continue
		}
		found++
		resource, ok := strings.CutSuffix(s, "/.default")
		switch {
		case s == ".default":
			resource, ok = "https://"+a.service.Cloud().GraphHost, true
		case resource == "":
			ok = false
		}
		if !ok {
			return "", scopeWithoutDefault(s)
		}
		target = resource
	}
	switch {
	case found == 0:
		return "", scopeWithoutDefault(scope)
	case found > 1:
		return "", severalResources(scope)
	}
	return target, nil
}
