package manage

// pair is an entry of a file and the stored object that it describes; stored
// is nil when the object is to be created.
type pair[E, S any] struct {
	entry  *E
	stored *S
}

// matcher gives the keys under which an entry and a stored object are the same.
type matcher[E, S any] struct {
	entry  func(*E) []string
	stored func(*S) []string
}

// pairUp finds for each entry the stored object that it describes. The matchers
// are tried in order, each on what the ones before left over; a key pairs only
// when exactly one entry and one object that are still free have it. It returns
// a pair for each entry, in order, and the objects that no entry describes.
func pairUp[E, S any](entries []E, stored []S, matchers ...matcher[E, S]) (pairs []pair[E, S], unlisted []*S) {
	pairs = make([]pair[E, S], len(entries))
	for i := range entries {
		pairs[i].entry = &entries[i]
	}
	taken := make([]bool, len(stored))
	for _, m := range matchers {
		entriesWith := make(map[string]int)
		storedWith := make(map[string][]int)
		for _, p := range pairs {
			if p.stored == nil {
				for _, k := range m.entry(p.entry) {
					entriesWith[k]++
				}
			}
		}
		for j := range stored {
			if !taken[j] {
				for _, k := range m.stored(&stored[j]) {
					storedWith[k] = append(storedWith[k], j)
				}
			}
		}
		for i := range pairs {
			if pairs[i].stored != nil {
				continue
			}
			for _, k := range m.entry(pairs[i].entry) {
				if j := storedWith[k]; entriesWith[k] == 1 && len(j) == 1 && !taken[j[0]] {
					pairs[i].stored, taken[j[0]] = &stored[j[0]], true
					break
				}
			}
		}
	}
	for j := range stored {
		if !taken[j] {
			unlisted = append(unlisted, &stored[j])
		}
	}
	return pairs, unlisted
}
