package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sink keeps what it is given, and may block or fail.
type sink struct {
	mu      sync.Mutex
	batches [][]SignIn
	fail    error
	block   chan struct{} // closed to let writes go on; nil never blocks
}

func (s *sink) RecordSignIns(_ context.Context, records []SignIn) error {
	if s.block != nil {
		<-s.block
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.batches = append(s.batches, append([]SignIn(nil), records...))
	return nil
}

func (s *sink) all() (all []SignIn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.batches {
		all = append(all, b...)
	}
	return all
}

func (s *sink) sizes() (sizes []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.batches {
		sizes = append(sizes, len(b))
	}
	return sizes
}

func record(t *testing.T, s *sink, fn func(t *testing.T, r *Recorder, logs *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		r := NewRecorder(s, time.Now, slog.New(slog.NewTextHandler(&logs, nil)))
		fn(t, r, &logs)
		r.Close()
		r.Close() // again does nothing
	})
}

func issued(i int) SignIn { return SignIn{ID: fmt.Sprint(i), Outcome: Succeeded} }

func refusal(i int, client string) SignIn {
	return SignIn{ID: fmt.Sprint(i), Outcome: Refused, ClientName: client, Reason: "subject-mismatch", Source: "127.0.0.1"}
}

func TestRecordsAreBatched(t *testing.T) {
	s := &sink{}
	record(t, s, func(t *testing.T, r *Recorder, _ *bytes.Buffer) {
		for i := range 5 {
			r.Record(issued(i))
		}
		synctest.Wait()
		if n := len(s.all()); n != 0 {
			t.Errorf("%d records were written before the delay", n)
		}
		time.Sleep(batchDelay + time.Millisecond)
		synctest.Wait()
		if got := fmt.Sprint(s.sizes()); got != "[5]" {
			t.Errorf("batches %s, want one of 5", got)
		}
		// A full batch does not wait.
		for i := range batchSize + 1 {
			r.Record(issued(i))
		}
		synctest.Wait()
		if got := fmt.Sprint(s.sizes()); got != fmt.Sprintf("[5 %d]", batchSize) {
			t.Errorf("batches %s", got)
		}
	})
	if n := len(s.all()); n != 5+batchSize+1 {
		t.Errorf("after Close there are %d records", n)
	}
	for i, rec := range s.all()[:5] {
		if rec.ID != fmt.Sprint(i) {
			t.Errorf("record %d is %s: the order changed", i, rec.ID)
		}
	}
}

func TestFlush(t *testing.T) {
	s := &sink{}
	record(t, s, func(t *testing.T, r *Recorder, _ *bytes.Buffer) {
		for i := range 3 {
			r.Record(issued(i))
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(s.all()); n != 3 {
			t.Errorf("after Flush there are %d records", n)
		}
		r.Close()
		if err := r.Flush(t.Context()); err != nil {
			t.Errorf("Flush after Close: %v", err)
		}
	})
}

func TestFlushEndsWithItsContext(t *testing.T) {
	s := &sink{}
	record(t, s, func(t *testing.T, r *Recorder, _ *bytes.Buffer) {
		s.block = make(chan struct{})
		r.Record(issued(1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush on a blocked sink: %v", err)
		}
		close(s.block)
	})
}

// The token path never waits: when the sink hangs, records are dropped and
// counted, and the log says so once.
func TestFullQueueDrops(t *testing.T) {
	s := &sink{}
	const more = 100
	record(t, s, func(t *testing.T, r *Recorder, logs *bytes.Buffer) {
		s.block = make(chan struct{})
		for i := range batchSize {
			r.Record(issued(i))
		}
		synctest.Wait() // the sink hangs with the first batch
		for i := range queueLength + more {
			r.Record(issued(i))
		}
		if n := r.Dropped(); n != more {
			t.Errorf("%d records were dropped, want %d", n, more)
		}
		if n := strings.Count(logs.String(), "being dropped"); n != 1 {
			t.Errorf("the log says %d times that records are dropped:\n%s", n, logs)
		}
		close(s.block)
	})
	if n := len(s.all()); n != batchSize+queueLength {
		t.Errorf("%d records were kept", n)
	}
}

func TestFailingSinkCounts(t *testing.T) {
	s := &sink{fail: errors.New("the disk is full")}
	record(t, s, func(t *testing.T, r *Recorder, logs *bytes.Buffer) {
		for i := range 7 {
			r.Record(issued(i))
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := r.Dropped(); n != 7 {
			t.Errorf("%d records were counted as dropped", n)
		}
		if !strings.Contains(logs.String(), "the disk is full") {
			t.Errorf("the log does not say why:\n%s", logs)
		}
		s.mu.Lock()
		s.fail = nil
		s.mu.Unlock()
		r.Record(issued(8))
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := s.all(); len(got) != 1 || got[0].ID != "8" {
			t.Errorf("after the sink has recovered there are %v", got)
		}
	})
}

// Of a flood of like refusals the first ten are kept, and one more that counts
// the rest; others are not touched by it.
func TestFloodIsCounted(t *testing.T) {
	s := &sink{}
	record(t, s, func(t *testing.T, r *Recorder, _ *bytes.Buffer) {
		for i := range 50 {
			r.Record(refusal(i, "orders"))
			r.Record(issued(i))
		}
		for i := range 3 {
			r.Record(refusal(100+i, "reports"))
		}
		time.Sleep(batchDelay + time.Millisecond)
		synctest.Wait()
		count := make(map[string]int)
		for _, rec := range s.all() {
			count[string(rec.Outcome)+rec.ClientName]++
		}
		if got := fmt.Sprint(count); got != "map[refusedorders:10 refusedreports:3 success:50]" {
			t.Errorf("kept %s", got)
		}
		time.Sleep(2*floodWindow + time.Second)
		synctest.Wait()
		all := s.all()
		last := all[len(all)-1]
		if last.ClientName != "orders" || last.Repeats != 40 || last.ID != "49" {
			t.Errorf("the flood ends with %+v", last)
		}
		// After its end the same refusal is news again.
		r.Record(refusal(200, "orders"))
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		all = s.all()
		if last := all[len(all)-1]; last.ID != "200" || last.Repeats != 0 {
			t.Errorf("after the flood: %+v", last)
		}
	})
}

func TestCloseTellsFloods(t *testing.T) {
	s := &sink{}
	record(t, s, func(t *testing.T, r *Recorder, _ *bytes.Buffer) {
		for i := range 30 {
			r.Record(refusal(i, "orders"))
		}
	})
	all := s.all()
	if len(all) != floodInFull+1 || all[floodInFull].Repeats != 20 {
		t.Errorf("%d records, the last %+v", len(all), all[len(all)-1])
	}
}

// Strangers who make up names cannot make the recorder remember them all.
func TestManyFloodsAreBounded(t *testing.T) {
	f := newFloods()
	now := time.Now()
	for i := range 3 * floodKeys {
		rec := refusal(i, fmt.Sprintf("made up %d", i))
		f.admit(&rec, now)
	}
	if n := len(f.seen); n > floodKeys+1 {
		t.Errorf("%d floods are remembered", n)
	}
}

// "The first ten a minute and a count of the rest" holds for a flood that
// lasts, too.
func TestLongFloodIsToldEveryMinute(t *testing.T) {
	s := &sink{}
	record(t, s, func(t *testing.T, r *Recorder, _ *bytes.Buffer) {
		for i := range 5 * 60 * 20 { // five minutes, 20 a second
			r.Record(refusal(i, "orders"))
			time.Sleep(50 * time.Millisecond)
		}
		synctest.Wait()
		full, told := 0, 0
		for _, rec := range s.all() {
			if rec.Repeats > 0 {
				told++
			} else {
				full++
			}
		}
		if told < 4 || full < 40 {
			t.Errorf("in five minutes %d records in full and %d counts", full, told)
		}
	})
}
