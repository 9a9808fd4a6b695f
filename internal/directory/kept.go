package directory

import (
	"encoding/json"
	"maps"
)

// Kept holds what clients write to an object and read back and the platform
// itself never reads, by wire name: notes, tags, redirect addresses, a virtual
// machine's size. Whoever writes a member has checked its shape. The values are
// JSON and are not changed in place.
type Kept map[string]json.RawMessage

// With returns a copy in which the member has the value; nil removes it.
func (k Kept) With(name string, value json.RawMessage) Kept {
	after := maps.Clone(k)
	if value == nil {
		delete(after, name)
		return after
	}
	if after == nil {
		after = make(Kept)
	}
	after[name] = value
	return after
}

// Text is the member if it is a JSON string, and "" otherwise.
func (k Kept) Text(name string) string {
	var s string
	if json.Unmarshal(k[name], &s) != nil {
		return ""
	}
	return s
}
