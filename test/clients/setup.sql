-- What the programs in this folder have before them: anna's table, and dev, who
-- asks for it and has code that anna might use.
CREATE ROLE anna LOGIN;
CREATE ROLE dev LOGIN;
CREATE DATABASE hr_prod;
\c hr_prod
CREATE EXTENSION jit_access;
CREATE SCHEMA hr AUTHORIZATION anna;
GRANT USAGE ON SCHEMA hr TO dev;
CREATE SCHEMA dev AUTHORIZATION dev;
GRANT USAGE ON SCHEMA dev TO anna;

SET ROLE anna;
CREATE TABLE hr.salary AS SELECT i AS emp_no, i * 10 AS amount FROM generate_series(1, 100) i;

SET ROLE dev;
CREATE FUNCTION dev.outcome(request integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN jit_approve(request);
END $$;
CREATE FUNCTION dev.inlined(request integer) RETURNS text LANGUAGE sql AS
	'SELECT jit_approve(request)::text';
CREATE VIEW dev.report AS SELECT request, jit_approve(request)::text AS outcome FROM jit.inbox;
GRANT SELECT ON dev.report TO anna;
