-- Rows as schema version 1 holds them. Never changed; later versions add files.
INSERT INTO tenants (tenant_id, name, name_key, display_name, subscription_id) VALUES
	('11111111-1111-4111-8111-111111111111', 'Contoso', 'contoso', '', '00000000-0000-4000-8000-000000000099');
INSERT INTO tenant_domains (tenant_id, position, domain) VALUES
	('11111111-1111-4111-8111-111111111111', 0, 'contoso.example'),
	('11111111-1111-4111-8111-111111111111', 1, 'b.contoso.example');
INSERT INTO client_ids (client_id, tenant_id, kind, object_id) VALUES
	('22222222-2222-4222-8222-222222222222', '11111111-1111-4111-8111-111111111111', 'Application', '00000000-0000-4000-8000-000000000001'),
	('33333333-3333-4333-8333-333333333333', '11111111-1111-4111-8111-111111111111', 'ManagedIdentity', '00000000-0000-4000-8000-000000000002');
INSERT INTO applications (tenant_id, object_id, client_id, name, audience, token_version, disabled) VALUES
	('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000001', '22222222-2222-4222-8222-222222222222', 'orders', 'AzureADMyOrg', 0, 0);
INSERT INTO application_uris (tenant_id, application_id, position, uri) VALUES
	('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000001', 0, 'api://orders');
INSERT INTO app_roles (tenant_id, application_id, position, role_id, value, display_name, description, disabled) VALUES
	('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000001', 0, '00000000-0000-4000-8000-000000000003', 'Read', 'read', '', 0);
INSERT INTO service_principals (tenant_id, object_id, client_id, kind, name, home_tenant_id, assignment_required, disabled) VALUES
	('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000004', '22222222-2222-4222-8222-222222222222', 'Application', 'orders', '11111111-1111-4111-8111-111111111111', 1, 0),
	('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000002', '33333333-3333-4333-8333-333333333333', 'ManagedIdentity', 'orders-id', '11111111-1111-4111-8111-111111111111', 0, 0);
INSERT INTO service_principal_names (tenant_id, principal_id, position, name) VALUES
	('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000004', 0, 'api://orders');
INSERT INTO app_role_assignments (tenant_id, assignment_id, principal_id, resource_id, role_id, created_at) VALUES
	('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000005', '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000004', '00000000-0000-4000-8000-000000000003', 1795309323456789);
INSERT INTO managed_identities (tenant_id, principal_id, client_id, kind, name, name_key, resource_group, group_key, location, host_id, resource_id, disabled) VALUES
	('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000002', '33333333-3333-4333-8333-333333333333', 'UserAssigned', 'Orders-Id', 'orders-id', 'Group', 'group', 'north', '', '/subscriptions/x', 0);
INSERT INTO hosts (tenant_id, object_id, name, kind, resource_group, location, resource_id, system_id) VALUES
	('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000006', 'vm', 'virtualMachine', 'Group', 'north', '/subscriptions/x', '');
INSERT INTO host_identities (tenant_id, host_id, position, principal_id) VALUES
	('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000006', 0, '00000000-0000-4000-8000-000000000002');
INSERT INTO federated_credentials (tenant_id, parent_id, credential_id, name, issuer, subject, audience, description, pair_key) VALUES
	('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000007', 'cred', 'issuer', 'subject', 'api://AzureADTokenExchange', '', '1e4ed24e2345d8b7a1a559ecd2c1585c39ec3472fb2c4127f69b35b1773abe00');
