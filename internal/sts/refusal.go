package sts

import (
	"errors"
	"fmt"
	"time"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/trust"
)

// Refusal is a decided "no". It is an error so that it travels the usual way;
// its fields are what the answer may print. It never holds token text.
type Refusal struct {
	Reason trust.Reason
	Value  string // the offending value as the caller sent it: tenant, client id, issuer, subject, audience or resource
	Detail string // what differs and the edit that mends it, for people who administer the client

	Tenant    *directory.Tenant // the tenant of the path, once known
	Client    *directory.Client // once known
	Resource  *directory.Resource
	NotBefore time.Time // validity of the proof, for ProofExpired
	Expires   time.Time
	KeyID     string // for ProofKeyUnknown and ProofSignature
}

// Error implements error; it is for logs, not for answers.
func (r *Refusal) Error() string {
	if r.Detail != "" {
		return fmt.Sprintf("refused: %s: %s", r.Reason, r.Detail)
	}
	return "refused: " + string(r.Reason)
}

// AsRefusal returns the refusal in err's chain; false means that err is a
// fault, not a decision.
func AsRefusal(err error) (*Refusal, bool) {
	var r *Refusal
	ok := errors.As(err, &r)
	return r, ok
}

func refuse(reason trust.Reason, value string) *Refusal {
	return &Refusal{Reason: reason, Value: value}
}
