package directory

// Selection picks directory objects of one kind in one tenant. The zero
// Selection picks all of them. Conditions are joined by and; each is answered by
// an index.
type Selection struct {
	IDs        []ObjectID // one of these; nil: any, empty: none
	ClientIDs  []ClientID // one of these; nil: any, empty: none
	Alias      string     // an application's identifier URI, a service principal's name, a user's principal name
	Name       string     // display name, compared without case
	NamePrefix string     // beginning of the display name, compared without case
	UniqueName string     // an application's unique name

	ByName     bool // in the order of display names, without case, then ids; else of ids
	Descending bool
	After      Cursor // go on behind this object; zero: from the start
	Limit      int    // 0: no limit
}

// Cursor is where a page ended.
type Cursor struct {
	Name string // display name, where the order is by name
	ID   ObjectID
}
