-- Every key starts with tenant_id, so that tables can be spread by tenant. Three
-- names are unique on the whole platform and are found without a tenant: the
-- tenant's own name, its domains, and client ids. They stand in small tables of
-- their own (tenants, tenant_domains, client_ids).
--
-- GUIDs are lower-case text, times integer microseconds since 1970, flags 0 or 1,
-- and the empty string stands for an id that is not set. Lists keep their order
-- in position.

CREATE TABLE tenants (
	tenant_id       TEXT NOT NULL PRIMARY KEY,
	name            TEXT NOT NULL,
	name_key        TEXT NOT NULL UNIQUE,
	display_name    TEXT NOT NULL,
	subscription_id TEXT NOT NULL
) STRICT;

CREATE TABLE tenant_domains (
	tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id),
	position  INTEGER NOT NULL,
	domain    TEXT NOT NULL UNIQUE,
	PRIMARY KEY (tenant_id, position)
) STRICT;

CREATE TABLE client_ids (
	client_id TEXT NOT NULL PRIMARY KEY,
	tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id),
	kind      TEXT NOT NULL,
	object_id TEXT NOT NULL
) STRICT;
CREATE INDEX client_ids_by_tenant ON client_ids (tenant_id, object_id);

CREATE TABLE applications (
	tenant_id     TEXT NOT NULL REFERENCES tenants (tenant_id),
	object_id     TEXT NOT NULL,
	client_id     TEXT NOT NULL,
	name          TEXT NOT NULL,
	audience      TEXT NOT NULL,
	token_version INTEGER NOT NULL,
	disabled      INTEGER NOT NULL,
	PRIMARY KEY (tenant_id, object_id),
	UNIQUE (tenant_id, client_id),
	UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE application_uris (
	tenant_id      TEXT NOT NULL,
	application_id TEXT NOT NULL,
	position       INTEGER NOT NULL,
	uri            TEXT NOT NULL,
	PRIMARY KEY (tenant_id, application_id, position),
	UNIQUE (tenant_id, uri),
	FOREIGN KEY (tenant_id, application_id) REFERENCES applications (tenant_id, object_id)
) STRICT;

CREATE TABLE app_roles (
	tenant_id      TEXT NOT NULL,
	application_id TEXT NOT NULL,
	position       INTEGER NOT NULL,
	role_id        TEXT NOT NULL,
	value          TEXT NOT NULL,
	display_name   TEXT NOT NULL,
	description    TEXT NOT NULL,
	disabled       INTEGER NOT NULL,
	PRIMARY KEY (tenant_id, application_id, position),
	UNIQUE (tenant_id, application_id, role_id),
	FOREIGN KEY (tenant_id, application_id) REFERENCES applications (tenant_id, object_id)
) STRICT;

CREATE TABLE service_principals (
	tenant_id           TEXT NOT NULL REFERENCES tenants (tenant_id),
	object_id           TEXT NOT NULL,
	client_id           TEXT NOT NULL,
	kind                TEXT NOT NULL,
	name                TEXT NOT NULL,
	home_tenant_id      TEXT NOT NULL,
	assignment_required INTEGER NOT NULL,
	disabled            INTEGER NOT NULL,
	PRIMARY KEY (tenant_id, object_id),
	UNIQUE (tenant_id, client_id)
) STRICT;
CREATE INDEX service_principals_by_name ON service_principals (tenant_id, name, object_id);
CREATE INDEX service_principals_by_client ON service_principals (client_id, tenant_id);

CREATE TABLE service_principal_names (
	tenant_id    TEXT NOT NULL,
	principal_id TEXT NOT NULL,
	position     INTEGER NOT NULL,
	name         TEXT NOT NULL,
	PRIMARY KEY (tenant_id, principal_id, position),
	UNIQUE (tenant_id, name),
	FOREIGN KEY (tenant_id, principal_id) REFERENCES service_principals (tenant_id, object_id)
) STRICT;

-- References between objects of their own are checked at the end of the
-- transaction, so that they may be written in any order.
CREATE TABLE app_role_assignments (
	tenant_id     TEXT NOT NULL REFERENCES tenants (tenant_id),
	assignment_id TEXT NOT NULL,
	principal_id  TEXT NOT NULL,
	resource_id   TEXT NOT NULL,
	role_id       TEXT NOT NULL,
	created_at    INTEGER NOT NULL,
	PRIMARY KEY (tenant_id, assignment_id),
	UNIQUE (tenant_id, principal_id, resource_id, role_id),
	FOREIGN KEY (tenant_id, principal_id) REFERENCES service_principals (tenant_id, object_id) DEFERRABLE INITIALLY DEFERRED,
	FOREIGN KEY (tenant_id, resource_id) REFERENCES service_principals (tenant_id, object_id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX app_role_assignments_by_resource ON app_role_assignments (tenant_id, resource_id);

CREATE TABLE managed_identities (
	tenant_id      TEXT NOT NULL REFERENCES tenants (tenant_id),
	principal_id   TEXT NOT NULL,
	client_id      TEXT NOT NULL,
	kind           TEXT NOT NULL,
	name           TEXT NOT NULL,
	name_key       TEXT NOT NULL,
	resource_group TEXT NOT NULL,
	group_key      TEXT NOT NULL,
	location       TEXT NOT NULL,
	host_id        TEXT NOT NULL,
	resource_id    TEXT NOT NULL,
	disabled       INTEGER NOT NULL,
	PRIMARY KEY (tenant_id, principal_id),
	UNIQUE (tenant_id, client_id)
) STRICT;
CREATE INDEX managed_identities_by_name ON managed_identities (tenant_id, name, principal_id);
CREATE UNIQUE INDEX managed_identities_user_assigned ON managed_identities (tenant_id, name_key, group_key)
	WHERE kind = 'UserAssigned';

CREATE TABLE hosts (
	tenant_id      TEXT NOT NULL REFERENCES tenants (tenant_id),
	object_id      TEXT NOT NULL,
	name           TEXT NOT NULL,
	kind           TEXT NOT NULL,
	resource_group TEXT NOT NULL,
	location       TEXT NOT NULL,
	resource_id    TEXT NOT NULL,
	system_id      TEXT NOT NULL,
	PRIMARY KEY (tenant_id, object_id),
	UNIQUE (tenant_id, name)
) STRICT;
CREATE INDEX hosts_by_system_identity ON hosts (tenant_id, system_id);

CREATE TABLE host_identities (
	tenant_id    TEXT NOT NULL,
	host_id      TEXT NOT NULL,
	position     INTEGER NOT NULL,
	principal_id TEXT NOT NULL,
	PRIMARY KEY (tenant_id, host_id, position),
	UNIQUE (tenant_id, host_id, principal_id),
	FOREIGN KEY (tenant_id, host_id) REFERENCES hosts (tenant_id, object_id),
	FOREIGN KEY (tenant_id, principal_id) REFERENCES managed_identities (tenant_id, principal_id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
CREATE INDEX host_identities_by_identity ON host_identities (tenant_id, principal_id);

-- The parent is an application's object id or a managed identity's principal id.
-- Issuer and subject may be longer than some engines allow in an index; pair_key
-- is the SHA-256 of both.
CREATE TABLE federated_credentials (
	tenant_id     TEXT NOT NULL REFERENCES tenants (tenant_id),
	parent_id     TEXT NOT NULL,
	credential_id TEXT NOT NULL,
	name          TEXT NOT NULL,
	issuer        TEXT NOT NULL,
	subject       TEXT NOT NULL,
	audience      TEXT NOT NULL,
	description   TEXT NOT NULL,
	pair_key      TEXT NOT NULL,
	PRIMARY KEY (tenant_id, parent_id, credential_id),
	UNIQUE (tenant_id, parent_id, name),
	UNIQUE (tenant_id, parent_id, pair_key)
) STRICT;
