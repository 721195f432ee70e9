-- The life of a request: who may do what in which state, and the messages.
-- Deadlines differ from run to run, so NOTICEs are left to the pgTAP tests.
\set VERBOSITY default
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS jit_access;
CREATE ROLE regress_jit_owner;
CREATE ROLE regress_jit_dev;
CREATE ROLE regress_jit_eve;
CREATE ROLE regress_jit_team;
GRANT regress_jit_team TO regress_jit_dev;
CREATE SCHEMA regress_hr AUTHORIZATION regress_jit_owner;
GRANT USAGE ON SCHEMA regress_hr TO regress_jit_dev;
SET ROLE regress_jit_owner;
CREATE TABLE regress_hr.employee (emp_no int PRIMARY KEY, last_name text);
CREATE TABLE regress_hr.salary (emp_no int, amount int);
INSERT INTO regress_hr.employee VALUES (1, 'one'), (2, 'two');
INSERT INTO regress_hr.salary VALUES (1, 100), (2, 200);
RESET ROLE;
-- one login plays everybody, and functions may call what decides
SET jit_access.top_level_only = off;

-- ask, approve, use, end
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT count(*) FROM regress_hr.employee; -- denied
SELECT jit_request('SELECT ON regress_hr.employee', '1 hour', 'why') AS id \gset
SELECT status, grantee, access, duration, reason FROM jit.my_requests WHERE request = :id;
SELECT jit_approve(:id); -- not one's own
SELECT jit_revoke(:id); -- not active
-- nor where nothing can be written
BEGIN READ ONLY;
SELECT jit_cancel(:id);
ROLLBACK;
SET SESSION AUTHORIZATION regress_jit_eve;
SELECT jit_approve(:id); -- not hers to give
SELECT jit_reject(:id, 'no'); -- neither
SELECT jit_cancel(:id); -- nor this
SELECT count(*) FROM jit.inbox;
SELECT count(*) FROM jit.my_requests;
SET SESSION AUTHORIZATION regress_jit_owner;
SELECT grantee, access, duration, reason, risk, approvals FROM jit.inbox WHERE request = :id;
SELECT jit_reject(:id, NULL);
SELECT jit_reject(:id, '  ');
SELECT jit_approve(:id, 'go ahead');
SELECT jit_approve(:id); -- is active
SELECT jit_cancel(:id); -- not theirs
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT count(*) FROM regress_hr.employee;
SELECT count(*) FROM regress_hr.salary; -- denied
DELETE FROM regress_hr.employee; -- denied
SELECT grantee, access FROM jit.active_grants;
SELECT jit_cancel(:id); -- is active
\set VERBOSITY terse
SELECT jit_request('SELECT ON regress_hr.employee', '30 min', 'again'); -- has it
\set VERBOSITY default
SET SESSION AUTHORIZATION regress_jit_eve;
SELECT jit_revoke(:id); -- not hers
SELECT count(*) FROM jit.active_grants;
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT jit_revoke(:id, 'done');
\set VERBOSITY terse
SELECT count(*) FROM regress_hr.employee; -- denied
\set VERBOSITY default
SELECT jit_revoke(:id); -- is revoked
SELECT request = :id AS same, status, grantee, access, objects, approved_by FROM jit.history;
RESET SESSION AUTHORIZATION;
SELECT rolname FROM pg_roles WHERE rolname LIKE 'jit\_grant\_%';

-- reject and cancel
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT jit_request('SELECT ON regress_hr.salary', '1 hour', 'x') AS id \gset
SELECT jit_cancel(:id, 'not needed');
SELECT jit_cancel(:id);
SELECT jit_request('SELECT ON regress_hr.salary', '1 hour', 'x') AS id \gset
SET SESSION AUTHORIZATION regress_jit_owner;
SELECT jit_reject(:id, 'no');
SELECT jit_reject(:id, 'no');
SELECT jit_approve(:id);

-- for others
SET SESSION AUTHORIZATION regress_jit_eve;
SELECT jit_request('SELECT ON regress_hr.salary', '1 hour', 'x', grantee => 'regress_jit_dev');
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT jit_request('SELECT ON regress_hr.salary', '1 hour', 'x', grantee => 'regress_jit_team') AS id \gset
SET SESSION AUTHORIZATION regress_jit_owner;
SELECT jit_approve(:id, duration => '10 min');
RESET SESSION AUTHORIZATION;
SELECT expires_at - clock_timestamp() <= '10 min' AS shortened FROM jit.active_grants WHERE request = :id;
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT sum(amount) FROM regress_hr.salary;
SET SESSION AUTHORIZATION regress_jit_team;
SELECT jit_revoke(:id);

-- jit_grant
SET SESSION AUTHORIZATION regress_jit_owner;
SELECT jit_grant('SELECT ON regress_hr.salary', 'regress_jit_dev', '1 hour', 'x') AS id \gset
SELECT jit_grant('SELECT ON regress_hr.salary', NULL, '1 hour', 'x');
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT sum(amount) FROM regress_hr.salary;
SELECT jit_grant('SELECT ON regress_hr.employee', 'regress_jit_eve', '1 hour', 'x');
SELECT jit_grant('SELECT ON regress_hr.employee', 'regress_jit_dev', '1 hour', 'x');
SELECT jit_revoke_from('regress_jit_dev', 'x');
SELECT jit_revoke_all('x');
RESET SESSION AUTHORIZATION;
SELECT jit_revoke_from(NULL, 'x');
SELECT jit_revoke_from('regress_jit_dev', NULL);
SELECT jit_revoke_from('regress_jit_nobody', 'x');
SELECT jit_revoke_all(NULL);
SELECT jit_revoke_from('regress_jit_dev', 'offboarding');
SET SESSION AUTHORIZATION regress_jit_dev;
\set VERBOSITY terse
SELECT sum(amount) FROM regress_hr.salary;
\set VERBOSITY default

-- bad input changes nothing
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT jit_request(NULL, '1 hour', 'x');
SELECT jit_request('', '1 hour', 'x');
SELECT jit_request('SELECT ON regress_hr.employee', '1 hour', '');
SELECT jit_request('SELECT ON regress_hr.employee', '1 hour');
SELECT jit_request('SELECT ON regress_hr.employee', '1 hour', NULL, ticket => 'INC-1');
SELECT jit_request('SELECT ON regress_hr.employee', '1 hour', 'x', ticket => ' ');
SELECT jit_request('SELECT ON regress_hr.employee', reason => 'x');
SELECT jit_request('SELECT ON regress_hr.employee', '0', 'x');
SELECT jit_request('SELECT ON regress_hr.employee', '-1 hour', 'x');
SELECT jit_request('SELECT ON regress_hr.employee', '1 month', 'x');
SELECT jit_request('SELECT ON regress_hr.employee', '8 days', 'x');
SELECT jit_request('SELECT ON regress_hr.employee', '2147483647 days', 'x');
SELECT jit_request('SELECT ON regress_hr.employee', '1 hour', 'x', until => 'infinity');
SELECT jit_request('SELECT ON regress_hr.employee', until => 'infinity', reason => 'x');
SELECT jit_request('SELECT ON regress_hr.employee', until => '-infinity', reason => 'x');
SELECT jit_request('SELECT ON regress_hr.employee', until => now() + interval '8 days', reason => 'x');
SELECT jit_request('SELECT ON regress_hr.employee', '1 hour', repeat('x', 8193));
SELECT jit_request('SELECT ON regress_hr.employee', '1 hour', 'x', grantee => 'regress_jit_nobody');
SELECT jit_request('SELECT ON regress_hr.employee', '1 hour', 'x', grantee => 'public');
SELECT jit_request('SELECT ON regress_hr.employee', '1 hour', 'x', grantee => 'pg_monitor');
SELECT jit_request('regress_jit_dev', '1 hour', 'x');
SELECT jit_approve(0);
SELECT jit_approve(NULL);
SELECT jit_reject(2147483647, 'x');
SELECT jit_revoke(-1);
SELECT jit_cancel(NULL);
RESET SESSION AUTHORIZATION;
SELECT jit_request('SELECT ON regress_hr.employee', '1 hour', 'x'); -- superuser
SET jit_access.max_pending = 1;
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT jit_request('SELECT ON regress_hr.salary', '1 hour', 'x') AS id \gset
SELECT jit_request('SELECT ON regress_hr.salary', '2 hours', 'x');
SELECT jit_cancel(:id);
RESET SESSION AUTHORIZATION;
SET jit_access.max_pending = 0;
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT jit_request('SELECT ON regress_hr.salary', '1 hour', 'x');
RESET SESSION AUTHORIZATION;
SET jit_access.max_pending = 1000000; -- more than anybody needs
RESET jit_access.max_pending;

-- what a flow says, and what the server does
SET client_min_messages = notice;
SELECT jit_set_flow('high', '[]', max_duration => '8 days');
SELECT jit_set_flow('high', '[]', max_duration => '8 days'); -- unchanged
SELECT jit_set_flow('high', '[]', max_duration => '7 days');
SET jit_access.max_duration = '1h';
SELECT jit_set_flow('high', '[]', max_duration => '60 min');
SELECT jit_set_flow('high', '[]', max_duration => '60 min 1 s');
SELECT jit_set_flow('high', '[]');
RESET jit_access.max_duration;
SELECT jit_set_policy('regress', 'high', '$.hour > 20', 'at night');
SELECT jit_set_policy('regress', 'high', '$."hour" > 20', 'at night'); -- unchanged
SELECT jit_drop_policy('regress');
SET client_min_messages = warning;

-- what is nobody's business
SET SESSION AUTHORIZATION regress_jit_eve;
SELECT count(*) FROM jit.requests;
SELECT count(*) FROM jit.request_items;
SELECT count(*) FROM jit.reviews;
SELECT count(*) FROM jit.grants;
SELECT count(*) FROM jit.scopes;
SELECT count(*) FROM jit.events;
SELECT count(*) FROM jit.history;
RESET SESSION AUTHORIZATION;

-- auditors read everything, and can do nothing else
CREATE ROLE regress_jit_auditor;
SET jit_access.auditor_role = regress_jit_auditor;
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT jit_request('SELECT ON regress_hr.salary', '1 hour', 'x') AS id \gset
SET SESSION AUTHORIZATION regress_jit_auditor;
SELECT count(*) > 0 AS requests FROM jit.requests;
SELECT count(*) > 0 AS items FROM jit.request_items;
SELECT count(*) > 0 AS reviews FROM jit.reviews;
SELECT count(*) > 0 AS grants FROM jit.grants;
SELECT count(*) > 0 AS events FROM jit.events;
SELECT count(*) > 0 AS history FROM jit.history;
SELECT count(*) FROM jit.history WHERE tstzrange(activated_at, ended_at) @> '2001-01-01'::timestamptz; -- not what never was
SELECT count(*) > 0 AS my_requests FROM jit.my_requests;
SELECT count(*) FROM jit.inbox;
SELECT jit_approve(:id);
SELECT jit_cancel(:id);
SELECT jit_revoke_all('x');
UPDATE jit.requests SET status = 'active';
RESET SESSION AUTHORIZATION;
RESET jit_access.auditor_role;
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT jit_cancel(:id);
SET SESSION AUTHORIZATION regress_jit_auditor; -- no auditor any more
SELECT count(*) FROM jit.requests;
SELECT count(*) FROM jit.history;
RESET SESSION AUTHORIZATION;
DROP ROLE regress_jit_auditor;

-- the audit trail
SELECT event, role, detail - 'expires_at' AS detail FROM jit.events
	WHERE request_id = (SELECT min(id) FROM jit.requests WHERE grantee = 'regress_jit_dev') ORDER BY id;
DELETE FROM jit.events;
UPDATE jit.events SET role = 'x';
TRUNCATE jit.events;
SET session_replication_role = replica;
DELETE FROM jit.events;
RESET session_replication_role;

DROP SCHEMA regress_hr CASCADE;
DROP EXTENSION jit_access;
SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_';
DROP ROLE regress_jit_owner, regress_jit_dev, regress_jit_eve, regress_jit_team;
