CREATE TABLE signing_keys (
	key_id       TEXT NOT NULL PRIMARY KEY,
	state        TEXT NOT NULL,
	algorithm    TEXT NOT NULL,
	sealed       BLOB NOT NULL,
	certificate  BLOB NOT NULL,
	created_at   INTEGER NOT NULL,
	activated_at INTEGER NOT NULL,
	retired_at   INTEGER NOT NULL,
	version      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX signing_keys_one_active ON signing_keys (state) WHERE state = 'active';

CREATE TABLE platform_facts (
	name  TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
) STRICT;
