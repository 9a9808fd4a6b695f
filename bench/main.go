// Command bench measures the built program on the machine it runs on and
// prints one table: what was measured, what the goal is, and whether it was
// reached. docs/performance.md says how to read it.
//
// The program under test runs in processes of its own, started as a user would
// start it; AVOUCH_BIN names it. The load generator is this process, so that
// the processor time of the two is told apart by the kernel. Everything that is
// written lies in a temporary directory that is gone afterwards.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"
)

func main() {
	quick := flag.Bool("quick", false, "measure for a shorter time, and 10,000 applications instead of 100,000")
	only := flag.Int("only", 0, "measure this row alone, 1 to 8")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *quick, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is what the measurements share.
type bench struct {
	binary string
	root   string // temporary directory
	effort effort
}

// effort is how long things are measured.
type effort struct {
	rounds int           // of each measurement; the table has their median and best
	round  time.Duration // length of one round
	starts int           // restarts of the platform
	many   int           // applications in the large directory
	settle time.Duration // before a process counts as idle
}

var (
	fullEffort  = effort{rounds: 5, round: 2 * time.Second, starts: 9, many: 100_000, settle: 5 * time.Second}
	quickEffort = effort{rounds: 3, round: time.Second, starts: 3, many: 10_000, settle: 2 * time.Second}
)

func run(ctx context.Context, quick bool, only int) (err error) {
	b := &bench{binary: os.Getenv("AVOUCH_BIN"), effort: fullEffort}
	if quick {
		b.effort = quickEffort
	}
	if b.binary == "" {
		b.binary = filepath.Join("bin", "avouch")
	}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if _, err := os.Stat(b.binary); err != nil {
		return fmt.Errorf("%w; build the program with 'make build', or name it in AVOUCH_BIN", err)
	}
	if b.root, err = os.MkdirTemp("", "avouch-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.root)) }()
	// The generator shares the cores with what it measures: it should not
	// collect garbage often.
	debug.SetGCPercent(1000)

	before, err := activityNow()
	if err != nil {
		return err
	}
	table := machine(ctx)
	for i, measure := range []func(context.Context) ([]row, error){
		b.exchanges, b.identityTokens, b.signatures, b.starts, b.memory, b.manyApplications, b.steadyState, b.management,
	} {
		if only != 0 && only != i+1 {
			continue
		}
		rows, err := measure(ctx)
		if err != nil {
			return fmt.Errorf("row %d: %w", i+1, err)
		}
		for _, r := range rows {
			r.number = i + 1
			table = append(table, r)
		}
	}
	last, err := disturbance(before)
	if err != nil {
		return err
	}
	return write(os.Stdout, append(table, last))
}
