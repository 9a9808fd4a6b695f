package imds

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/avouch/avouch/internal/sts"
)

// appendString appends s as a JSON string. Text that is not UTF-8 loses the
// bytes that are not.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var char rune
			char, size = utf8.DecodeRuneInString(s[i:])
			if char != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		b = append(b, s[from:i]...)
		switch {
		case c >= utf8.RuneSelf:
			b = append(b, "\uFFFD"...)
		case c < ' ':
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, '\\', c)
		}
		i += size
		from = i
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// appendToken begins a success body. A token is base64url and dots: nothing in
// it needs escaping, and looking for what does would be half the work of an
// answer.
func appendToken(b []byte, r *sts.IdentityResponse) []byte {
	b = append(b, `{"access_token":"`...)
	b = append(b, r.Token...)
	b = append(b, `","client_id":"`...)
	b = append(b, r.Identity.ClientID.String()...)
	return append(b, '"')
}

// appendMember appends a member of an object whose value is a string; the
// name, with its punctuation, stands before it.
func appendMember(b []byte, name, value string) []byte {
	return appendString(append(b, name...), value)
}

// appendNumber is appendMember for a whole number, which all dialects write as
// a string.
func appendNumber(b []byte, name string, n int64) []byte {
	b = append(b, name...)
	b = append(b, '"')
	b = strconv.AppendInt(b, n, 10)
	return append(b, '"')
}

// secondsLeft is the token's remaining life by the clock that made it.
func secondsLeft(r *sts.IdentityResponse) int64 {
	return max(0, int64(r.Expires.Sub(r.Now)/time.Second))
}

// printable makes a caller's value safe to repeat: at most 128 characters,
// without control or direction marks, and without the word that makes clients
// take an answer for that of a broken proxy.
func printable(s string) string {
	const most = 128
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n++; n > most {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(c) {
			c = utf8.RuneError
		}
		b.WriteRune(c)
	}
	if strings.Contains(strings.ToLower(b.String()), "unreachable") {
		return "…"
	}
	return b.String()
}
