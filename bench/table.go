package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one line of the table.
type row struct {
	number                        int // of the measurement; 0 for what describes the machine
	what, measured, goal, outcome string
}

func write(w io.Writer, table []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "#\twhat\tmeasured\tgoal\toutcome")
	last := 0
	for _, r := range table {
		number := ""
		if r.number != last && r.number != 0 {
			number = fmt.Sprint(r.number)
		}
		last = r.number
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", number, r.what, r.measured, r.goal, r.outcome)
	}
	return t.Flush()
}

// outcome says whether a goal was reached, and if not what bounds the number.
func outcome(reached bool, bound string) string {
	if reached {
		return "reached"
	}
	return "missed: " + bound
}

// machine describes what the numbers were measured on.
func machine(ctx context.Context) []row {
	cpu := runtime.GOARCH
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	library := "no openssl command"
	if out, err := exec.CommandContext(ctx, "openssl", "version").Output(); err == nil {
		if words := strings.Fields(string(out)); len(words) > 1 {
			library = words[0] + " " + words[1]
		}
	}
	return []row{
		{what: "machine", measured: fmt.Sprintf("%d × %s", runtime.NumCPU(), cpu)},
		{what: "versions", measured: runtime.Version() + ", " + library},
	}
}

// activity is what the machine's processors have done so far.
type activity struct {
	all    time.Duration // of all processors, idle or not
	busy   time.Duration // in programs and in the kernel
	stolen time.Duration // taken by the machine underneath a virtual one
	own    time.Duration // of this process and of those it started and saw end
}

func activityNow() (activity, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return activity{}, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal …
	if len(fields) < 9 {
		return activity{}, errors.New("/proc/stat has an unknown form")
	}
	a := activity{own: ownProcessorTime() + childrenProcessorTime()}
	for i, field := range fields[1:9] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return activity{}, err
		}
		spent := time.Duration(n) * time.Second / clockTicks
		a.all += spent
		switch i {
		case 0, 1, 2, 5, 6:
			a.busy += spent
		case 7:
			a.stolen += spent
		}
	}
	return a, nil
}

// disturbance is the last row: how much of the processors others took.
func disturbance(before activity) (row, error) {
	after, err := activityNow()
	if err != nil {
		return row{}, err
	}
	all := float64(after.all - before.all)
	others := max(0, float64(after.busy-before.busy-(after.own-before.own)))
	return row{
		what: "of the processors, other programs took", measured: percent(others / all),
		outcome: "and the machine underneath " + percent(float64(after.stolen-before.stolen)/all),
	}, nil
}

// median is the middle value, or the upper of the two middle ones.
func median[T cmp.Ordered](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// each collects one number of every round.
func each[T any](rounds []*round, of func(*round) T) []T {
	values := make([]T, 0, len(rounds))
	for _, r := range rounds {
		values = append(values, of(r))
	}
	return values
}

// percentile50 and percentile99 name what rows ask of rounds.
func percentile50(r *round) time.Duration { return r.percentile(50) }
func percentile99(r *round) time.Duration { return r.percentile(99) }

func micros(d time.Duration) string {
	return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond))
}
func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
func megabytes(n int64) string     { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
func percent(ratio float64) string { return fmt.Sprintf("%.1f %%", 100*ratio) }
