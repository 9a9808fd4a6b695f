package graphapi

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/odata"
)

// defaultPage is how many objects a page holds when $top does not say.
const defaultPage = 100

func (c *call) pageSize() int {
	if c.query.Top > 0 {
		return c.query.Top
	}
	return defaultPage
}

// seal makes a page token of the place where a page ended. Only this tenant's
// same caller can use it, for the same list and query (threats A2).
func (c *call) seal(place any) (string, error) {
	text, err := json.Marshal(place)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, c.api.pages.NonceSize())
	rand.Read(nonce) // never fails
	return hex.EncodeToString(c.api.pages.Seal(nonce, nonce, text, c.pageBinding())), nil
}

// open reads the page token of the request into place; false when there is none.
func (c *call) open(place any) (bool, error) {
	if c.query.SkipToken == "" {
		return false, nil
	}
	refused := badRequest("The $skiptoken is not one that was issued to this caller for this list and query, or the service was restarted since: read the list again from its start.")
	sealed, err := hex.DecodeString(c.query.SkipToken)
	if n := c.api.pages.NonceSize(); err == nil && len(sealed) > n {
		text, err := c.api.pages.Open(nil, sealed[:n], sealed[n:], c.pageBinding())
		if err == nil && json.Unmarshal(text, place) == nil {
			return true, nil
		}
	}
	return false, refused
}

// pageBinding is what a page token holds for: the tenant, the caller, the path
// and the query without its place and size.
func (c *call) pageBinding() []byte {
	q := c.query
	var order []string
	for _, o := range q.OrderBy {
		order = append(order, o.Property.String()+" "+strconv.FormatBool(o.Descending))
	}
	var filter, search string
	if q.Filter != nil {
		filter = q.Filter.String()
	}
	if q.Search != nil {
		search = q.Search.String()
	}
	text, err := json.Marshal([]any{c.tenant, c.caller.Access.Principal, c.caller.Access.Client, c.version, c.op.Path, c.params, filter, search, order})
	if err != nil {
		panic(err) // texts only
	}
	sum := sha256.Sum256(text)
	return sum[:]
}

// nextLink is the address of the page behind the place.
func (c *call) nextLink(place any) (string, error) {
	token, err := c.seal(place)
	if err != nil {
		return "", err
	}
	var kept []string
	for pair := range strings.SplitSeq(c.r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err != nil || strings.EqualFold(name, "$skiptoken") || pair == "" {
			continue
		}
		kept = append(kept, pair)
	}
	kept = append(kept, "$skiptoken="+token)
	// The path as it was read, below the version.
	path, _ := readPath(c.r.URL.EscapedPath())
	_, below, _ := strings.Cut(path, "/")
	segments := strings.Split(below, "/")
	link := c.base
	for _, s := range segments {
		if decoded, err := url.PathUnescape(s); err == nil && strings.HasPrefix(decoded, "(") {
			link += strings.ReplaceAll(strings.ReplaceAll(s, "%28", "("), "%29", ")")
		} else {
			link += "/" + s
		}
	}
	return link + "?" + strings.Join(kept, "&"), nil
}

// narrowing says how a schema's properties are found by an index.
type narrowing struct {
	ids, clientIDs, name string // the properties that are ids, client ids and the display name; "" when there is none
	aliases              []string
}

// selection turns what an index can answer of a checked filter into a selection;
// the whole filter must still be matched against what it finds.
func (n narrowing) selection(filter odata.Expr) directory.Selection {
	var s directory.Selection
	for _, term := range odata.Conjuncts(filter) {
		if path, values, ok := equalsOneOf(term); ok {
			switch property := path.String(); {
			case property == n.ids && s.IDs == nil:
				s.IDs = parseAll(values, directory.ParseObjectID)
			case property == n.clientIDs && n.clientIDs != "" && s.ClientIDs == nil:
				s.ClientIDs = parseAll(values, directory.ParseClientID)
			case property == n.name && len(values) == 1 && s.Name == "":
				s.Name = values[0].Text()
				if values[0].Kind == odata.LiteralString {
					s.Name = values[0].String
				}
			case slices.Contains(n.aliases, property) && len(values) == 1 && s.Alias == "":
				s.Alias = values[0].String
			}
			continue
		}
		if path, value, ok := odata.HasElement(term); ok && value.Kind == odata.LiteralString && slices.Contains(n.aliases, path.String()) && s.Alias == "" {
			s.Alias = value.String
			continue
		}
		if path, text, ok := odata.StartsWith(term); ok && path.String() == n.name && s.NamePrefix == "" {
			s.NamePrefix = text
		}
	}
	return s
}

func equalsOneOf(e odata.Expr) (odata.Path, []odata.Value, bool) {
	if path, value, ok := odata.Equals(e); ok && value.Kind != odata.LiteralNull {
		return path, []odata.Value{value}, true
	}
	return odata.OneOf(e)
}

// parseAll reads ids; what is none matches nothing.
func parseAll[T any](values []odata.Value, parse func(string) (T, error)) []T {
	ids := []T{}
	for _, v := range values {
		if id, err := parse(v.String); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// lister is how objects of one kind are listed, page by page.
type lister[T any] struct {
	schema *odata.Schema
	narrow narrowing
	// page reads up to the selection's limit.
	page func(directory.Selection) ([]T, error)
	// count counts what a selection picks; nil when reading is the only way.
	count  func(directory.Selection) (int, error)
	cursor func(*T) directory.Cursor
	render func(*T) (entity, error)
	// full renders what filters may look at; nil when render does.
	full func(*T) (entity, error)
}

// scanBatch is how many objects are read at once when a filter must look at them
// one by one.
const scanBatch = 500

// place is where a page ended.
type place struct {
	Name string             `json:"n,omitempty"`
	ID   directory.ObjectID `json:"i"`
}

// list answers a list: filter, search, order, page and count. Orders are by
// display name or, when nothing is said, by id.
func list[T any](c *call, l lister[T]) ([]entity, string, *int, error) {
	q := c.query
	s := l.narrow.selection(q.Filter)
	for i, o := range q.OrderBy {
		if i > 0 || o.Property.String() != l.narrow.name {
			return nil, "", nil, unsupportedQuery("Sorting by property '" + o.Property.String() + "' is not supported: sort by " + l.narrow.name + " alone.")
		}
		s.ByName, s.Descending = true, o.Descending
	}
	var count *int
	if q.Count && c.eventual() {
		n, err := l.total(c, s)
		if err != nil {
			return nil, "", nil, err
		}
		count = &n
	}
	var from place
	if going, err := c.open(&from); err != nil {
		return nil, "", nil, err
	} else if going {
		s.After = directory.Cursor{Name: from.Name, ID: from.ID}
	}

	size := c.pageSize()
	picked := []entity{}
	// Each turn reads more than the one before: a filter that fits nothing must
	// not read many objects a few at a time.
	batch := min(scanBatch, 2*size)
	for scanned := 0; ; {
		s.Limit = size + 1 - len(picked)
		if q.Filter != nil || q.Search != nil {
			s.Limit = max(s.Limit, batch)
			batch = min(scanBatch, 2*batch)
		}
		some, err := l.page(s)
		if err != nil {
			return nil, "", nil, err
		}
		for i := range some {
			fits, err := l.fits(q, &some[i])
			if err != nil {
				return nil, "", nil, err
			}
			if !fits {
				continue
			}
			if len(picked) == size {
				next, err := c.nextLink(place{s.After.Name, s.After.ID})
				return picked, next, count, err
			}
			e, err := l.render(&some[i])
			if err != nil {
				return nil, "", nil, err
			}
			picked = append(picked, e)
			s.After = l.cursor(&some[i])
		}
		if len(some) < s.Limit {
			return picked, "", count, nil
		}
		s.After = l.cursor(&some[len(some)-1])
		if scanned += len(some); len(picked) == size || scanned >= maxScanned {
			// What follows may hold nothing that fits; an empty page is allowed.
			next, err := c.nextLink(place{s.After.Name, s.After.ID})
			return picked, next, count, err
		}
	}
}

func (l lister[T]) fits(q *odata.Query, object *T) (bool, error) {
	if q.Filter == nil && q.Search == nil {
		return true, nil
	}
	render := l.full
	if render == nil {
		render = l.render
	}
	e, err := render(object)
	if err != nil {
		return false, err
	}
	ok, err := odata.Match(l.schema, q.Filter, e.read)
	if !ok || err != nil {
		return false, err
	}
	return odata.MatchSearch(l.schema, q.Search, e.read)
}

// total counts everything that the query asks for, all pages together.
func (l lister[T]) total(c *call, s directory.Selection) (int, error) {
	s.ByName, s.Descending = false, false
	if c.query.Filter == nil && c.query.Search == nil && l.count != nil {
		return l.count(s)
	}
	n := 0
	for s.Limit = scanBatch; ; {
		some, err := l.page(s)
		if err != nil {
			return 0, err
		}
		for i := range some {
			fits, err := l.fits(c.query, &some[i])
			if err != nil {
				return 0, err
			}
			if fits {
				n++
			}
		}
		if len(some) < s.Limit {
			return n, nil
		}
		s.After = l.cursor(&some[len(some)-1])
	}
}

// listAll answers a list that is in memory already, such as the owners of one
// object: filter, search, order and count; such lists come in one page unless
// $top says otherwise.
func listAll(c *call, schema *odata.Schema, all []entity) ([]entity, string, *int, error) {
	q := c.query
	picked := []entity{}
	for _, e := range all {
		ok, err := odata.Match(schema, q.Filter, e.read)
		if err == nil && ok {
			ok, err = odata.MatchSearch(schema, q.Search, e.read)
		}
		if err != nil {
			return nil, "", nil, err
		}
		if ok {
			picked = append(picked, e)
		}
	}
	if len(q.OrderBy) > 0 {
		var failed error
		slices.SortStableFunc(picked, func(a, b entity) int {
			n, err := odata.CompareBy(schema, q.OrderBy, a.read, b.read)
			if err != nil {
				failed = err
			}
			return n
		})
		if failed != nil {
			return nil, "", nil, failed
		}
	}
	var count *int
	if q.Count && c.eventual() {
		n := len(picked)
		count = &n
	}
	var from struct{ Skip int }
	if _, err := c.open(&from); err != nil {
		return nil, "", nil, err
	}
	picked = picked[min(from.Skip, len(picked)):]
	if q.Top > 0 && len(picked) > q.Top {
		from.Skip += q.Top
		next, err := c.nextLink(from)
		return picked[:q.Top], next, count, err
	}
	return picked, "", count, nil
}
