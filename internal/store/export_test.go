package store

import (
	"context"
	"strings"
)

// Trace has fn called with every statement.
func (db *DB) Trace(fn func(sql string)) { db.trace = fn }

// Plan returns how the engine would run a statement.
func (db *DB) Plan(ctx context.Context, query string) ([]string, error) {
	args := make([]any, strings.Count(query, "$"))
	rows, err := db.reader.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			return nil, err
		}
		plan = append(plan, detail)
	}
	return plan, rows.Err()
}
