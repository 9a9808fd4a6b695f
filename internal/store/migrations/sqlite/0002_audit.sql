-- The record columns hold the whole record as JSON; the columns beside it exist
-- to be searched. tenant_id is empty for records that belong to no tenant.

CREATE TABLE changes (
	tenant_id   TEXT NOT NULL,
	sequence    INTEGER NOT NULL,
	recorded_at INTEGER NOT NULL,
	outcome     TEXT NOT NULL,
	target_id   TEXT NOT NULL,
	target_name TEXT NOT NULL,
	record      TEXT NOT NULL,
	hash        BLOB NOT NULL,
	PRIMARY KEY (tenant_id, sequence)
) STRICT;
CREATE INDEX changes_by_tenant_and_time ON changes (tenant_id, recorded_at, sequence);
CREATE INDEX changes_by_time ON changes (recorded_at, tenant_id, sequence);

-- The end of each tenant's chain, so that records cut off its end are missed.
CREATE TABLE change_heads (
	tenant_id TEXT NOT NULL PRIMARY KEY,
	sequence  INTEGER NOT NULL,
	hash      BLOB NOT NULL
) STRICT;

CREATE TABLE sign_ins (
	tenant_id   TEXT NOT NULL,
	recorded_at INTEGER NOT NULL,
	id          TEXT NOT NULL,
	outcome     TEXT NOT NULL,
	client_id   TEXT NOT NULL,
	client_name TEXT NOT NULL,
	record      TEXT NOT NULL,
	PRIMARY KEY (tenant_id, recorded_at, id)
) STRICT;
CREATE INDEX sign_ins_by_time ON sign_ins (recorded_at, id);
CREATE INDEX sign_ins_by_client ON sign_ins (client_id, recorded_at, id);
CREATE INDEX sign_ins_by_client_name ON sign_ins (client_name, recorded_at, id);
