package access

// Error says what was missing and the likely fix, for records and for callers
// on the platform's own machine.
func (r *Refusal) Error() string {
	text := string(r.Reason)
	if r.Action != "" {
		text += ": " + r.Action
	}
	if r.Scope != "" {
		text += " at " + r.Scope
	}
	if r.Mend != "" {
		text += "; " + r.Mend
	}
	return text
}
