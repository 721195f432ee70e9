-- Access texts: what is understood, how it is shown, and what is refused.
-- NOTICEs hold deadlines, which differ from run to run.
\set VERBOSITY default
SET client_min_messages = error;
CREATE EXTENSION jit_access;
CREATE ROLE regress_jit_owner;
CREATE ROLE regress_jit_reader;
CREATE ROLE regress_jit_dev;
CREATE ROLE "regress_jit; Odd ""one""";
CREATE ROLE regress_jit_boss SUPERUSER;
CREATE ROLE regress_jit_near IN ROLE regress_jit_boss;
CREATE ROLE regress_jit_nearer NOINHERIT IN ROLE regress_jit_near;
CREATE ROLE jit_regress;
CREATE SCHEMA regress_hr AUTHORIZATION regress_jit_owner;
CREATE SCHEMA sequence; -- an odd name, right after ON
CREATE SCHEMA regress_empty;
CREATE TABLE sequence."table" ("user" int, "all; ""x""" int);
CREATE FOREIGN DATA WRAPPER regress_fdw;
CREATE SERVER "regress Server" FOREIGN DATA WRAPPER regress_fdw;
SELECT lo_create(424242);
SET ROLE regress_jit_owner;
CREATE TABLE regress_hr.employee (emp_no int PRIMARY KEY, last_name text, born date);
CREATE TABLE regress_hr.salary (emp_no int, amount int, from_date date);
CREATE TABLE regress_hr.title (emp_no int, title text);
CREATE TABLE regress_hr."Weird; ON ""x"" TO y" (a int);
CREATE TABLE regress_hr.parted (a int) PARTITION BY RANGE (a);
CREATE VIEW regress_hr.v AS SELECT emp_no FROM regress_hr.employee;
CREATE MATERIALIZED VIEW regress_hr.mv AS SELECT 1 AS a;
CREATE SEQUENCE regress_hr.seq;
CREATE TYPE regress_hr.mood AS ENUM ('fine');
CREATE TYPE regress_hr.pair AS (a int, b int);
CREATE DOMAIN regress_hr.positive AS int CHECK (value > 0);
CREATE FUNCTION regress_hr.raise(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION regress_hr.raise(int, text, regress_hr.mood[], "char") RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION regress_hr.alone(numeric(10,2), timestamptz) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE regress_hr.pay(a int, OUT b int) LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE regress_hr.total(int) (sfunc = int4pl, stype = int);
GRANT SELECT ON regress_hr.title TO regress_jit_reader;
RESET ROLE;
REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA regress_hr FROM PUBLIC;
REVOKE USAGE ON TYPE regress_hr.mood, regress_hr.pair, regress_hr.positive FROM PUBLIC;
CREATE FOREIGN TABLE regress_hr.remote (a int) SERVER "regress Server";
-- one login plays everybody, and functions may call what decides
SET jit_access.top_level_only = off;
SET jit_access.max_pending = 1000;

-- A request by regress_jit_dev; shows what it resolved to, and gives up.
CREATE FUNCTION ask(access text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	number integer := pg_catalog.jit_request(access, '1 hour', 'why', grantee => 'regress_jit_dev');
BEGIN
	RETURN QUERY SELECT r.access || CASE WHEN r.needs_superuser THEN ' -- superuser' ELSE '' END
		FROM jit.requests r WHERE r.id = number;
	RETURN QUERY SELECT '  ' || concat_ws(' | ', i.object_type, i.object, i.privileges, i.columns,
			CASE WHEN i.added THEN 'added' END, i.owner)
		FROM jit.request_items i WHERE i.request_id = number
			AND i.owner IS DISTINCT FROM session_user -- whose name we don't know
		ORDER BY i.item;
	PERFORM pg_catalog.jit_cancel(number);
END $$;
\set SHOW_CONTEXT never
\pset tuples_only on
\pset format unaligned

-- relations and columns
SELECT ask('SELECT ON regress_hr.employee');
SELECT ask('SELECT ON regress_hr.employee, regress_hr.salary; regress_jit_reader');
SELECT ask('SELECT ON regress_hr.employee; SELECT, INSERT ON regress_hr.employee; select on table regress_hr.employee;');
SELECT ask('SELECT (amount, emp_no) ON regress_hr.salary');
SELECT ask('SELECT (emp_no), UPDATE (emp_no, amount), INSERT (amount, emp_no) ON regress_hr.salary');
SELECT ask('SELECT, SELECT (emp_no), UPDATE (amount) ON regress_hr.salary');
SELECT ask('SELECT (emp_no) ON regress_hr.salary; SELECT (amount) ON regress_hr.salary');
SELECT ask('SELECT (emp_no) ON regress_hr.salary, regress_hr.title');
SELECT ask('ALL ON regress_hr.employee; ALL PRIVILEGES (emp_no) ON regress_hr.salary');
SELECT ask('ALL ON regress_hr.employee; TRIGGER ON regress_hr.employee');
SELECT ask('TRIGGER, REFERENCES ON regress_hr.employee');
SELECT ask('SELECT (ctid) ON regress_hr.employee');
SELECT ask('SELECT ON regress_hr.v, regress_hr.mv, regress_hr.parted, regress_hr.remote');
SELECT ask('SELECT ON ALL TABLES IN SCHEMA regress_hr');
SELECT ask('SELECT ON ALL TABLES IN SCHEMA regress_empty');
SELECT ask('SELECT ON regress_hr.seq; USAGE ON SEQUENCE regress_hr.seq');
SELECT ask('ALL ON regress_hr.seq');
SELECT ask('ALL ON ALL SEQUENCES IN SCHEMA regress_hr');
SELECT ask('SELECT (last_value) ON regress_hr.seq');
SELECT ask('SELECT, INSERT ON regress_hr.seq'); -- GRANT's warning is left out here
SELECT ask('INSERT ON regress_hr.seq');

-- odd identifiers
SELECT ask('SELECT ON sequence."table"; SELECT ("user", "all; ""x""") ON "sequence"."table"');
SELECT ask('SELECT ("all; ""x""") ON sequence."table"');
SELECT ask('SELECT ON regress_hr."Weird; ON ""x"" TO y"; "regress_jit; Odd ""one"""');
SELECT ask('SELECT ON regress_hr.U&"sal\0061ry"');
SELECT ask(E'SELECT -- only ; reading\nON /* ; */ regress_hr.salary -- TO nobody');
SET search_path = regress_hr, public;
SELECT ask('SELECT ON employee, title; EXECUTE ON FUNCTION alone');
RESET search_path;

-- functions
SELECT ask('EXECUTE ON FUNCTION regress_hr.raise(int)');
SELECT ask('EXECUTE ON FUNCTION regress_hr.raise(integer, text, regress_hr.mood[], "char"), regress_hr.alone');
SELECT ask('EXECUTE ON FUNCTION regress_hr.alone(numeric(10,2), timestamp with time zone), regress_hr.total(int)');
SELECT ask('EXECUTE ON FUNCTION regress_hr.raise(regress_hr.employee.emp_no%TYPE)');
SELECT ask('EXECUTE ON PROCEDURE regress_hr.pay(int, int); EXECUTE ON ROUTINE regress_hr.pay(IN int)');
SELECT ask('EXECUTE ON ALL FUNCTIONS IN SCHEMA regress_hr');
SELECT ask('EXECUTE ON ALL ROUTINES IN SCHEMA regress_hr');
SELECT ask('ALL ON FUNCTION pg_read_file(text)');

-- everything else
SELECT ask('USAGE ON SCHEMA regress_hr, sequence');
SELECT ask('ALL ON SCHEMA regress_hr');
SELECT ask('SELECT ON regress_hr.title; CREATE ON SCHEMA regress_hr');
SELECT ask('USAGE ON TYPE regress_hr.mood, regress_hr.positive; USAGE ON DOMAIN regress_hr.positive; USAGE ON TYPE regress_hr.pair');
SELECT ask('CREATE, TEMP ON DATABASE template1');
SELECT ask('USAGE ON FOREIGN DATA WRAPPER regress_fdw; USAGE ON FOREIGN SERVER "regress Server"');
SELECT ask('SELECT, UPDATE ON LARGE OBJECT 424242');
SELECT ask('SET, ALTER SYSTEM ON PARAMETER work_mem, "Work_Mem"; SET ON PARAMETER plpgsql.variable_conflict');
SELECT ask('CREATE ON TABLESPACE pg_default');
SELECT ask('regress_jit_reader, regress_jit_owner');
SELECT ask('pg_read_all_data');

-- not the body of a GRANT
SELECT ask('');
SELECT ask(' -- nothing');
SELECT ask(';');
SELECT ask('SELECT ON regress_hr.title;; regress_jit_reader');
SELECT ask('SELECT ON regress_hr.title; -- the end');
SELECT ask('GRANT SELECT ON regress_hr.title');
SELECT ask('SELECT regress_hr.title');
SELECT ask('SELECT ON');
SELECT ask('SELECT ON regress_hr.title TO regress_jit_dev');
SELECT ask('regress_jit_reader TO regress_jit_dev, ');
SELECT ask('regress_jit_reader to/**/regress_jit_dev');
SELECT ask('SELECT ON regress_hr.title TO jit_access_grantee; regress_jit_reader');
SELECT ask('SELECT ON regress_hr.title WITH GRANT OPTION');
SELECT ask('regress_jit_reader WITH ADMIN OPTION');
SELECT ask('SELECT ON regress_hr.title GRANTED BY regress_jit_owner');
SELECT ask('SELECT ON regress_hr.title; DROP TABLE regress_hr.title');
SELECT ask('SELECT ON regress_hr.title /* open');
SELECT ask('SELECT ON regress_hr."open');
SELECT ask('SELECT ON $$regress_hr;$$');
SELECT ask('regress_jit_reader (a)');
SELECT ask('ALL');

-- not there
SELECT ask('SELECT ON regress_hr.nothing');
SELECT ask('SELECT ON regress_nowhere.employee');
SELECT ask('SELECT ON employee');
SELECT ask('SELECT ON other_database.regress_hr.employee');
SELECT ask('SELECT (nothing) ON regress_hr.employee');
SELECT ask('EXECUTE ON FUNCTION regress_hr.raise');
SELECT ask('EXECUTE ON FUNCTION regress_hr.raise(text)');
SELECT ask('EXECUTE ON FUNCTION regress_hr.pay(int)');
SELECT ask('EXECUTE ON PROCEDURE regress_hr.raise(int)');
SELECT ask('EXECUTE ON FUNCTION regress_hr.raise(regress_hr.nothing)');
SELECT ask('USAGE ON TYPE regress_hr.nothing');
SELECT ask('SELECT ON LARGE OBJECT 1');
SELECT ask('USAGE ON SCHEMA regress_nowhere');
SELECT ask('CONNECT ON DATABASE regress_nowhere');
SELECT ask('USAGE ON LANGUAGE regress_nothing');
SELECT ask('USAGE ON FOREIGN SERVER regress_nothing');
SELECT ask('USAGE ON FOREIGN DATA WRAPPER regress_nothing');
SELECT ask('CREATE ON TABLESPACE regress_nothing');
SELECT ask('SET ON PARAMETER regress_nothing');
SELECT ask('regress_jit_nobody');

-- not that privilege, not that kind
SELECT ask('FROB ON regress_hr.employee');
SELECT ask('EXECUTE ON regress_hr.employee');
SELECT ask('USAGE ON regress_hr.employee');
SELECT ask('DELETE (emp_no) ON regress_hr.employee');
SELECT ask('INSERT ON SEQUENCE regress_hr.seq');
SELECT ask('USAGE ON SEQUENCE regress_hr.employee');
SELECT ask('SELECT ON SCHEMA regress_hr');
SELECT ask('SELECT (a) ON SCHEMA regress_hr');
SELECT ask('SELECT ON regress_hr.employee_pkey');
SELECT ask('SELECT ON regress_hr.pair');
SELECT ask('USAGE ON DOMAIN regress_hr.mood');
SELECT ask('USAGE ON TYPE regress_hr._mood');
SELECT ask('USAGE ON LANGUAGE c');

-- not to be had
SELECT ask('SELECT ON pg_authid');
SELECT ask('SELECT ON pg_catalog.pg_stat_activity');
SELECT ask('SELECT ON information_schema.tables');
SELECT ask('SELECT ON pg_toast.pg_toast_1255');
SELECT ask('SELECT ON ALL TABLES IN SCHEMA jit');
SELECT ask('UPDATE ON jit.requests');
SELECT ask('USAGE ON SCHEMA jit');
SELECT ask('USAGE ON SCHEMA pg_catalog');
SELECT ask('CREATE ON SCHEMA information_schema');
SELECT ask('USAGE ON TYPE pg_catalog.int4');
SELECT ask('SET ON PARAMETER jit_access.admin_role');
\set VERBOSITY sqlstate
CREATE TEMP TABLE mine (a int);
SELECT ask('SELECT ON mine'); -- its schema is named after the session
\set VERBOSITY default
SELECT ask('public');
SELECT ask('PUBLIC, regress_jit_reader');
SELECT ask('regress_jit_boss');
SELECT ask('regress_jit_near');
SELECT ask('regress_jit_nearer');
SELECT ask('jit_regress');
SELECT ask('pg_database_owner');
SELECT ask('regress_jit_dev');

-- what has been agreed to is what is given, whatever it is called now
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT jit_request('SELECT ON regress_hr.employee; SELECT (amount) ON regress_hr.salary;
	EXECUTE ON FUNCTION regress_hr.raise(int); USAGE ON TYPE regress_hr.mood; USAGE ON SEQUENCE regress_hr.seq;
	SELECT (last_value) ON regress_hr.seq; USAGE ON FOREIGN SERVER "regress Server";
	SELECT ON LARGE OBJECT 424242; SET ON PARAMETER log_statement; CREATE ON TABLESPACE pg_default;
	USAGE ON FOREIGN DATA WRAPPER regress_fdw; CREATE ON DATABASE template1; EXECUTE ON PROCEDURE regress_hr.pay;
	SELECT ON sequence."table"; SELECT ON regress_hr."Weird; ON ""x"" TO y"; regress_jit_reader', '1 hour', 'why') AS id \gset
RESET SESSION AUTHORIZATION;
ALTER TABLE regress_hr.employee RENAME TO person;
ALTER TABLE regress_hr.salary RENAME amount TO amt;
ALTER TABLE regress_hr.salary RENAME TO pay;
CREATE TABLE regress_hr.employee (emp_no int);
SELECT access FROM jit.pending WHERE request = :id;
SELECT jit_approve(:id);
SELECT has_table_privilege('regress_jit_dev', 'regress_hr.person', 'SELECT') AS person,
	has_table_privilege('regress_jit_dev', 'regress_hr.employee', 'SELECT') AS employee,
	has_column_privilege('regress_jit_dev', 'regress_hr.pay', 'amt', 'SELECT') AS amt,
	has_column_privilege('regress_jit_dev', 'regress_hr.pay', 'emp_no', 'SELECT') AS emp_no,
	has_function_privilege('regress_jit_dev', 'regress_hr.raise(int)', 'EXECUTE') AS raise,
	has_type_privilege('regress_jit_dev', 'regress_hr.mood', 'USAGE') AS mood,
	has_sequence_privilege('regress_jit_dev', 'regress_hr.seq', 'USAGE') AS seq,
	has_server_privilege('regress_jit_dev', 'regress Server', 'USAGE') AS server,
	has_parameter_privilege('regress_jit_dev', 'log_statement', 'SET') AS parameter,
	has_schema_privilege('regress_jit_dev', 'regress_hr', 'USAGE') AS schema,
	has_tablespace_privilege('regress_jit_dev', 'pg_default', 'CREATE') AS tablespace,
	has_foreign_data_wrapper_privilege('regress_jit_dev', 'regress_fdw', 'USAGE') AS fdw,
	has_database_privilege('regress_jit_dev', 'template1', 'CREATE') AS database,
	pg_has_role('regress_jit_dev', 'regress_jit_reader', 'USAGE') AS role;
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT loread(lo_open(424242, x'40000'::int), 10);
\set VERBOSITY terse
SELECT jit_request('SELECT ON regress_hr.person', '30 min', 'has it');
\set VERBOSITY default
SELECT jit_revoke(:id);
RESET SESSION AUTHORIZATION;
SELECT has_table_privilege('regress_jit_dev', 'regress_hr.person', 'SELECT') AS person,
	has_parameter_privilege('regress_jit_dev', 'log_statement', 'SET') AS parameter,
	has_schema_privilege('regress_jit_dev', 'regress_hr', 'USAGE') AS schema,
	pg_has_role('regress_jit_dev', 'regress_jit_reader', 'USAGE') AS role;

-- dropped, or dropped and made anew, before the approval
SET SESSION AUTHORIZATION regress_jit_dev;
SELECT jit_request('SELECT ON regress_hr.title', '1 hour', 'why') AS tab,
	jit_request('SELECT (amt) ON regress_hr.pay', '1 hour', 'why') AS col,
	jit_request('"regress_jit; Odd ""one"""', '1 hour', 'why') AS rol \gset
RESET SESSION AUTHORIZATION;
DROP TABLE regress_hr.title;
CREATE TABLE regress_hr.title (emp_no int, title text);
ALTER TABLE regress_hr.pay DROP amt;
DROP ROLE "regress_jit; Odd ""one""";
\set VERBOSITY terse
SELECT jit_approve(:tab);
SELECT jit_approve(:col);
SELECT jit_approve(:rol);
\set VERBOSITY default

DROP FUNCTION ask;
DROP EXTENSION jit_access;
SELECT rolname FROM pg_roles WHERE rolname ~ '^jit_';
SELECT lo_unlink(424242);
SET client_min_messages = error;
DROP SCHEMA regress_hr, regress_empty, sequence CASCADE;
DROP FOREIGN DATA WRAPPER regress_fdw CASCADE;
DROP ROLE regress_jit_owner, regress_jit_reader, regress_jit_dev, regress_jit_boss,
	regress_jit_near, regress_jit_nearer, jit_regress;
