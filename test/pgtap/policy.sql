-- Risk policies, approval flows and jit_explain(): every function, every
-- refusal, and what bad input does.
--
-- Made sure that it fails without the mechanism: with failing conditions
-- counted as not matched, without check of keys, with a missing step taken
-- for a shorter flow, with roles of a flow matched by name, with conditions
-- evaluated in the session's TimeZone, and with jit_require_administrator()
-- empty, the tests that say so fail.

BEGIN;
SET client_min_messages = error;
SET LOCAL jit_access.top_level_only = off; -- functions of pgTAP call what decides
SELECT plan(164);

CREATE ROLE tap_owner;
CREATE ROLE tap_anna LOGIN IN ROLE tap_owner;
CREATE ROLE tap_security;
CREATE ROLE tap_sam LOGIN IN ROLE tap_security;
CREATE ROLE tap_sue LOGIN IN ROLE tap_security;
CREATE ROLE tap_team;
CREATE ROLE tap_dev LOGIN IN ROLE tap_team;
CREATE ROLE tap_root LOGIN SUPERUSER;
CREATE ROLE tap_admins;
CREATE ROLE tap_admin LOGIN IN ROLE tap_admins;
SET LOCAL jit_access.admin_role = 'tap_admins';

CREATE SCHEMA tap_hr AUTHORIZATION tap_owner;
CREATE TABLE tap_hr.salary (emp_no int, amount numeric);
CREATE TABLE tap_hr.employee (emp_no int, name text);
CREATE VIEW tap_hr.names AS SELECT name FROM tap_hr.employee;
CREATE FUNCTION tap_hr.raise(int) RETURNS int LANGUAGE sql AS 'SELECT $1';
ALTER TABLE tap_hr.salary OWNER TO tap_owner;
ALTER TABLE tap_hr.employee OWNER TO tap_owner;
ALTER VIEW tap_hr.names OWNER TO tap_owner;
ALTER FUNCTION tap_hr.raise(int) OWNER TO tap_owner;
REVOKE EXECUTE ON FUNCTION tap_hr.raise(int) FROM PUBLIC;
GRANT USAGE ON SCHEMA tap_hr TO tap_dev;
INSERT INTO tap_hr.salary SELECT i, i FROM generate_series(1, 1000) i;
ANALYZE tap_hr.salary;

-- Run as somebody who logged in: the one value it gives, or the error and
-- its detail.
CREATE FUNCTION pg_temp.by(who name, sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	message text;
	detail text;
BEGIN
	BEGIN
		EXECUTE format('SET LOCAL SESSION AUTHORIZATION %I', who);
		EXECUTE sql INTO result;
		RESET SESSION AUTHORIZATION;
		RETURN result;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
		RETURN concat_ws(': ', 'ERROR', message, nullif(detail, ''));
	END;
END $$;

-- The lines of jit_explain() by tap_dev that match.
CREATE FUNCTION pg_temp.explain(args text, pattern text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	result text[];
BEGIN
	SET LOCAL SESSION AUTHORIZATION tap_dev;
	EXECUTE format('SELECT coalesce(array_agg(btrim(l)), ''{}'') FROM jit_explain(%s) l WHERE l ~ $1', args)
		INTO result USING pattern;
	RESET SESSION AUTHORIZATION;
	RETURN result;
END $$;

-- Risk of a request for SELECT on tap_hr.salary, with one policy as given.
CREATE FUNCTION pg_temp.risk(condition jsonpath, risk jit.risk_level DEFAULT 'low',
	access text DEFAULT 'SELECT ON tap_hr.salary') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM jit_set_policy('tap', risk, condition);
	RETURN (pg_temp.explain(format('%L, ''90 min'', ''reason'', ticket => ''INC-1''', access), '^Risk'))[1];
END $$;

-- ---------------------------------------------------------------- fresh install
SELECT is(pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, '^Risk|step|none$|lapses|at most'),
	ARRAY['none', 'Risk: moderate (jit_access.default_risk)',
		'step 1: 1 approval by anyone who could grant it (tap_anna)', 'at most 168:00:00', 'lapses after 24:00:00'],
	'without policies: default risk, and one approval by whoever could grant it');
SELECT is(pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, '^[A-Z]'),
	ARRAY['Request in ' || quote_ident(current_database()) || ' for tap_dev, for 01:00:00',
		'Items', 'Policies', 'Risk: moderate (jit_access.default_risk)', 'Flow', 'Limits', 'Facts'],
	'jit_explain() has its sections');
SET LOCAL jit_access.default_risk = 'high';
SELECT is(pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, '^Risk'),
	ARRAY['Risk: high (jit_access.default_risk)'], 'jit_access.default_risk counts where none matches');
RESET jit_access.default_risk;

-- ---------------------------------------------------------------- who may
SELECT is(pg_temp.by(who, sql), 'ERROR: permission denied to ' || what
	|| ': Only JIT administrators may: superusers and members of the role that jit_access.admin_role names.',
	format('%s cannot %s', who, what))
FROM (VALUES ('tap_dev'), ('tap_owner'), ('tap_anna')) w (who),
	(VALUES ('set a risk policy', $$SELECT jit_set_policy('x', 'low', '$.hour > 1')$$),
		('drop a risk policy', $$SELECT jit_drop_policy('x')$$),
		('set an approval flow', $$SELECT jit_set_flow('low', '[]')$$)) f (what, sql);
SELECT is(pg_temp.by('tap_admin', $$SELECT jit_set_policy('x', 'low', '$.hour > 1')$$), 'policy x: low where ($."hour" > 1)',
	'a member of jit_access.admin_role can set a policy');
SELECT is(pg_temp.by('tap_admin', $$SELECT jit_drop_policy('x')$$), 'dropped: policy x: low where ($."hour" > 1)', '... and drop it');
SELECT is(pg_temp.by('tap_admin', $$SELECT jit_set_flow('low', '[{"approver": "@grantor"}]')$$),
	'low: 1 approval by anyone who could grant it; lapses after 24:00:00', '... and set a flow');
CREATE FUNCTION tap_hr.definer() RETURNS void LANGUAGE sql SECURITY DEFINER
	AS $$SELECT jit_set_flow('low', '[]')$$;
SELECT alike(pg_temp.by('tap_dev', $$SELECT tap_hr.definer()$$), 'ERROR: permission denied to set an approval flow%',
	'a SECURITY DEFINER function of a superuser''s does not make anyone an administrator');
-- as temporary access would have it: a member through a grant role only
CREATE ROLE jit_grant_0_1 VALID UNTIL 'tomorrow' IN ROLE tap_admins;
GRANT jit_grant_0_1 TO tap_dev;
SELECT alike(pg_temp.by('tap_dev', $$SELECT jit_set_flow('low', '[]')$$), 'ERROR: permission denied%',
	'temporary membership in jit_access.admin_role makes nobody an administrator');
SELECT alike(pg_temp.by('tap_dev', $$SELECT jit_set_flow('low', '[]') FROM set_config('role', 'tap_admins', true)$$),
	'ERROR: you cannot ask or decide as role tap_admins%', '... not by SET ROLE either');
DROP ROLE jit_grant_0_1;

-- ---------------------------------------------------------------- jit_set_policy: bad input
SELECT is(pg_temp.by('tap_admin', format('SELECT jit_set_policy(%s)', args)), 'ERROR: ' || message, args)
FROM (VALUES
	($$NULL, 'low', '$.hour > 1'$$, 'name must not be null'),
	($$' ', 'low', '$.hour > 1'$$, 'name must not be empty'),
	($$repeat('x', 64), 'low', '$.hour > 1'$$, 'name of a policy is too long: It has 64 bytes; at most 63 are allowed.'),
	($$'p', NULL, '$.hour > 1'$$, 'risk must not be null'),
	($$'p', 'severe', '$.hour > 1'$$, 'invalid input value for enum jit.risk_level: "severe"'),
	($$'p', 'low', NULL$$, 'condition must not be null'),
	($$'p', 'low', ('$.reason == "' || repeat('x', 9000) || '"')::jsonpath$$,
		'condition is too long: It has 9018 bytes; at most 8192 are allowed.'),
	($$'p', 'low', '$.hour > 1', ''$$, 'description must not be empty'),
	($$'p', 'low', '$.hour > 1', repeat('x', 9000)$$, 'description is too long: It has 9000 bytes; at most 8192 are allowed.'),
	($$'p', 'low', '$.hour > 1', 'd', NULL$$, 'enabled must not be null'),
	-- keys that aren't facts
	($$'p', 'low', '$.enviroment == "prod"'$$, '"enviroment" is not a fact'),
	($$'p', 'low', '$["enviroment"] == "prod"'$$, 'a subscript must be a number, not "enviroment"'),
	($$'p', 'low', '$."enviroment" == "prod"'$$, '"enviroment" is not a fact'),
	($$'p', 'low', 'strict $[*].enviroment == "prod"'$$, '"enviroment" is not a fact'),
	($$'p', 'low', '$.hour > 1 && !($.weekdy == 7)'$$, '"weekdy" is not a fact'),
	($$'p', 'low', '($.weekdy == 7) is unknown'$$, '"weekdy" is not a fact'),
	($$'p', 'low', 'exists($ ? (@.weekdy == 7))'$$, '"weekdy" is not a fact'),
	($$'p', 'low', 'exists($.items[*] ? ($.weekdy == 7))'$$, '"weekdy" is not a fact'),
	($$'p', 'low', '-$.huor > 3'$$, '"huor" is not a fact'),
	($$'p', 'low', '$.hour + $.huor > 3'$$, '"huor" is not a fact'),
	($$'p', 'low', '$.huor like_regex "x"'$$, '"huor" is not a fact'),
	($$'p', 'low', '$.items[$.huor].rows > 3'$$, '"huor" is not a fact'),
	($$'p', 'low', '$.items[*].lables[*] == "pii"'$$, '"lables" is not a fact of an item'),
	($$'p', 'low', '$.items.reason == "pii"'$$, '"reason" is not a fact of an item'),
	($$'p', 'low', 'exists($.items[*] ? (@.lables == "pii"))'$$, '"lables" is not a fact of an item'),
	($$'p', 'low', '$.reason.text == "x"'$$, 'key "text" is applied to a fact that has no keys'),
	($$'p', 'low', '$.*.lables[*] == "pii"'$$, '"lables" is neither a fact nor a fact of an item'),
	($$'p', 'low', '$environment == "prod"'$$, 'a condition has no variables'),
	-- not predicates
	($$'p', 'low', '$.items[*] ? (@.rows > 1)'$$, 'condition is not a predicate: It must be true or false, not a value or a list of values.'),
	($$'p', 'low', '$.writes'$$, 'condition is not a predicate: It must be true or false, not a value or a list of values.'),
	($$'p', 'low', '($.hour > 1).type()'$$, 'condition is not a predicate: It must be true or false, not a value or a list of values.'),
	($$'p', 'low', '"environment" == "prod"'$$, 'condition looks at no fact: It is the same for every request.'),
	($$'p', 'low', '1 == 1'$$, 'condition looks at no fact: It is the same for every request.'),
	($$'p', 'low', '"x" like_regex "^x" || !(1 < 2)'$$, 'condition looks at no fact: It is the same for every request.'),
	($$'p', 'low', 'true'$$, 'condition is not a predicate: It must be true or false, not a value or a list of values.')
) t (args, message);
SELECT is((SELECT count(*) FROM jit.risk_policies), 0::bigint, 'none of that left a policy');
SELECT is(pg_temp.by('tap_admin', $$SELECT jit_drop_policy('nope')$$),
	format('ERROR: policy nope does not exist in %I', current_database()), 'dropping a policy that is not there');
SELECT is(pg_temp.by('tap_admin', $$SELECT jit_drop_policy(NULL)$$), 'ERROR: name must not be null', 'dropping null');

-- ---------------------------------------------------------------- matching
SELECT is(pg_temp.risk(condition::jsonpath, risk::jit.risk_level), 'Risk: ' || expected, condition)
FROM (VALUES
	('$.hour >= 0', 'low', 'low'),
	('$.hour < 0', 'high', 'moderate (jit_access.default_risk)'),
	('$.grantee == "tap_dev" && $.requester_roles[*] == "tap_team"', 'high', 'high'),
	('$.items[*].columns[*] == "amount" && $.items[*].owner == "tap_owner"', 'high', 'high'),
	('$.items[*].schema == "tap_hr" && $.items[*].name == "salary" && $.items[*].type == "table"', 'high', 'high'),
	('$.items[*].rows >= 1000 && $.items[*].size >= 8192', 'high', 'high'),
	('$.privileges[*] == "SELECT" && !($.privileges[*] == "INSERT") && $.writes == false', 'high', 'high'),
	('$.duration == 5400 && $.until == null && $.reason == "reason" && $.ticket starts with "INC"', 'high', 'high'),
	('$.requested_at.datetime() > "2020-01-01".datetime()', 'high', 'high'),
	('$.weekday >= 1 && $.weekday <= 7 && $.active_grants == 0 && $.recent_grants == 0', 'high', 'high'),
	('$.*.labels[*] == "pii"', 'high', 'moderate (jit_access.default_risk)'),
	('exists($.items[*].keyvalue() ? (@.key == "rows"))', 'high', 'high'),
	-- what can't be told counts as matched, at high at least
	('$.reason > 3', 'low', 'high'),
	('$.environment like_regex "x"', 'moderate', 'high'),
	('strict $.items[9].rows > 3', 'low', 'high'),
	('$.hour / 0 > 1', 'low', 'high'),
	('$.reason.datetime() > "2020-01-01".datetime()', 'low', 'high'),
	('$.reason > 3', 'forbidden', 'forbidden')
) t (condition, risk, expected);
SELECT is(pg_temp.risk('$.writes == true', 'high', access), 'Risk: ' || expected, 'writes: ' || access)
FROM (VALUES ('INSERT ON tap_hr.salary', 'high'), ('EXECUTE ON FUNCTION tap_hr.raise(int)', 'high'),
	('tap_security', 'high'), ('SELECT ON tap_hr.names', 'moderate (jit_access.default_risk)')) t (access, expected);

-- every kind of object has facts
CREATE SEQUENCE tap_hr.seq;
CREATE TYPE tap_hr.mood AS ENUM ('good');
REVOKE USAGE ON TYPE tap_hr.mood FROM PUBLIC;
CREATE FOREIGN DATA WRAPPER tap_fdw;
CREATE SERVER tap_server FOREIGN DATA WRAPPER tap_fdw;
CREATE FOREIGN TABLE tap_hr.remote (a int) SERVER tap_server;
CREATE MATERIALIZED VIEW tap_hr.mat AS SELECT 1 AS one;
SELECT lo_create(4711) AS large_object \gset
SELECT is(pg_temp.risk(format('$.items[*] ? (@.added == false).type == "%s" && $.items[*].name == "%s"', type, name)::jsonpath,
	'high', access), 'Risk: high', access)
FROM (VALUES ('SELECT ON tap_hr.names', 'view', 'names'), ('SELECT ON tap_hr.mat', 'materialized view', 'mat'),
	('SELECT ON tap_hr.remote', 'foreign table', 'remote'), ('USAGE ON SEQUENCE tap_hr.seq', 'sequence', 'seq'),
	('EXECUTE ON FUNCTION tap_hr.raise', 'function', 'raise'), ('USAGE ON TYPE tap_hr.mood', 'type', 'mood'),
	('CREATE ON SCHEMA tap_hr', 'schema', 'tap_hr'), (format('CREATE ON DATABASE %I', current_database()), 'database', current_database()),
	('USAGE ON FOREIGN DATA WRAPPER tap_fdw', 'foreign-data wrapper', 'tap_fdw'), ('USAGE ON FOREIGN SERVER tap_server', 'server', 'tap_server'),
	('SELECT ON LARGE OBJECT 4711', 'large object', '4711'), ('SET ON PARAMETER log_statement', 'parameter', 'log_statement'),
	('CREATE ON TABLESPACE pg_default', 'tablespace', 'pg_default'), ('tap_security', 'role', 'tap_security')) t (access, type, name);

-- what was never vacuumed isn't of 10 pages at least
CREATE TABLE tap_hr.empty (a int);
CREATE TABLE tap_hr.few (a int);
INSERT INTO tap_hr.few VALUES (1);
CREATE TABLE tap_hr.parts (a int) PARTITION BY LIST (a);
CREATE TABLE tap_hr.part PARTITION OF tap_hr.parts DEFAULT;
CREATE TABLE tap_hr.emptied (a int);
INSERT INTO tap_hr.emptied SELECT generate_series(1, 5000);
ANALYZE tap_hr.emptied;
TRUNCATE tap_hr.emptied;
CREATE TABLE tap_hr.many (a int);
INSERT INTO tap_hr.many SELECT generate_series(1, 5000);
CREATE MATERIALIZED VIEW tap_hr.none AS SELECT 1 WHERE false;
SELECT ok(rows::bigint <@ expected, format('tap_hr.%s has %s rows', name, rows))
FROM (VALUES ('empty', int8range(0, 1)), ('few', int8range(1, 300)), ('parts', int8range(0, 1)),
	('emptied', int8range(0, 1)), ('many', int8range(2000, 8000)), ('none', int8range(0, 1))) t (name, expected),
	LATERAL pg_temp.explain(format($$'SELECT ON tap_hr.%s', '1 hour', 'r'$$, name), 'items\[0\]') l,
	LATERAL substring(l[1] FROM '"rows": ([0-9]+)') rows;
SELECT alike((pg_temp.explain($$'SELECT ON tap_hr.empty', '1 hour', 'r'$$, 'rows,'))[1], 'owner %, about 0 rows, 0 bytes', 'jit_explain() says so');

SELECT jit_set_policy('tap', 'low', '$.reason > 3');
SELECT is(pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, 'tap:'),
	ARRAY['tap: failed, counts as high (its result is null)'], 'jit_explain() says which policy failed, and why');
SELECT jit_set_policy('tap', 'low', '$.reason > 3', enabled => false);
SELECT is(pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, '^Risk'),
	ARRAY['Risk: moderate (jit_access.default_risk)'], 'a disabled policy is not evaluated');
SELECT jit_set_policy('tap', 'high', '$.duration > 1');
SELECT jit_set_policy('tap2', 'moderate', '$.duration > 1');
SELECT jit_set_policy('tap3', 'low', '$.duration > 1');
SELECT is(pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, '^Risk|tap.?:'),
	ARRAY['tap: matched, high', 'tap2: matched, moderate', 'tap3: matched, low', 'Risk: high'], 'the highest risk wins');

-- the clock is the server's, not the requester's
SELECT jit_set_policy('tap', 'high', format('$.requested_at.datetime() < "%s".datetime()',
	to_char(now() AT TIME ZONE current_setting('log_timezone') + interval '1 hour', 'YYYY-MM-DD HH24:MI:SS'))::jsonpath);
SELECT pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, 'hour:|weekday:|^Risk') AS here \gset
SET LOCAL TimeZone = 'Pacific/Kiritimati';
SELECT is(pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, 'hour:|weekday:|^Risk'), :'here'::text[],
	'TimeZone of the session changes no fact and no comparison');
SELECT ok('Risk: high' = ANY (:'here'::text[]), '... and log_timezone is what counts');
RESET TimeZone;

-- ---------------------------------------------------------------- filing
SELECT jit_set_policy('tap', 'forbidden', '$.privileges[*] == "DELETE"', 'Rows are never deleted.');
SELECT is(pg_temp.by('tap_dev', $$SELECT jit_request('DELETE ON tap_hr.salary', '1 hour', 'r')$$),
	'ERROR: policy tap forbids this request: Rows are never deleted.', 'forbidden: refused with policy and description');
SELECT is((pg_temp.explain($$'DELETE ON tap_hr.salary', '1 hour', 'r'$$, '.'))[2:4],
	ARRAY['In the way', 'policy tap forbids this request', 'Rows are never deleted.'], '... jit_explain() says so');
SELECT is((SELECT count(*) FROM jit.requests), 0::bigint, '... nothing was filed, by jit_explain() neither');
SELECT jit_set_policy('tap', 'forbidden', '$.reason > 3');
SELECT is(pg_temp.by('tap_dev', $$SELECT jit_request('SELECT ON tap_hr.salary', '1 hour', 'r')$$),
	'ERROR: policy tap forbids this request: Its condition cannot be evaluated: its result is null.',
	'a forbidden policy that fails forbids');
SELECT jit_drop_policy('tap'), jit_drop_policy('tap2');

SELECT jit_set_flow('low', '[{"any_of": ["tap_security", "@grantor"], "approvals": 2}, {"approver": "tap_owner"}]',
	'2 hours', '30 min', '^.{3}', '^INC-[0-9]+$');
SELECT is(pg_temp.by('tap_dev', format('SELECT jit_request(''SELECT ON tap_hr.salary'', %s)', args)), expected, args)
FROM (VALUES
	($$'1 hour', 'r', ticket => 'INC-1'$$,
		'ERROR: reason "r" is not what a request of low risk needs: The reason must match the pattern "^.{3}".'),
	($$'1 hour', 'reason'$$, 'ERROR: a request of low risk needs a ticket: The ticket must match the pattern "^INC-[0-9]+$".'),
	($$'1 hour', 'reason', ticket => 'JIRA-1'$$,
		'ERROR: ticket "JIRA-1" is not what a request of low risk needs: The ticket must match the pattern "^INC-[0-9]+$".'),
	($$'3 hours', 'reason', ticket => 'INC-1'$$,
		'ERROR: access of low risk cannot be requested for so long: At most 02:00:00 is allowed.')) t (args, expected);
SELECT is((pg_temp.explain($$'SELECT ON tap_hr.salary', '3 hours', 'r'$$, '.'))[2:10],
	ARRAY['In the way', 'access of low risk cannot be requested for so long', 'At most 02:00:00 is allowed.',
		'reason "r" is not what a request of low risk needs', 'The reason must match the pattern "^.{3}".',
		'a request of low risk needs a ticket', 'The ticket must match the pattern "^INC-[0-9]+$".',
		$$Such as: SELECT jit_request('SELECT ON tap_hr.salary', '02:00:00', 'why you need it', ticket => 'the ticket');$$,
		'Items'], 'jit_explain() says what would be refused');
SELECT pg_temp.by('tap_dev', $$SELECT jit_request('SELECT ON tap_hr.salary', '1 hour', 'reason', ticket => 'INC-1')$$) AS id \gset
SELECT results_eq(format('SELECT risk::text, lapses_at - requested_at, flow - ''oids'', facts ->> ''ticket'' FROM jit.requests WHERE id = %s', :'id'),
	format($$VALUES ('low', interval '30 min',
		'[{"any_of": ["tap_security", "@grantor"], "approvals": 2, "direct": false, "oids": [%s, 0]},
		  {"approver": "tap_owner", "approvals": 1, "direct": false, "oids": [%s]}]'::jsonb, 'INC-1')$$,
		'tap_security'::regrole::oid, 'tap_owner'::regrole::oid),
	'risk, time to lapse, flow and facts are kept with the request');
SELECT is((SELECT array_agg(k ORDER BY k) FROM jit.requests, jsonb_object_keys(facts) k WHERE id = :id),
	ARRAY['active_grants', 'client_addr', 'database', 'duration', 'environment', 'grantee', 'grantee_roles', 'hour',
		'items', 'login', 'login_roles', 'privileges', 'reason', 'recent_grants', 'requested_at', 'requester',
		'requester_roles', 'start', 'start_hour', 'start_weekday', 'statement', 'ticket', 'until', 'via', 'weekday', 'writes'], 'the facts are these');
SELECT is((SELECT array_agg(k ORDER BY k) FROM jit.requests, jsonb_object_keys(facts -> 'items' -> 0) k WHERE id = :id),
	ARRAY['added', 'columns', 'labels', 'name', 'owner', 'privileges', 'rows', 'schema', 'size', 'type'],
	'... and those of an item these');

-- ---------------------------------------------------------------- jit_set_flow: bad input
SELECT is(pg_temp.by('tap_admin', format('SELECT jit_set_flow(%s)', args)), 'ERROR: ' || message, args)
FROM (VALUES
	($$NULL, '[]'$$, 'risk must not be null'),
	($$'high', NULL$$, 'steps must not be null'),
	($$'forbidden', '[]'$$, 'there is no approval flow for forbidden requests: They are refused when they are filed.'),
	($$'high', '{}'$$, 'steps must be a JSON array'),
	($$'high', '"tap_owner"'$$, 'steps must be a JSON array'),
	($$'high', 'null'$$, 'steps must be a JSON array'),
	($$'high', '["tap_owner"]'$$, 'step 1 of the flow is not valid: It is not an object.'),
	($$'high', '[[]]'$$, 'step 1 of the flow is not valid: It is not an object.'),
	($$'high', '[{}]'$$, 'step 1 of the flow is not valid: It names nobody.'),
	($$'high', '[{"approver": "tap_owner"}, {"approvals": 1}]'$$, 'step 2 of the flow is not valid: It names nobody.'),
	($$'high', '[{"approver": "tap_owner", "any_of": ["tap_owner"]}]'$$,
		'step 1 of the flow is not valid: It has both "approver" and "any_of".'),
	($$'high', '[{"approver": "tap_owner", "aprovals": 2}]'$$, 'step 1 of the flow is not valid: It has an unknown key "aprovals".'),
	($$'high', '[{"approver": ["tap_owner"]}]'$$, 'step 1 of the flow is not valid: The name of a role is not a string.'),
	($$'high', '[{"approver": null}]'$$, 'step 1 of the flow is not valid: The name of a role is not a string.'),
	($$'high', '[{"any_of": "tap_owner"}]'$$, 'step 1 of the flow is not valid: "any_of" is not a list of roles.'),
	($$'high', '[{"any_of": []}]'$$, 'step 1 of the flow is not valid: "any_of" is not a list of roles.'),
	($$'high', '[{"any_of": ["tap_owner", "tap_owner"]}]'$$, 'step 1 of the flow is not valid: It names "tap_owner" twice.'),
	($$'high', '[{"approver": "tap_nobody"}]'$$, 'role "tap_nobody" does not exist: Step 1 of the flow names it.'),
	($$'high', '[{"approver": "@grantors"}]'$$, 'role "@grantors" does not exist: Step 1 of the flow names it.'),
	($$'high', '[{"approver": "tap_owner", "approvals": 0}]'$$,
		'step 1 of the flow is not valid: "approvals" is not a whole number from 1 to 1000.'),
	($$'high', '[{"approver": "tap_owner", "approvals": -1}]'$$,
		'step 1 of the flow is not valid: "approvals" is not a whole number from 1 to 1000.'),
	($$'high', '[{"approver": "tap_owner", "approvals": 1.5}]'$$,
		'step 1 of the flow is not valid: "approvals" is not a whole number from 1 to 1000.'),
	($$'high', '[{"approver": "tap_owner", "approvals": 99999999999}]'$$,
		'step 1 of the flow is not valid: "approvals" is not a whole number from 1 to 1000.'),
	($$'high', '[{"approver": "tap_owner", "approvals": "2"}]'$$, 'step 1 of the flow is not valid: "approvals" is not a number.'),
	($$'high', '[]', '-1 hour'$$, 'max_duration must be more than zero'),
	($$'high', '[]', '0'$$, 'max_duration must be more than zero'),
	($$'high', '[]', '1 month'$$, 'max_duration must not have months or years'),
	($$'high', '[]', NULL, '-1 hour'$$, 'request_ttl must be more than zero'),
	($$'high', '[]', NULL, '1 year'$$, 'request_ttl must not have months or years'),
	($$'high', '[]', NULL, '366 days'$$, 'request_ttl must not be more than 365 days'),
	($$'high', '[]', NULL, NULL, '(x'$$, 'reason_pattern "(x" is not a regular expression: invalid regular expression: parentheses () not balanced'),
	($$'high', '[]', NULL, NULL, NULL, '[z-a]'$$, 'ticket_pattern "[z-a]" is not a regular expression: invalid regular expression: invalid character range'),
	($$'high', '[]', NULL, NULL, ''$$, 'reason_pattern must not be empty')
) t (args, message);
SELECT is((SELECT count(*) FROM jit.approval_flows WHERE risk = 'high'), 0::bigint, 'none of that left a flow');

-- ---------------------------------------------------------------- flows
SELECT jit_set_flow('low', '[]');
SELECT is(pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, 'approval|at most|lapses'),
	ARRAY['no approval: active at once', 'at most 168:00:00', 'lapses after 24:00:00'],
	'jit_set_flow() replaces all of what there was');
SELECT pg_temp.by('tap_dev', $$SELECT jit_request('SELECT ON tap_hr.employee', '1 hour', 'r')$$) AS id \gset
SELECT is((SELECT status::text FROM jit.requests WHERE id = :id), 'active', 'a flow [] makes it active at once');
SELECT is(pg_temp.by('tap_dev', 'SELECT count(*) FROM tap_hr.employee'),
	'ERROR: permission denied for table employee', '... but it gives nothing before this transaction is committed');
SELECT is(pg_temp.explain($$'pg_read_all_data', '1 hour', 'r'$$, 'superuser'),
	ARRAY['needs a superuser: predefined roles take a superuser',
		(SELECT 'step 1: 1 approval by a superuser, unless there was one before ('
			|| string_agg(quote_ident(rolname), ', ' ORDER BY rolname COLLATE "C") || ')'
		FROM pg_roles WHERE rolsuper AND rolcanlogin)],
	'... but not what is off the allow-list');

SELECT jit_set_flow('low', '[{"approver": "tap_security"}]');
ALTER ROLE tap_security RENAME TO tap_guards;
SELECT is(pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, '^  step'),
	ARRAY['step 1: 1 approval by tap_guards (tap_sam, tap_sue)'], 'a renamed role is still the one that was named');
CREATE ROLE tap_security;
GRANT tap_security TO tap_anna;
SELECT is(pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, '^  step'),
	ARRAY['step 1: 1 approval by tap_guards (tap_sam, tap_sue)'], '... a new role of the old name is not');
DROP ROLE tap_guards;
SELECT is(pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, '^  step'),
	ARRAY['step 1: 1 approval by tap_security; nobody could'], 'a dropped role is nobody, even when its name is given to another');
SELECT jit_set_flow('low', '[{"approver": "pg_database_owner", "approvals": 3}]');
SELECT ok((pg_temp.explain($$'SELECT ON tap_hr.salary', '1 hour', 'r'$$, '^  step'))[1]
	LIKE 'step 1: 3 approvals by pg_database_owner; %', 'pg_database_owner can be named, and too few people are told');

DELETE FROM jit.approval_steps WHERE risk = 'low';
SELECT alike(pg_temp.by('tap_dev', $$SELECT jit_request('SELECT ON tap_hr.salary', '1 hour', 'r')$$),
	'ERROR: approval flow for low risk in % is incomplete: 0 of its steps are there.',
	'a flow that lost its steps lets nothing through');
SELECT lives_ok($$SELECT jit_set_flow('low', '[{"approver": "@grantor"}]')$$, '... and can be set anew');

-- ---------------------------------------------------------------- jit_explain: bad input
SELECT is(pg_temp.by('tap_dev', format('SELECT jit_explain(%s)', args)), 'ERROR: ' || message, args)
FROM (VALUES
	($$NULL, '1 hour', 'r'$$, 'access must not be null'),
	($$'SELECT ON tap_hr.salary', '1 hour', ' '$$, 'reason must not be empty'),
	($$'SELECT ON tap_hr.salary', '-1 hour', 'r'$$, 'duration must be more than zero'),
	($$'SELECT ON tap_hr.nope', '1 hour', 'r'$$, 'relation "tap_hr.nope" does not exist')) t (args, message);

SELECT * FROM finish();
ROLLBACK;
