-- Rows as schema version 3 holds them. Never changed; later versions add files.
INSERT INTO signing_keys (key_id, state, algorithm, sealed, certificate, created_at, activated_at, retired_at, version) VALUES
	('key', 'active', 'RS256', x'00ff', x'3082', 1795309323456789, 1795309323456790, -62135596800000000, 2);
INSERT INTO platform_facts (name, value) VALUES ('cloud', 'global');
