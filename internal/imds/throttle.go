package imds

import (
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// The original service's limits for the token requests of one host.
const (
	throttleRate  = 20
	throttleBurst = 40
	throttleOpen  = 5
)

// meter counts one host's token requests.
type meter struct {
	limiter *rate.Limiter
	open    atomic.Int32
}

// meter returns the host's, or nil when there is no throttling. There is one
// a host, whichever dialect it speaks.
func (s *Service) meter(who caller) *meter {
	if !s.throttle {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.meters[who]
	if m == nil {
		m = &meter{limiter: rate.NewLimiter(throttleRate, throttleBurst)}
		s.meters[who] = m
	}
	return m
}

// enter reports whether one more request may be answered now; leave ends one
// that was let in.
func (m *meter) enter(now time.Time) bool {
	if m.open.Add(1) > throttleOpen {
		m.open.Add(-1)
		return false
	}
	if !m.limiter.AllowN(now, 1) {
		m.open.Add(-1)
		return false
	}
	return true
}

func (m *meter) leave() { m.open.Add(-1) }
