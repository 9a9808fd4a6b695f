-- Rows as schema version 2 holds them. Never changed; later versions add files.
INSERT INTO changes (tenant_id, sequence, recorded_at, outcome, target_id, target_name, record, hash) VALUES
	('11111111-1111-4111-8111-111111111111', 1, 1795309323456789, 'success', '00000000-0000-4000-8000-000000000001', 'Contoso/orders',
	'{"sequence":1,"id":"change-1","time":"2026-11-22T01:02:03.456789Z","tenantId":"11111111-1111-4111-8111-111111111111","actor":{"kind":"system"},"action":"create","target":{"kind":"application","id":"00000000-0000-4000-8000-000000000001","name":"Contoso/orders"},"outcome":"success"}',
	x'972021ccd45db58c9c40f67b615d480908d1bab84d5b4ab98b434cf3f4d6ea0e');
INSERT INTO change_heads (tenant_id, sequence, hash) VALUES ('11111111-1111-4111-8111-111111111111', 1, x'972021ccd45db58c9c40f67b615d480908d1bab84d5b4ab98b434cf3f4d6ea0e');
INSERT INTO sign_ins (tenant_id, recorded_at, id, outcome, client_id, client_name, record) VALUES
	('11111111-1111-4111-8111-111111111111', 1795309323456789, 'trace-1', 'refused', '22222222-2222-4222-8222-222222222222', 'orders',
	'{"id":"trace-1","time":"2026-11-22T01:02:03.456789Z","kind":"servicePrincipal","outcome":"refused","code":700213,"tenantId":"11111111-1111-4111-8111-111111111111","clientId":"22222222-2222-4222-8222-222222222222","client":"orders"}');
