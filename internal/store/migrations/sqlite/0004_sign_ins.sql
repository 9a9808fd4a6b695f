-- A sign-in is written for every token, so each index is paid for at every
-- exchange. A search by name reads along the time instead: it is rare, and the
-- table is bounded.
DROP INDEX sign_ins_by_client_name;
