-- How long it takes to judge a request for 50 tables by 100 policies, of
-- which none matches.  Measured through jit_explain(), which besides making
-- the facts and evaluating the policies parses the request and looks for
-- approvers; "evaluation" is the conditions alone.  Run by psql as superuser
-- in a database with the extension; leaves nothing behind.
\set QUIET 1
\pset format unaligned
\pset tuples_only on
SET client_min_messages = error;
BEGIN;
CREATE ROLE bench_dev;
CREATE SCHEMA bench;
GRANT USAGE ON SCHEMA bench TO bench_dev;
DO $$
DECLARE
	conditions text[] := ARRAY['$.items[*].labels[*] == "l%s"', '$.grantee_roles[*] starts with "r%s"',
		'exists($.items[*] ? (@.schema == "s%s" && @.rows > 1000000))', '$.reason like_regex "^urgent %s"'];
BEGIN
	FOR i IN 1..50 LOOP
		EXECUTE format('CREATE TABLE bench.t%s (id int PRIMARY KEY, a text, b text, c numeric, d timestamptz, e text)', i);
		EXECUTE format('SECURITY LABEL FOR jit_access ON COLUMN bench.t%s.c IS ''pii, payroll''', i);
	END LOOP;
	FOR i IN 1..100 LOOP
		PERFORM jit_set_policy('bench ' || i, 'high', format(conditions[i % 4 + 1], i)::jsonpath);
	END LOOP;
END $$;
CREATE TEMP TABLE taken (what text, ms float8);
GRANT ALL ON taken TO bench_dev;
SET ROLE bench_dev;
DO $$
DECLARE
	access text := 'SELECT ON ' || (SELECT string_agg('bench.t' || i, ', ') FROM generate_series(1, 50) i);
	started timestamptz;
BEGIN
	FOR i IN 1..100 LOOP
		started := clock_timestamp();
		PERFORM jit_explain(access, '1 hour', 'why it is needed');
		INSERT INTO taken VALUES ('dry run', extract(epoch FROM clock_timestamp() - started) * 1000);
	END LOOP;
	PERFORM jit_request(access, '1 hour', 'why it is needed');
END $$;
RESET ROLE;
DO $$
DECLARE
	request jsonb := (SELECT facts FROM jit.requests ORDER BY id DESC LIMIT 1);
	started timestamptz;
BEGIN
	FOR i IN 1..100 LOOP
		started := clock_timestamp();
		PERFORM jsonb_path_match_tz(request, condition, '{}', false) FROM jit.risk_policies;
		INSERT INTO taken VALUES ('evaluation', extract(epoch FROM clock_timestamp() - started) * 1000);
	END LOOP;
END $$;
SELECT format('100 policies, 50 tables: %s %s ms (median of 100), %s ms (max)', what,
	round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric, 2), round(max(ms)::numeric, 2))
FROM taken GROUP BY what ORDER BY what;
ROLLBACK;
