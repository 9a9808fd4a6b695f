package manage

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/avouch/avouch/internal/audit"
)

// Op is what a step does to its target.
type Op string

// The operations.
const (
	Create Op = "create"
	Update Op = "update"
	Delete Op = "delete"
)

// Plan is what a change did, or would do, in order.
type Plan struct {
	DryRun   bool      `json:"dryRun,omitempty"` // nothing was changed
	Steps    []Step    `json:"steps"`
	Warnings []Warning `json:"warnings,omitempty"`
}

// Step is one object created, updated or deleted. A created object's Fields
// have no Before, a deleted one's no After.
type Step struct {
	Op     Op            `json:"op"`
	Target audit.Target  `json:"target"`
	Fields []FieldChange `json:"fields,omitempty"`
}

// FieldChange is a field before and after, as people write it.
type FieldChange struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// Warning says that what was written will probably not do what was meant.
// It refuses nothing.
type Warning struct {
	Target  audit.Target `json:"target"`
	Where   string       `json:"where,omitempty"` // file:line:column: path; "" when no file states it
	Field   string       `json:"field"`
	Message string       `json:"message"`
	Mend    string       `json:"mend,omitempty"`
}

// Empty reports whether the plan changes nothing. Warnings do not count.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// WriteDiff prints the plan for people: one line for each object (+ created,
// ~ updated, - deleted) followed by its fields, then the warnings, then a
// summary line. Values that hold control characters, bidirectional marks or
// blanks at their ends are printed quoted. Color uses terminal colours.
func (p *Plan) WriteDiff(w io.Writer, color bool) error {
	paint := func(code, s string) string {
		if !color {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	var b strings.Builder
	counts := make(map[Op]int)
	for _, s := range p.Steps {
		counts[s.Op]++
		sign, code := "~", "33"
		switch s.Op {
		case Create:
			sign, code = "+", "32"
		case Delete:
			sign, code = "-", "31"
		}
		fmt.Fprintln(&b, paint(code, sign+" "+s.Target.Kind+" "+show(s.Target.Name)))
		for _, f := range s.Fields {
			switch s.Op {
			case Create:
				fmt.Fprintf(&b, "    %s: %s\n", f.Name, show(f.After))
			case Update:
				fmt.Fprintf(&b, "    %s: %s -> %s\n", f.Name, orNone(f.Before), orNone(f.After))
			}
		}
	}
	for _, warning := range p.Warnings {
		where := warning.Where
		if where == "" {
			where = warning.Target.Name + ": " + warning.Field
		}
		fmt.Fprintln(&b, paint("35", "! ")+show(where)+": "+show(warning.Message))
		if warning.Mend != "" {
			fmt.Fprintln(&b, "    mend: "+show(warning.Mend))
		}
	}
	if p.Empty() {
		b.WriteString("No changes: the directory already matches.")
	} else {
		format := "%d created, %d updated, %d deleted."
		if p.DryRun {
			format = "%d to create, %d to update, %d to delete. Nothing was changed."
		}
		fmt.Fprintf(&b, format, counts[Create], counts[Update], counts[Delete])
	}
	if n := len(p.Warnings); n > 0 {
		fmt.Fprintf(&b, " %d warning%s.", n, plural(n))
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return show(s)
}

// show keeps what a file or a caller offered from writing to the terminal
// anything but visible text.
func show(s string) string {
	if strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// afterApply stands in dry runs for ids that are only made when the plan is
// carried out.
const afterApply = "(known after apply)"

// field is one field of an object as audit records and plans show it: value for
// the record's JSON, text for people. Objects list their fields in a fixed order.
type field struct {
	name  string
	value any
	text  string
}

func textField(name, value string) field { return field{name, value, value} }

func flagField(name string, value bool) field {
	return field{name, value, strconv.FormatBool(value)}
}

func listField(name string, values []string) field {
	return field{name, append([]string{}, values...), strings.Join(values, ", ")}
}

// compare lists the fields whose text differs. Either side may be nil.
func compare(before, after []field) []FieldChange {
	var changes []FieldChange
	old := make(map[string]string, len(before))
	for _, f := range before {
		old[f.name] = f.text
	}
	for _, f := range after {
		if before == nil && f.value == false {
			continue // what is off by default is not worth a line
		}
		if f.text != old[f.name] {
			changes = append(changes, FieldChange{Name: f.name, Before: old[f.name], After: f.text})
		}
		delete(old, f.name)
	}
	for _, f := range before {
		if text := old[f.name]; text != "" {
			changes = append(changes, FieldChange{Name: f.name, Before: text})
		}
	}
	return changes
}

func object(fields []field) map[string]any {
	if fields == nil {
		return nil
	}
	o := make(map[string]any, len(fields))
	for _, f := range fields {
		if f.text != "" {
			o[f.name] = f.value
		}
	}
	return o
}
