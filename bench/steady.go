package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/avouch/avouch/internal/directory"
	"github.com/avouch/avouch/internal/store"
)

// steadyState is row 7: what the exchange asks of the database and the disk
// once everything it needs has been asked for. Two proofs: the kernel's, which
// sees what the server does, and that of a closed database.
func (b *bench) steadyState(ctx context.Context) ([]row, error) {
	const asked = 1000 // applications
	sample, err := b.fill(ctx, "thousand", asked)
	if err != nil {
		return nil, err
	}
	var traced []row
	var workloads [tenants]*workload
	err = b.running(ctx, sample, func(s *server) error {
		for tenant := range workloads {
			if workloads[tenant], err = s.workload(ctx, tenant); err != nil {
				return err
			}
		}
		traced, err = b.traced(ctx, s, asked)
		return err
	})
	if err != nil {
		return nil, err
	}
	answered, err := askClosed(ctx, filepath.Join(sample.dir, "avouch.db"), workloads[:], asked)
	if err != nil {
		return nil, err
	}
	return append(traced, row{
		what:     "what they ask, answered with the database closed",
		measured: fmt.Sprintf("%d of %d questions", answered, questions*asked),
		goal:     "all",
		outcome:  outcome(answered == questions*asked, "the caches are too small"),
	}), nil
}

// traced counts the system calls of SQLite during exchanges. It begins every
// transaction, also a reading one, with locks that it takes with fcntl; an
// exchange that asked the database would be seen there. The same applications
// are asked for twice: the first time the answers do come from the database,
// which shows that the counter counts.
func (b *bench) traced(ctx context.Context, s *server, asked int) ([]row, error) {
	what := fmt.Sprintf("SQLite's system calls in %d exchanges", asked)
	if !hasStrace() {
		return []row{{what: what, measured: "skipped: there is no strace here"}}, nil
	}
	t, err := s.exchangeTarget(ctx, asked, 1)
	if err != nil {
		return nil, err
	}
	c, err := t.dial()
	if err != nil {
		return nil, err
	}
	defer c.close()
	once := func() error {
		for _, request := range t.requests {
			if _, err := c.send(request); err != nil {
				return err
			}
		}
		return nil
	}
	file := filepath.Join(b.root, "strace.txt")
	first, err := s.count(ctx, file, once)
	if err != nil {
		return nil, err
	}
	again, err := s.count(ctx, file, once)
	if err != nil {
		return nil, err
	}
	return []row{
		{
			what: what, measured: again.String(), goal: "none for each exchange",
			outcome: outcome(again.locks() < asked/5 && again.syncs() < asked/20, "see internal/store/cache.go") + "; these write audit records, in batches",
		},
		{
			what: "the same when first asked for", measured: first.String(),
			outcome: "the database is asked, and the count shows it",
		},
	}, nil
}

// questions is how many the token service asks of its directory for one
// exchange.
const questions = 6

// askClosed opens the database of a stopped platform, asks everything that the
// exchanges of its applications ask, closes the database, and counts how many
// of the same questions still have an answer: none of those was put to the
// database.
func askClosed(ctx context.Context, file string, workloads []*workload, applications int) (answered int, err error) {
	db, err := store.OpenSQLite(ctx, file)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	d := db.Directory(directory.Global())
	askAll := func() (answered int, err error) {
		for n := range applications {
			w := workloads[n%tenants]
			k, problem := ask(ctx, d, w, n)
			answered, err = answered+k, errors.Join(err, problem)
		}
		return answered, err
	}
	if _, err := askAll(); err != nil {
		return 0, err
	}
	if err := db.Close(); err != nil {
		return 0, err
	}
	answered, _ = askAll()
	return answered, nil
}

// ask asks what sts.Service.Exchange asks, and returns how many questions were
// answered before one failed. The identity's principal id, which the service
// reads from the assertion, is found beforehand.
func ask(ctx context.Context, d *store.Directory, w *workload, application int) (answered int, err error) {
	identity, err := directory.ParseClientID(w.identity)
	if err != nil {
		return 0, err
	}
	subject, err := d.Client(ctx, identity)
	if err != nil {
		return 0, err
	}
	id, err := directory.ParseClientID(clientID(application))
	if err != nil {
		return 0, err
	}
	tenant, err := d.Tenant(ctx, w.tenant)
	if err != nil {
		return 0, err
	}
	if _, err := d.Client(ctx, id); err != nil {
		return 1, err
	}
	if _, err := d.Identity(ctx, tenant.ID, subject.Object); err != nil {
		return 2, err
	}
	principal, err := d.Principal(ctx, tenant.ID, id)
	if err != nil {
		return 3, err
	}
	target, err := d.Resource(ctx, tenant.ID, resource)
	if err != nil {
		return 4, err
	}
	if _, err := d.Roles(ctx, tenant.ID, principal.ID, target.Principal.ID); err != nil {
		return 5, err
	}
	return questions, nil
}
