package keyring

import (
	"cmp"
	"slices"
	"time"
)

type verb int

const (
	rest     verb = iota
	begin         // create the first active key of an empty store
	prepare       // create a successor
	activate      // hand over from present, if there is one, to key
	remove        // delete key
)

// step is the one thing to do next.
type step struct {
	do      verb
	key     Record
	present *Record
}

// decide says what the stored keys need at the time now. It takes one step at a
// time so that each starts from what is really stored: there is no plan to
// resume after a crash, and none to fall out of date in a race.
func decide(keys []Record, now time.Time, lead, activeFor, keepRetired time.Duration) step {
	var active *Record
	var prepared, retired []Record
	for _, k := range keys {
		switch k.State {
		case Active:
			active = &k
		case Prepared:
			prepared = append(prepared, k)
		case Retired:
			retired = append(retired, k)
		}
	}
	slices.SortFunc(prepared, byAge)

	switch {
	case active == nil && len(prepared) == 0:
		return step{do: begin}
	case active == nil:
		// Nothing can be signed, so the lead is waived in favour of the key
		// that most verifiers will know.
		return step{do: activate, key: prepared[0]}
	case len(prepared) == 0:
		return step{do: prepare}
	}
	due := !now.Before(active.Activated.Add(activeFor))
	known := !now.Before(prepared[0].Created.Add(lead))
	if due && known {
		return step{do: activate, key: prepared[0], present: active}
	}
	// Servers that start together may each prepare a key. Only the eldest will
	// be used, and nothing has been signed by the others.
	if len(prepared) > 1 {
		return step{do: remove, key: prepared[len(prepared)-1]}
	}
	for _, k := range retired {
		if !now.Before(k.Retired.Add(keepRetired)) {
			return step{do: remove, key: k}
		}
	}
	return step{do: rest}
}

// byAge puts elder keys first. All servers agree on the order.
func byAge(a, b Record) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
}
