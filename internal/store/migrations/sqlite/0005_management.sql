-- What the management APIs write. kept columns hold what clients write and read
-- back and the platform never reads: a JSON object.

-- Names of applications need not be unique: the table is made anew without that
-- rule, and the two that refer to it with it.
CREATE TABLE old_uris AS SELECT * FROM application_uris;
CREATE TABLE old_roles AS SELECT * FROM app_roles;
CREATE TABLE old_applications AS SELECT * FROM applications;
DROP TABLE application_uris;
DROP TABLE app_roles;
DROP TABLE applications;

CREATE TABLE applications (
	tenant_id     TEXT NOT NULL REFERENCES tenants (tenant_id),
	object_id     TEXT NOT NULL,
	client_id     TEXT NOT NULL,
	name          TEXT NOT NULL,
	name_key      TEXT NOT NULL,
	unique_name   TEXT NOT NULL,
	audience      TEXT NOT NULL,
	token_version INTEGER NOT NULL,
	disabled      INTEGER NOT NULL,
	created_at    INTEGER NOT NULL,
	scopes        TEXT NOT NULL,
	keys          TEXT NOT NULL,
	kept          TEXT NOT NULL,
	PRIMARY KEY (tenant_id, object_id),
	UNIQUE (tenant_id, client_id)
) STRICT;
CREATE INDEX applications_by_name ON applications (tenant_id, name_key, object_id);
CREATE UNIQUE INDEX applications_by_unique_name ON applications (tenant_id, unique_name) WHERE unique_name <> '';
INSERT INTO applications SELECT tenant_id, object_id, client_id, name, lower(name), '', audience, token_version, disabled, 0, '[]', '[]', '{}' FROM old_applications;

CREATE TABLE application_uris (
	tenant_id      TEXT NOT NULL,
	application_id TEXT NOT NULL,
	position       INTEGER NOT NULL,
	uri            TEXT NOT NULL,
	PRIMARY KEY (tenant_id, application_id, position),
	UNIQUE (tenant_id, uri),
	FOREIGN KEY (tenant_id, application_id) REFERENCES applications (tenant_id, object_id)
) STRICT;
INSERT INTO application_uris SELECT tenant_id, application_id, position, uri FROM old_uris;

CREATE TABLE app_roles (
	tenant_id      TEXT NOT NULL,
	application_id TEXT NOT NULL,
	position       INTEGER NOT NULL,
	role_id        TEXT NOT NULL,
	value          TEXT NOT NULL,
	display_name   TEXT NOT NULL,
	description    TEXT NOT NULL,
	disabled       INTEGER NOT NULL,
	members        TEXT NOT NULL,
	PRIMARY KEY (tenant_id, application_id, position),
	UNIQUE (tenant_id, application_id, role_id),
	FOREIGN KEY (tenant_id, application_id) REFERENCES applications (tenant_id, object_id)
) STRICT;
INSERT INTO app_roles SELECT tenant_id, application_id, position, role_id, value, display_name, description, disabled, '[]' FROM old_roles;
DROP TABLE old_uris;
DROP TABLE old_roles;
DROP TABLE old_applications;

ALTER TABLE service_principals ADD COLUMN name_key TEXT NOT NULL DEFAULT '';
ALTER TABLE service_principals ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE service_principals ADD COLUMN kept TEXT NOT NULL DEFAULT '{}';
UPDATE service_principals SET name_key = lower(name);
DROP INDEX service_principals_by_name;
CREATE INDEX service_principals_by_name ON service_principals (tenant_id, name_key, object_id);

ALTER TABLE managed_identities ADD COLUMN kept TEXT NOT NULL DEFAULT '{}';
CREATE INDEX managed_identities_by_group ON managed_identities (tenant_id, group_key, name_key) WHERE kind = 'UserAssigned';
ALTER TABLE hosts ADD COLUMN kept TEXT NOT NULL DEFAULT '{}';

CREATE TABLE users (
	tenant_id  TEXT NOT NULL REFERENCES tenants (tenant_id),
	object_id  TEXT NOT NULL,
	name       TEXT NOT NULL,
	name_key   TEXT NOT NULL,
	upn        TEXT NOT NULL,
	upn_key    TEXT NOT NULL,
	disabled   INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	kept       TEXT NOT NULL,
	PRIMARY KEY (tenant_id, object_id),
	UNIQUE (tenant_id, upn_key)
) STRICT;
CREATE INDEX users_by_name ON users (tenant_id, name_key, object_id);

CREATE TABLE groups (
	tenant_id       TEXT NOT NULL REFERENCES tenants (tenant_id),
	object_id       TEXT NOT NULL,
	name            TEXT NOT NULL,
	name_key        TEXT NOT NULL,
	role_assignable INTEGER NOT NULL,
	created_at      INTEGER NOT NULL,
	kept            TEXT NOT NULL,
	PRIMARY KEY (tenant_id, object_id)
) STRICT;
CREATE INDEX groups_by_name ON groups (tenant_id, name_key, object_id);

-- Members of groups, owners of applications, service principals and groups.
CREATE TABLE directory_links (
	tenant_id   TEXT NOT NULL REFERENCES tenants (tenant_id),
	relation    TEXT NOT NULL,
	object_id   TEXT NOT NULL,
	target_id   TEXT NOT NULL,
	target_kind TEXT NOT NULL,
	PRIMARY KEY (tenant_id, relation, object_id, target_id)
) STRICT;
CREATE INDEX directory_links_by_target ON directory_links (tenant_id, target_id, relation, object_id);

CREATE TABLE directory_role_assignments (
	tenant_id     TEXT NOT NULL REFERENCES tenants (tenant_id),
	assignment_id TEXT NOT NULL,
	principal_id  TEXT NOT NULL,
	role_id       TEXT NOT NULL,
	scope_id      TEXT NOT NULL,
	PRIMARY KEY (tenant_id, assignment_id),
	UNIQUE (tenant_id, principal_id, role_id, scope_id)
) STRICT;

CREATE TABLE azure_role_assignments (
	tenant_id      TEXT NOT NULL REFERENCES tenants (tenant_id),
	scope_key      TEXT NOT NULL,
	assignment_id  TEXT NOT NULL,
	scope          TEXT NOT NULL,
	role_id        TEXT NOT NULL,
	principal_id   TEXT NOT NULL,
	principal_kind TEXT NOT NULL,
	created_at     INTEGER NOT NULL,
	updated_at     INTEGER NOT NULL,
	created_by     TEXT NOT NULL,
	updated_by     TEXT NOT NULL,
	kept           TEXT NOT NULL,
	PRIMARY KEY (tenant_id, scope_key, assignment_id),
	UNIQUE (tenant_id, principal_id, scope_key, role_id)
) STRICT;

CREATE TABLE permission_grants (
	tenant_id   TEXT NOT NULL REFERENCES tenants (tenant_id),
	grant_id    TEXT NOT NULL,
	client_id   TEXT NOT NULL,
	resource_id TEXT NOT NULL,
	user_id     TEXT NOT NULL,
	scopes      TEXT NOT NULL,
	PRIMARY KEY (tenant_id, grant_id),
	UNIQUE (tenant_id, client_id, resource_id, user_id),
	FOREIGN KEY (tenant_id, client_id) REFERENCES service_principals (tenant_id, object_id) DEFERRABLE INITIALLY DEFERRED,
	FOREIGN KEY (tenant_id, resource_id) REFERENCES service_principals (tenant_id, object_id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX permission_grants_by_resource ON permission_grants (tenant_id, resource_id);

CREATE TABLE resource_groups (
	tenant_id  TEXT NOT NULL REFERENCES tenants (tenant_id),
	name_key   TEXT NOT NULL,
	name       TEXT NOT NULL,
	location   TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	kept       TEXT NOT NULL,
	PRIMARY KEY (tenant_id, name_key)
) STRICT;
INSERT INTO resource_groups
	SELECT tenant_id, lower(resource_group), min(resource_group), min(location), 0, '{}' FROM (
		SELECT tenant_id, resource_group, location FROM managed_identities
		UNION ALL SELECT tenant_id, resource_group, location FROM hosts)
	GROUP BY tenant_id, lower(resource_group);

CREATE TABLE deleted_objects (
	tenant_id  TEXT NOT NULL REFERENCES tenants (tenant_id),
	object_id  TEXT NOT NULL,
	kind       TEXT NOT NULL,
	name       TEXT NOT NULL,
	client_id  TEXT NOT NULL,
	deleted_at INTEGER NOT NULL,
	record     TEXT NOT NULL,
	PRIMARY KEY (tenant_id, object_id)
) STRICT;
CREATE INDEX deleted_objects_by_client ON deleted_objects (client_id);
CREATE INDEX deleted_objects_by_kind ON deleted_objects (tenant_id, kind, object_id);
CREATE INDEX deleted_objects_by_time ON deleted_objects (deleted_at);
