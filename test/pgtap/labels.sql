-- Labels: what can have one, who can set, add to and take one away, and to
-- which requests they apply.
--
-- Made sure that it fails without the mechanism: with relabel_object() not
-- looking at what is taken away, with columns not compared, without ancestors
-- and descendants, and with only a role's own labels, the tests that say so
-- fail.

BEGIN;
SET client_min_messages = error;
SET LOCAL jit_access.top_level_only = off; -- functions of pgTAP call what decides
SELECT plan(82);

CREATE ROLE tap_owner;
CREATE ROLE tap_anna LOGIN IN ROLE tap_owner;
CREATE ROLE tap_dev LOGIN;
CREATE ROLE tap_admins;
CREATE ROLE tap_admin LOGIN IN ROLE tap_admins;
SET LOCAL jit_access.admin_role = 'tap_admins';

CREATE SCHEMA tap_hr AUTHORIZATION tap_owner;
GRANT USAGE ON SCHEMA tap_hr TO tap_dev;
SET LOCAL ROLE tap_owner;
CREATE TABLE tap_hr.salary (emp_no int, amount numeric, "from date" date);
CREATE TABLE tap_hr.plain (id int);
CREATE VIEW tap_hr.totals AS SELECT sum(amount) AS total FROM tap_hr.salary;
CREATE MATERIALIZED VIEW tap_hr.mat AS SELECT 1 AS one;
CREATE SEQUENCE tap_hr.seq;
CREATE TYPE tap_hr.comp AS (a int);
CREATE INDEX salary_idx ON tap_hr.salary (emp_no);
CREATE FUNCTION tap_hr.calc(int, text) RETURNS int LANGUAGE sql AS 'SELECT $1';
CREATE PROCEDURE tap_hr.proc() LANGUAGE sql AS '';
REVOKE EXECUTE ON FUNCTION tap_hr.calc FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE tap_hr.proc FROM PUBLIC;
CREATE TABLE tap_hr.measure (day date, secret text, open text) PARTITION BY RANGE (day);
CREATE TABLE tap_hr.measure_1 (open text, day date NOT NULL, secret text);
ALTER TABLE tap_hr.measure ATTACH PARTITION tap_hr.measure_1 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE tap_hr.measure_2 PARTITION OF tap_hr.measure DEFAULT PARTITION BY LIST (open);
CREATE TABLE tap_hr.measure_2a PARTITION OF tap_hr.measure_2 DEFAULT;
RESET ROLE;

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
		IF sql LIKE 'SELECT%' THEN
			EXECUTE sql INTO result;
		ELSE
			EXECUTE sql;
			result := 'done';
		END IF;
		RESET SESSION AUTHORIZATION;
		RETURN result;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
		RETURN concat_ws(': ', 'ERROR', message, nullif(detail, ''));
	END;
END $$;

-- Labels of the first item of what tap_dev asks for.
CREATE FUNCTION pg_temp.labels(access text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	SET LOCAL SESSION AUTHORIZATION tap_dev;
	SELECT (regexp_replace(l, '^.*items\[0\]: ', '')::jsonb) ->> 'labels' INTO result
		FROM jit_explain(access, '1 hour', 'reason') l WHERE l LIKE '%items[0]: %';
	RESET SESSION AUTHORIZATION;
	RETURN result;
END $$;

-- ---------------------------------------------------------------- what can have one
SELECT is(pg_temp.by('tap_anna', format('SECURITY LABEL FOR jit_access ON %s IS ''own''', object)), 'done',
	object || ' can have one, set by its owner')
FROM unnest(ARRAY['SCHEMA tap_hr', 'TABLE tap_hr.salary', 'COLUMN tap_hr.salary.amount', 'VIEW tap_hr.totals',
	'COLUMN tap_hr.totals.total', 'MATERIALIZED VIEW tap_hr.mat', 'FUNCTION tap_hr.calc(int, text)',
	'PROCEDURE tap_hr.proc()', 'TABLE tap_hr.measure']) object;
SELECT lives_ok('SECURITY LABEL FOR jit_access ON ROLE tap_owner IS ''people''', 'a role can have one');
SELECT lives_ok(format('SECURITY LABEL FOR jit_access ON DATABASE %I IS ''tap-db''', current_database()), 'a database can have one');
SELECT is(pg_temp.by('tap_anna', format('SECURITY LABEL FOR jit_access ON %s IS ''own''', object)), 'ERROR: ' || message
	|| ': Schemas, tables, views, columns, functions, roles and databases can.', object || ' cannot')
FROM (VALUES ('SEQUENCE tap_hr.seq', 'sequence tap_hr.seq cannot have a label of jit_access'),
	('TYPE tap_hr.comp', 'type tap_hr.comp cannot have a label of jit_access'),
	('COLUMN tap_hr.comp.a', 'column a of composite type tap_hr.comp cannot have a label of jit_access')) t (object, message);

-- ---------------------------------------------------------------- words
SELECT is(pg_temp.by('tap_anna', format('SECURITY LABEL FOR jit_access ON TABLE tap_hr.plain IS %L', label)), 'ERROR: ' || message, label)
FROM (VALUES
	('', 'label must not be empty'), (' , ', 'label must not be empty'),
	('PII', '"PII" is not a label: Labels are words of a to z, 0 to 9, _ and -, separated by commas.'),
	('pii payroll', '"pii payroll" is not a label: Labels are words of a to z, 0 to 9, _ and -, separated by commas.'),
	('pii; drop', '"pii; drop" is not a label: Labels are words of a to z, 0 to 9, _ and -, separated by commas.'),
	('gehälter', '"gehälter" is not a label: Labels are words of a to z, 0 to 9, _ and -, separated by commas.'),
	(repeat('x', 9000), 'label is too long: It has 9000 bytes; at most 8192 are allowed.')) t (label, message);
SELECT is(pg_temp.by('tap_anna', $$SECURITY LABEL FOR jit_access ON TABLE tap_hr.plain IS ' b ,a,, b,c-1_x '$$), 'done', 'odd spacing is taken');
SELECT is(pg_temp.labels('SELECT ON tap_hr.plain'), '["a", "b", "c-1_x", "own", "tap-db"]', '... each word once, with those of schema and database');

-- ---------------------------------------------------------------- who can do what
SELECT is(pg_temp.by('tap_dev', $$SECURITY LABEL FOR jit_access ON TABLE tap_hr.plain IS 'a, b, c-1_x, d'$$),
	'ERROR: must be owner of table plain', 'only the owner can add');
SELECT is(pg_temp.by('tap_anna', $$SECURITY LABEL FOR jit_access ON TABLE tap_hr.plain IS 'a, b, c-1_x, d'$$), 'done', 'the owner can add');
SELECT is(pg_temp.by('tap_anna', $$SECURITY LABEL FOR jit_access ON TABLE tap_hr.plain IS 'a, b, d'$$),
	'ERROR: permission denied to take label "c-1_x" away from table tap_hr.plain: An owner can add labels; only a JIT administrator can take them away.',
	'the owner cannot take one away');
SELECT alike(pg_temp.by('tap_anna', $$SECURITY LABEL FOR jit_access ON TABLE tap_hr.plain IS 'a, b, c-1, d'$$),
	'ERROR: permission denied to take label "c-1_x" away%', '... nor change one');
SELECT alike(pg_temp.by('tap_anna', $$SECURITY LABEL FOR jit_access ON TABLE tap_hr.plain IS NULL$$),
	'ERROR: permission denied to take label "a" away%', '... nor remove all');
SELECT is(pg_temp.by('tap_anna', $$SECURITY LABEL FOR jit_access ON TABLE tap_hr.plain IS 'a, b, c-1_x, d'$$), 'done', 'setting the same again');
GRANT tap_owner TO tap_admin;
SELECT is(pg_temp.by('tap_admin', $$SECURITY LABEL FOR jit_access ON TABLE tap_hr.plain IS 'a'$$), 'done',
	'an owner who is a JIT administrator can take one away');
REVOKE tap_owner FROM tap_admin;
-- as temporary access would have it: a member through a grant role only
CREATE ROLE jit_grant_0_1 VALID UNTIL 'tomorrow' IN ROLE tap_admins;
GRANT jit_grant_0_1 TO tap_anna;
GRANT tap_owner TO tap_admins;
SELECT alike(pg_temp.by('tap_anna', $$SECURITY LABEL FOR jit_access ON TABLE tap_hr.plain IS NULL$$),
	'ERROR: permission denied to take%', 'a temporary member of jit_access.admin_role cannot');
SELECT alike(pg_temp.by('tap_anna', $$SET LOCAL ROLE tap_admins; SECURITY LABEL FOR jit_access ON TABLE tap_hr.plain IS NULL$$),
	'ERROR: temporary access is not enough for SECURITY LABEL%', '... not after SET ROLE either');
REVOKE tap_owner FROM tap_admins;
DROP ROLE jit_grant_0_1;

-- ---------------------------------------------------------------- jit_set_label
SELECT is(pg_temp.by(who, $$SELECT jit_set_label('TABLE tap_hr.plain', 'x')$$),
	'ERROR: permission denied to set a label: Only JIT administrators may: superusers and members of the role that jit_access.admin_role names.',
	who || ' cannot use jit_set_label()')
FROM unnest(ARRAY['tap_dev', 'tap_anna']) who;
SELECT alike(pg_temp.by('tap_admin', format('SELECT jit_set_label(%L, '' x ,y, x'')', object)), '%: label x, y',
	'jit_set_label() for ' || object || ', without owning it, or USAGE on its schema')
FROM unnest(ARRAY['TABLE tap_hr.plain', 'column tap_hr.salary."from date"', 'SCHEMA tap_hr', 'FUNCTION tap_hr.calc(int, text)',
	'FUNCTION tap_hr.calc', 'ROLE tap_dev', format('DATABASE %I', current_database()), 'VIEW tap_hr.totals -- the view']) object;
SELECT is((SELECT label FROM pg_seclabels WHERE objoid = 'tap_hr.plain'::regclass), 'x, y', '... replaces what was there, in its one form');
SELECT is(pg_temp.by('tap_admin', $$SELECT jit_set_label('TABLE tap_hr.plain', NULL)$$), 'table tap_hr.plain: no label', 'null removes it');
SELECT is((SELECT count(*) FROM pg_seclabels WHERE objoid = 'tap_hr.plain'::regclass), 0::bigint, '... so it is gone');
SET LOCAL search_path = tap_hr, public;
SELECT is(pg_temp.by('tap_admin', $$SELECT jit_set_label('TABLE plain', 'x')$$), 'ERROR: relation "plain" does not exist',
	'an unqualified name is looked up as the caller sees it');
RESET search_path;
SELECT is(pg_temp.by('tap_admin', format('SELECT jit_set_label(%s)', args)), 'ERROR: ' || message, args)
FROM (VALUES
	($$NULL, 'x'$$, 'object must not be null'),
	($$' ', 'x'$$, 'object must not be empty'),
	($$'TABLE tap_hr.plain', ' '$$, 'label must not be empty'),
	($$'TABLE tap_hr.plain', 'X'$$, '"X" is not a label: Labels are words of a to z, 0 to 9, _ and -, separated by commas.'),
	($$'tap_hr.plain', 'x'$$, 'invalid object "tap_hr.plain": syntax error at or near "tap_hr"'),
	($$'TABLE tap_hr.plain IS NULL; DROP TABLE tap_hr.plain; COMMENT ON TABLE tap_hr.plain', 'x'$$,
		'invalid object "TABLE tap_hr.plain IS NULL; DROP TABLE tap_hr.plain; COMMENT ON TABLE tap_hr.plain": It is more than one object.'),
	($$'TABLE tap_hr.nope', 'x'$$, 'relation "tap_hr.nope" does not exist'),
	($$'TABLE tap_hr.totals', 'x'$$, '"totals" is not a table'),
	($$'INDEX tap_hr.salary_idx', 'x'$$,
		'index tap_hr.salary_idx cannot have a label of jit_access: Schemas, tables, views, columns, functions, roles and databases can.')
) t (args, message);

-- ---------------------------------------------------------------- which requests they apply to
CREATE ROLE tap_outsider;
CREATE ROLE tap_reader;
GRANT SELECT (emp_no) ON tap_hr.salary TO tap_reader;
CREATE ROLE tap_writer IN ROLE tap_reader;
GRANT UPDATE ON tap_hr.salary TO tap_writer;
CREATE ROLE tap_boss IN ROLE tap_writer;
SELECT jit_set_label('SCHEMA tap_hr', NULL), jit_set_label('FUNCTION tap_hr.calc', 'paid'),
	jit_set_label('TABLE tap_hr.salary', 'money'), jit_set_label('COLUMN tap_hr.salary.amount', 'pii'),
	jit_set_label('COLUMN tap_hr.salary."from date"', NULL), jit_set_label('VIEW tap_hr.totals', NULL),
	jit_set_label(format('DATABASE %I', current_database()), NULL);
SELECT is(pg_temp.labels(access), expected, access)
FROM (VALUES
	('SELECT ON tap_hr.salary', '["money", "pii"]'),
	('SELECT (amount) ON tap_hr.salary', '["money", "pii"]'),
	('SELECT (emp_no) ON tap_hr.salary', '["money"]'),
	('SELECT (emp_no), UPDATE (amount) ON tap_hr.salary', '["money"]'),
	('SELECT ON tap_hr.plain', '[]'),
	('SELECT ON tap_hr.totals', '["own"]'),
	('EXECUTE ON FUNCTION tap_hr.calc', '["paid"]'),
	('CREATE ON SCHEMA tap_hr', '[]'),
	('tap_reader', '["money"]'), ('tap_boss', '["money", "pii"]'), ('tap_outsider', '[]'),
	('tap_owner', '["money", "own", "paid", "people", "pii"]')) t (access, expected);
SELECT jit_set_label('SCHEMA tap_hr', 'hr');
SELECT is(pg_temp.labels(access), expected, 'with a label on the schema: ' || access)
FROM (VALUES
	('SELECT (emp_no) ON tap_hr.salary', '["hr", "money"]'),
	('USAGE ON SEQUENCE tap_hr.seq', '["hr"]'),
	('EXECUTE ON FUNCTION tap_hr.calc', '["hr", "paid"]'),
	('CREATE ON SCHEMA tap_hr', '["hr"]'),
	('tap_reader', '["hr", "money"]'), ('tap_outsider', '[]')) t (access, expected);

SELECT jit_set_label('SCHEMA tap_hr', NULL), jit_set_label('TABLE tap_hr.measure', NULL),
	jit_set_label('COLUMN tap_hr.measure.secret', 'top'), jit_set_label('COLUMN tap_hr.measure_1.secret', 'one'),
	jit_set_label('TABLE tap_hr.measure_2a', 'leaf');
SELECT is(pg_temp.labels(access), expected, 'partitions: ' || access)
FROM (VALUES
	('SELECT ON tap_hr.measure', '["leaf", "one", "top"]'),
	('SELECT (secret) ON tap_hr.measure', '["leaf", "one", "top"]'),
	('SELECT (open) ON tap_hr.measure', '["leaf"]'),
	('SELECT ON tap_hr.measure_1', '["one", "top"]'),
	('SELECT (open) ON tap_hr.measure_1', '[]'),
	('SELECT (secret) ON tap_hr.measure_2a', '["leaf", "top"]')) t (access, expected);

-- ---------------------------------------------------------------- in a policy
SELECT jit_set_policy('pii', 'high', '$.items[*].labels[*] == "pii"');
CREATE FUNCTION pg_temp.risk(access text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	filed integer := pg_temp.by('tap_dev', format('SELECT jit_request(%L, ''1 hour'', ''reason'')', access));
BEGIN
	RETURN (SELECT r.risk FROM jit.requests r WHERE r.id = filed);
END $$;
SELECT is(pg_temp.risk('SELECT (emp_no, amount) ON tap_hr.salary'), 'high', 'a policy on the label of a column raises the risk of a request for it');
SELECT is(pg_temp.risk('SELECT ON tap_hr.salary'), 'high', '... and of one for the whole table');
SELECT is(pg_temp.risk('SELECT (emp_no, "from date") ON tap_hr.salary'), 'moderate', '... but not of one for other columns');

SELECT * FROM finish();
ROLLBACK;
