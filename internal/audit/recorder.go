package audit

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Sink is where sign-in records are kept. One call is one transaction.
type Sink interface {
	RecordSignIns(ctx context.Context, records []SignIn) error
}

// Recorder hands sign-in records to a sink in batches, behind the back of the
// requests that made them: the token path never waits for a disk. When the
// sink is slow or full, records are dropped and counted, and tokens go on being
// issued. A flood of like refusals is kept as its first ten a minute and a
// count of the rest.
type Recorder struct {
	sink    Sink
	log     *slog.Logger
	now     func() time.Time
	queue   chan SignIn
	flush   chan chan struct{}
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once
	dropped atomic.Int64
}

const (
	queueLength  = 16384
	batchSize    = 512
	batchDelay   = 100 * time.Millisecond
	floodWindow  = time.Minute
	floodInFull  = 10
	floodKeys    = 4096
	writeTimeout = 10 * time.Second
)

// NewRecorder starts the recorder; Close ends it.
func NewRecorder(sink Sink, now func() time.Time, log *slog.Logger) *Recorder {
	r := &Recorder{
		sink: sink, log: log, now: now,
		queue: make(chan SignIn, queueLength), flush: make(chan chan struct{}),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	go r.run()
	return r
}

// Record takes a finished record. It never blocks.
func (r *Recorder) Record(rec SignIn) {
	select {
	case r.queue <- rec:
	default:
		if r.dropped.Add(1) == 1 {
			r.log.Error("sign-in records are being dropped: the store does not keep up")
		}
	}
}

// Dropped is how many records were lost since the start.
func (r *Recorder) Dropped() int64 { return r.dropped.Load() }

// Flush returns when everything recorded before the call is in the sink, or
// the context ends.
func (r *Recorder) Flush(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case r.flush <- done:
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close writes what is left and stops. Records that come later are dropped.
func (r *Recorder) Close() {
	r.once.Do(func() { close(r.stop) })
	<-r.done
}

func (r *Recorder) run() {
	defer close(r.done)
	floods := newFloods()
	batch := make([]SignIn, 0, batchSize)
	// A batch is written when it is full or this long after its first record.
	due := time.NewTimer(batchDelay)
	defer due.Stop()
	// The windows of floods that have stopped are closed by the clock.
	window := time.NewTicker(floodWindow)
	defer window.Stop()

	write := func() {
		if len(batch) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
		defer cancel()
		if err := r.sink.RecordSignIns(ctx, batch); err != nil {
			r.dropped.Add(int64(len(batch)))
			r.log.Error("sign-in records were lost", "count", len(batch), "error", err)
		}
		clear(batch)
		batch = batch[:0]
	}
	keep := func(records ...SignIn) {
		for i := range records {
			if len(batch) == 0 {
				due.Reset(batchDelay)
			}
			if batch = append(batch, records[i]); len(batch) == batchSize {
				write()
			}
		}
	}
	take := func(rec SignIn) {
		summary, admitted := floods.admit(&rec, r.now())
		keep(summary...)
		if admitted {
			r.tell(&rec)
			keep(rec)
		}
	}
	drain := func() {
		for {
			select {
			case rec := <-r.queue:
				take(rec)
			default:
				write()
				return
			}
		}
	}
	for {
		select {
		case rec := <-r.queue:
			take(rec)
		case <-due.C:
			write()
		case <-window.C:
			keep(floods.ended(r.now())...)
		case done := <-r.flush:
			drain()
			close(done)
		case <-r.stop:
			drain()
			keep(floods.all()...)
			write()
			return
		}
	}
}

// tell writes the record's line to the log, so that whoever watches a platform
// sees a refusal, and how to mend it, the moment it happens.
func (r *Recorder) tell(rec *SignIn) {
	level, message := slog.LevelDebug, "token issued"
	if rec.Outcome != Succeeded {
		level, message = slog.LevelInfo, "token refused"
	}
	if !r.log.Enabled(context.Background(), level) {
		return
	}
	r.log.Log(context.Background(), level, message,
		"kind", string(rec.Kind), "tenant", rec.TenantName, "client", rec.ClientName, "resource", rec.Resource,
		"code", rec.Code, "reason", rec.Reason, "detail", rec.Detail, "trace", rec.ID)
}

// floods counts like refusals.
type floods struct {
	seen map[floodKey]*flood
}

type floodKey struct {
	source, tenant, client, reason string
}

type flood struct {
	since  time.Time
	count  int
	last   SignIn // the latest one left out
	hidden int
}

func newFloods() *floods { return &floods{seen: make(map[floodKey]*flood)} }

// admit reports whether the record is to be kept in full. When it begins a new
// window, the summary of the one before comes with the answer.
func (f *floods) admit(rec *SignIn, now time.Time) (summary []SignIn, admitted bool) {
	if rec.Outcome != Refused {
		return nil, true
	}
	key := floodKey{rec.Source, rec.TenantName, rec.ClientName, rec.Reason}
	seen := f.seen[key]
	if seen == nil && len(f.seen) >= floodKeys {
		// Strangers choose names; when there are too many, only the reason counts.
		key = floodKey{reason: rec.Reason}
		seen = f.seen[key]
	}
	if seen != nil && seen.over(now) {
		summary = seen.summary()
		seen = nil
	}
	if seen == nil {
		seen = &flood{since: now}
		f.seen[key] = seen
	}
	if seen.count++; seen.count <= floodInFull {
		return summary, true
	}
	seen.hidden++
	seen.last = *rec
	return summary, false
}

// over reports whether the window has ended, also when the clock was set back.
func (s *flood) over(now time.Time) bool {
	age := now.Sub(s.since)
	return age < 0 || age >= floodWindow
}

// ended closes the windows that are over and returns a record for each that
// left something out.
func (f *floods) ended(now time.Time) []SignIn {
	var out []SignIn
	for key, seen := range f.seen {
		if !seen.over(now) {
			continue
		}
		out = append(out, seen.summary()...)
		delete(f.seen, key)
	}
	return out
}

func (f *floods) all() []SignIn {
	var out []SignIn
	for _, seen := range f.seen {
		out = append(out, seen.summary()...)
	}
	clear(f.seen)
	return out
}

func (s *flood) summary() []SignIn {
	if s.hidden == 0 {
		return nil
	}
	s.last.Repeats = s.hidden
	return []SignIn{s.last}
}
