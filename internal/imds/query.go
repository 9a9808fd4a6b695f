package imds

import (
	"strings"
	"unicode/utf8"
)

// parameter is what a query parameter means, however it is spelled.
type parameter int

const (
	apiVersion parameter = iota
	resource
	clientID
	legacyClientID
	objectID
	resourceID
	bypassCache
	parameters // how many there are
)

// spellings are the names that clients use. Two spellings of one parameter in
// one request are that parameter given twice.
var spellings = [...]struct {
	name string
	is   parameter
}{
	{"api-version", apiVersion},
	{"resource", resource},
	{"client_id", clientID},
	{"clientid", legacyClientID},
	{"object_id", objectID},
	{"principal_id", objectID},
	{"msi_res_id", resourceID},
	{"mi_res_id", resourceID},
	{"msi-res-id", resourceID},
	{"bypass_cache", bypassCache},
}

// query is a decoded query string. A parameter without a value counts as
// absent: some clients send the name alone.
type query struct {
	value [parameters]string
}

// ids counts how many ways of naming an identity the query uses.
func (q *query) ids() int {
	n := 0
	for _, p := range [...]parameter{clientID, legacyClientID, objectID, resourceID} {
		if q.value[p] != "" {
			n++
		}
	}
	return n
}

// mostParameters bounds the work that one query can cause.
const mostParameters = 32

// parseQuery decodes a query string. It is strict where two readers could
// disagree: every name once, in any case; names in ASCII; no escapes that are
// none; no semicolons; values are UTF-8 text without control characters.
// Unknown parameters are left aside. The second result says what is wrong,
// and is empty when nothing is.
func parseQuery(raw string) (q query, wrong string) {
	var seen [parameters]bool
	var unknown [mostParameters]string
	others, count := 0, 0
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		if count++; count > mostParameters {
			return query{}, "there are too many parameters"
		}
		rawName, rawValue, _ := strings.Cut(pair, "=")
		name, ok := unescape(rawName)
		if !ok || !isASCII(name) {
			return query{}, "a parameter name is not valid"
		}
		value, ok := unescape(rawValue)
		if !ok {
			return query{}, "the value of '" + printable(name) + "' is not valid"
		}
		is := parameters
		for i := range spellings {
			if strings.EqualFold(name, spellings[i].name) {
				is = spellings[i].is
				break
			}
		}
		if is == parameters {
			for _, other := range unknown[:others] {
				if strings.EqualFold(name, other) {
					return query{}, "parameter '" + printable(name) + "' is given more than once"
				}
			}
			unknown[others] = name
			others++
			continue
		}
		if seen[is] {
			return query{}, "parameter '" + printable(name) + "' is given more than once"
		}
		seen[is] = true
		q.value[is] = value
	}
	return q, ""
}

func isASCII(s string) bool {
	var all byte
	for i := range len(s) {
		all |= s[i]
	}
	return all < utf8.RuneSelf
}

// unescape decodes one name or value; escaped and unescaped colons and slashes
// are the same.
func unescape(s string) (string, bool) {
	plain := true
	for i := range len(s) {
		switch c := s[i]; {
		case c == ';' || c < ' ' || c == 0x7f:
			return "", false
		case c == '%' || c == '+':
			plain = false
		}
	}
	if plain {
		return s, isASCII(s) || utf8.ValidString(s)
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			high, low := unhex(s[i+1]), unhex(s[i+2])
			if high > 15 || low > 15 {
				return "", false
			}
			c = high<<4 | low
			if c < ' ' || c == 0x7f {
				return "", false
			}
			i += 2
		}
		out = append(out, c)
	}
	return string(out), utf8.Valid(out)
}

// unhex is the value of a hexadecimal digit, or 255.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
