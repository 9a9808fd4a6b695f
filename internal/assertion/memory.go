package assertion

import (
	"crypto/sha256"
	"sync"
	"time"
)

// memory is a bounded set of tokens whose signature was good, each with the key that
// made it. It holds hashes only: nothing in it is worth stealing, and since it is
// keyed by the whole token, a second token with the same content (a malleable
// signature, say) is a second entry.
//
// It is safe for concurrent use; the zero memory holds nothing. It is split so that
// many cores do not wait for one lock.
type memory struct {
	shards []shard
}

const shardCount = 16

type shard struct {
	mu       sync.RWMutex
	capacity int
	place    map[[sha256.Size]byte]int // in entries
	entries  []entry
	oldest   int // the next to be overwritten once entries is full
}

type entry struct {
	token   [sha256.Size]byte
	key     [sha256.Size]byte
	expires int64 // Unix seconds
}

func newMemory(capacity int) memory {
	if capacity <= 0 {
		return memory{}
	}
	n := shardCount
	if capacity < n {
		n = 1
	}
	m := memory{shards: make([]shard, n)}
	for i := range m.shards {
		m.shards[i].capacity = capacity / n
		m.shards[i].place = map[[sha256.Size]byte]int{}
	}
	return m
}

// shard picks by the hash's last byte: an attacker would have to find hashes, and
// sign tokens that have them, to fill one only.
func (m *memory) shard(token [sha256.Size]byte) *shard {
	if len(m.shards) == 0 {
		return nil
	}
	return &m.shards[int(token[sha256.Size-1])%len(m.shards)]
}

// has says whether this very token was verified with this very key.
func (m *memory) has(token, key [sha256.Size]byte) bool {
	s := m.shard(token)
	if s == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, ok := s.place[token]
	return ok && s.entries[i].key == key
}

// add remembers a token until others need its room. Among the entries that would go
// next an expired one goes first.
func (m *memory) add(token, key [sha256.Size]byte, expires, now time.Time) {
	s := m.shard(token)
	if s == nil {
		return
	}
	e := entry{token, key, expires.Unix()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.place[token]; ok {
		s.entries[i] = e
		return
	}
	if len(s.entries) < s.capacity {
		s.place[token] = len(s.entries)
		s.entries = append(s.entries, e)
		return
	}
	victim := s.oldest
	for i := range min(8, s.capacity) {
		if at := (s.oldest + i) % s.capacity; s.entries[at].expires < now.Unix() {
			victim = at
			break
		}
	}
	if victim == s.oldest {
		s.oldest = (s.oldest + 1) % s.capacity
	}
	delete(s.place, s.entries[victim].token)
	s.place[token] = victim
	s.entries[victim] = e
}
