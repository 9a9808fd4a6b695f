package keyring

import (
	"context"
	"fmt"
	"time"
)

// clock tells the time, and whether to believe it.
type clock struct {
	now     func() time.Time
	elapsed func(now time.Time) time.Duration
	witness func(context.Context) (time.Time, error)
	hold    time.Duration

	lastNow     time.Time
	lastElapsed time.Duration
	steadyAt    time.Duration // elapsed time at which the last jump is forgiven
}

func newClock(cfg Config) *clock {
	start := cfg.Now()
	c := &clock{now: cfg.Now, witness: cfg.Witness, hold: cfg.Lead, lastNow: start.Round(0)}
	if cfg.Elapsed != nil {
		c.elapsed = func(time.Time) time.Duration { return cfg.Elapsed() }
	} else {
		c.elapsed = func(now time.Time) time.Duration { return now.Sub(start) }
	}
	c.lastElapsed = c.elapsed(start)
	c.steadyAt = c.lastElapsed
	return c
}

// read returns the time, and as doubt an error wrapping ErrClock if nothing may
// be done on the strength of it.
//
// After a jump the doubt lasts for a whole lead. Either the time before the
// jump was wrong or the time after it is, and a key may therefore look as if it
// had been published for long when it has not; by then it has been.
//
// jumped says that the jump happened since the last call.
func (c *clock) read(ctx context.Context) (now time.Time, jumped bool, doubt error) {
	reading := c.now()
	elapsed := c.elapsed(reading)
	// Round strips the monotonic reading: the difference is to be taken on the
	// clock that people set.
	wall := reading.Round(0)
	jump := wall.Sub(c.lastNow) - (elapsed - c.lastElapsed)
	c.lastNow, c.lastElapsed = wall, elapsed
	now = wall.UTC().Truncate(time.Microsecond)

	if jump.Abs() > maxJump {
		c.steadyAt = elapsed + c.hold
		return now, true, fmt.Errorf("%w: it moved by %v against elapsed time; keys stay as they are for %v", ErrClock, jump.Round(time.Second), c.hold)
	}
	if elapsed < c.steadyAt {
		return now, false, fmt.Errorf("%w: it jumped; keys stay as they are for another %v", ErrClock, (c.steadyAt - elapsed).Round(time.Second))
	}
	if c.witness != nil {
		other, err := c.witness(ctx)
		if err != nil {
			return now, false, fmt.Errorf("%w: asking the second clock: %w", ErrClock, err)
		}
		if d := wall.Sub(other.Round(0)); d.Abs() > maxJump {
			return now, false, fmt.Errorf("%w: it is %v ahead of the second clock; correct the one that is wrong", ErrClock, d.Round(time.Second))
		}
	}
	return now, false, nil
}
