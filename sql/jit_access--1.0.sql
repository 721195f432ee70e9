/* sql/jit_access--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION jit_access" to load this file. \quit

-- ----------------------------------------------------------------------
-- Schema and types
-- ----------------------------------------------------------------------

CREATE SCHEMA jit;
COMMENT ON SCHEMA jit IS 'jit_access: requests, approvals, expiring grants and their audit trail';

CREATE TYPE jit.request_status AS ENUM
	('pending', 'scheduled', 'active', 'rejected', 'canceled', 'lapsed', 'expired', 'revoked');
COMMENT ON TYPE jit.request_status IS
	'state of a request: pending -> active -> expired or revoked; pending -> scheduled -> active, revoked or lapsed; pending -> rejected, canceled or lapsed';

CREATE TYPE jit.risk_level AS ENUM ('low', 'moderate', 'high', 'forbidden');
COMMENT ON TYPE jit.risk_level IS 'risk of a request, lowest first; forbidden is refused when it is filed';

-- ----------------------------------------------------------------------
-- Tables
--
-- Roles and objects are kept by name as well as by OID, and never as reg*
-- types, so that history reads on when they are gone and any dump restores.
-- "origin" is <system identifier>/<database OID>: OIDs of a row that came
-- here by restore or by CREATE DATABASE ... TEMPLATE are not used.
--
-- No foreign keys: those of an extension are there before the rows, and
-- pg_restore -j loads tables in any order.
-- ----------------------------------------------------------------------

CREATE SEQUENCE jit.request_number AS integer CYCLE;
COMMENT ON SEQUENCE jit.request_number IS 'numbers of requests; those that are taken are passed over';

CREATE TABLE jit.requests (
	id integer PRIMARY KEY,
	status jit.request_status NOT NULL DEFAULT 'pending',
	requester name NOT NULL,
	login name NOT NULL,
	grantee name NOT NULL,
	access text NOT NULL,
	reason text NOT NULL,
	ticket text,
	duration interval,
	until timestamptz,
	risk jit.risk_level NOT NULL,
	flow jsonb NOT NULL,
	needs_superuser boolean NOT NULL,
	facts jsonb NOT NULL,
	requested_at timestamptz NOT NULL,
	lapses_at timestamptz NOT NULL,
	decided_at timestamptz,
	activated_at timestamptz,
	expires_at timestamptz,
	ended_at timestamptz,
	client_addr inet,
	requester_oid oid NOT NULL,
	login_oid oid NOT NULL,
	grantee_oid oid NOT NULL,
	origin text NOT NULL,
	extends integer,
	via text,
	start timestamptz,
	emergency boolean NOT NULL DEFAULT false,
	verdict text,
	statement text,
	fingerprint text,
	runs integer CHECK (runs > 0),
	ran integer NOT NULL DEFAULT 0,
	CHECK ((duration IS NULL) <> (until IS NULL)),
	CHECK ((status = 'pending') = (decided_at IS NULL)),
	CHECK ((activated_at IS NULL) = (expires_at IS NULL)),
	CHECK (status <> 'scheduled' OR (start IS NOT NULL AND activated_at IS NULL))
);
CREATE INDEX requests_open_idx ON jit.requests (status) WHERE status IN ('pending', 'scheduled', 'active');
CREATE INDEX requests_status_idx ON jit.requests (status);
CREATE INDEX requests_emergency_idx ON jit.requests (id) WHERE emergency;
CREATE INDEX requests_grantee_oid_idx ON jit.requests (grantee_oid, id);
COMMENT ON TABLE jit.requests IS 'requests for temporary access, one row each, kept until they are archived';
COMMENT ON COLUMN jit.requests.id IS 'number of the request and of its grant';
COMMENT ON COLUMN jit.requests.status IS 'state; an active request past its expires_at is denied before the sweeper says expired';
COMMENT ON COLUMN jit.requests.requester IS 'role that asked (current_user at the time)';
COMMENT ON COLUMN jit.requests.login IS 'role that had logged in';
COMMENT ON COLUMN jit.requests.grantee IS 'role that gets the access';
COMMENT ON COLUMN jit.requests.access IS 'what was asked for, as resolved, in the words of GRANT';
COMMENT ON COLUMN jit.requests.reason IS 'why, in the requester''s words';
COMMENT ON COLUMN jit.requests.ticket IS 'ticket, or null';
COMMENT ON COLUMN jit.requests.duration IS 'how long the access was asked for, counted from start, or from when it became active; null if until was given';
COMMENT ON COLUMN jit.requests.until IS 'time the access was asked for until; null if duration was given';
COMMENT ON COLUMN jit.requests.risk IS 'risk by the policies when it was filed';
COMMENT ON COLUMN jit.requests.flow IS 'approval steps, fixed when it was filed';
COMMENT ON COLUMN jit.requests.needs_superuser IS 'true if one of the approvers must be a superuser, whatever the flow';
COMMENT ON COLUMN jit.requests.facts IS 'facts that the policies were evaluated on';
COMMENT ON COLUMN jit.requests.requested_at IS 'when it was filed';
COMMENT ON COLUMN jit.requests.lapses_at IS 'when it lapses if still pending; of a scheduled one, when its window ends';
COMMENT ON COLUMN jit.requests.decided_at IS 'when it stopped being pending';
COMMENT ON COLUMN jit.requests.activated_at IS 'when the access started; null if it never did';
COMMENT ON COLUMN jit.requests.expires_at IS 'deadline of the access; null if it never started';
COMMENT ON COLUMN jit.requests.ended_at IS 'when the access or the request ended; null while pending or active';
COMMENT ON COLUMN jit.requests.client_addr IS 'client that asked; null for a Unix-domain socket';
COMMENT ON COLUMN jit.requests.requester_oid IS 'OID of requester, valid where origin says';
COMMENT ON COLUMN jit.requests.login_oid IS 'OID of login, valid where origin says';
COMMENT ON COLUMN jit.requests.grantee_oid IS 'OID of grantee, valid where origin says';
COMMENT ON COLUMN jit.requests.origin IS 'system identifier and OID of the database where it was filed';
COMMENT ON COLUMN jit.requests.extends IS 'request that it extends, by jit_extend(); else null';
COMMENT ON COLUMN jit.requests.via IS 'identity that a gateway asked for; null: they asked themselves';
COMMENT ON COLUMN jit.requests.emergency IS 'did they break the glass, by jit_break_glass()? Then flow is who reviews it';
COMMENT ON COLUMN jit.requests.verdict IS 'justified or unjustified, the last that was given of an emergency; null: not reviewed';
COMMENT ON COLUMN jit.requests.start IS 'when the access was asked to start; null: at once';
COMMENT ON COLUMN jit.requests.statement IS 'the one statement that jit_run() runs, as it is approved; null: the grantee gets the access';
COMMENT ON COLUMN jit.requests.fingerprint IS 'hash of what its names meant when it was filed';
COMMENT ON COLUMN jit.requests.runs IS 'how often it may be run; null: it only reads, so as often as one likes';
COMMENT ON COLUMN jit.requests.ran IS 'how often it has been run, if that is counted';

CREATE FUNCTION jit.watch_request() RETURNS trigger
	AS 'MODULE_PATHNAME', 'jit_watch_request' LANGUAGE C;
COMMENT ON FUNCTION jit.watch_request() IS 'trigger that has restored requests settled in time';

CREATE TRIGGER watch AFTER INSERT ON jit.requests FOR EACH ROW
	WHEN (new.status IN ('pending', 'scheduled', 'active')) EXECUTE FUNCTION jit.watch_request();
-- session_replication_role = replica passes triggers that aren't ALWAYS
ALTER TABLE jit.requests ENABLE ALWAYS TRIGGER watch;

CREATE TABLE jit.request_items (
	request_id integer NOT NULL,
	item integer NOT NULL,
	object_type text NOT NULL,
	object text NOT NULL,
	privileges text[] NOT NULL,
	columns text[],
	added boolean NOT NULL,
	owner name,
	owner_oid oid NOT NULL,
	classid oid NOT NULL,
	objid oid NOT NULL,
	attnums int2[],
	address_type text NOT NULL,
	address_names text[] NOT NULL,
	address_args text[] NOT NULL,
	PRIMARY KEY (request_id, item)
);
COMMENT ON TABLE jit.request_items IS 'what a request resolved to when it was filed: one object or role each';
COMMENT ON COLUMN jit.request_items.request_id IS 'number of the request';
COMMENT ON COLUMN jit.request_items.item IS 'position, from 1';
COMMENT ON COLUMN jit.request_items.object_type IS 'kind of object, in the words of GRANT; role for a membership';
COMMENT ON COLUMN jit.request_items.object IS 'object or role, qualified and quoted';
COMMENT ON COLUMN jit.request_items.privileges IS 'privileges; empty for a membership';
COMMENT ON COLUMN jit.request_items.columns IS 'columns, or null for the whole object';
COMMENT ON COLUMN jit.request_items.added IS 'true for USAGE on a schema that came with another item';
COMMENT ON COLUMN jit.request_items.owner IS 'owner of the object when it was filed; null for a role or parameter';
COMMENT ON COLUMN jit.request_items.owner_oid IS 'OID of owner, valid where the origin of the request says; 0 if there is none';
COMMENT ON COLUMN jit.request_items.classid IS 'OID of the system catalog of the object';
COMMENT ON COLUMN jit.request_items.objid IS 'OID of the object; valid where the origin of the request says';
COMMENT ON COLUMN jit.request_items.attnums IS 'attribute numbers of columns';
COMMENT ON COLUMN jit.request_items.address_type IS 'type as pg_identify_object_as_address() gives it';
COMMENT ON COLUMN jit.request_items.address_names IS 'object_names as pg_identify_object_as_address() gives them';
COMMENT ON COLUMN jit.request_items.address_args IS 'object_args as pg_identify_object_as_address() gives them';

CREATE TABLE jit.reviews (
	request_id integer NOT NULL,
	review integer NOT NULL,
	at timestamptz NOT NULL,
	verdict text NOT NULL CHECK (verdict IN ('approve', 'reject', 'justified', 'unjustified')),
	approver name NOT NULL,
	login name NOT NULL,
	step integer NOT NULL,
	by_superuser boolean NOT NULL,
	duration interval,
	comment text,
	approver_oid oid NOT NULL,
	login_oid oid NOT NULL,
	via text,
	PRIMARY KEY (request_id, review)
);
COMMENT ON TABLE jit.reviews IS 'approvals and rejections of requests, also of those who could not give them any more, and reviews of emergencies';
COMMENT ON COLUMN jit.reviews.request_id IS 'number of the request';
COMMENT ON COLUMN jit.reviews.review IS 'position, from 1';
COMMENT ON COLUMN jit.reviews.at IS 'when';
COMMENT ON COLUMN jit.reviews.verdict IS 'approve or reject; of an emergency, justified or unjustified';
COMMENT ON COLUMN jit.reviews.approver IS 'role that decided (current_user at the time)';
COMMENT ON COLUMN jit.reviews.login IS 'role that had logged in';
COMMENT ON COLUMN jit.reviews.step IS 'step of the flow it counts for, from 1; 0 for the review of an emergency';
COMMENT ON COLUMN jit.reviews.by_superuser IS 'true if the approver was a superuser';
COMMENT ON COLUMN jit.reviews.duration IS 'how long at most, if the approver shortened it';
COMMENT ON COLUMN jit.reviews.comment IS 'the approver''s words; always there for a rejection';
COMMENT ON COLUMN jit.reviews.approver_oid IS 'OID of approver, valid where the origin of the request says';
COMMENT ON COLUMN jit.reviews.login_oid IS 'OID of login, valid where the origin of the request says';
COMMENT ON COLUMN jit.reviews.via IS 'identity that a gateway decided for; null: they decided themselves';

CREATE TABLE jit.grants (
	request_id integer PRIMARY KEY,
	role name NOT NULL,
	grantee name NOT NULL,
	granted_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL,
	ended_at timestamptz,
	objects text[] NOT NULL,
	objids oid[] NOT NULL,
	role_oid oid NOT NULL,
	grantee_oid oid NOT NULL,
	warned_of timestamptz,
	query_oid oid
);
CREATE INDEX grants_live_idx ON jit.grants (expires_at) WHERE ended_at IS NULL;
CREATE INDEX grants_grantee_oid_idx ON jit.grants (grantee_oid, request_id);
CREATE INDEX grants_ended_idx ON jit.grants (ended_at) WHERE ended_at IS NOT NULL;
COMMENT ON TABLE jit.grants IS 'ledger of expiring grants: which grant role was made for which request';
COMMENT ON COLUMN jit.grants.request_id IS 'number of the request';
COMMENT ON COLUMN jit.grants.role IS 'grant role; its VALID UNTIL is the deadline';
COMMENT ON COLUMN jit.grants.grantee IS 'the grant role''s only member';
COMMENT ON COLUMN jit.grants.granted_at IS 'when the access started';
COMMENT ON COLUMN jit.grants.expires_at IS 'deadline; VALID UNTIL of the role wins where they differ';
COMMENT ON COLUMN jit.grants.ended_at IS 'when the ledger settled its end: its grant role was dropped, or found to be gone; null until then';
COMMENT ON COLUMN jit.grants.objects IS 'objects and roles it covers, qualified and quoted';
COMMENT ON COLUMN jit.grants.objids IS 'their OIDs, in the same order';
COMMENT ON COLUMN jit.grants.role_oid IS 'OID of role, valid where the origin of the request says';
COMMENT ON COLUMN jit.grants.grantee_oid IS 'OID of grantee, valid where the origin of the request says';
COMMENT ON COLUMN jit.grants.query_oid IS 'of a statement: OID of the role that it runs as, the grant role''s only member; nobody else is it';
COMMENT ON COLUMN jit.grants.warned_of IS 'deadline that event expiring has told of; null if there was none yet';

-- Not dumped: what was under way when they were pressed isn't, either.
CREATE TABLE jit.revocations (
	at timestamptz NOT NULL,
	grantee_oid oid NOT NULL
);
COMMENT ON TABLE jit.revocations IS
	'when everybody''s access was ended, or that of a role: what was granted before and committed after is ended as well';
COMMENT ON COLUMN jit.revocations.at IS 'when';
COMMENT ON COLUMN jit.revocations.grantee_oid IS 'OID of the role; 0 for everybody';

-- Not dumped: what has been restored or copied never starts.
CREATE TABLE jit.schedule (
	request_id integer PRIMARY KEY
);
COMMENT ON TABLE jit.schedule IS 'scheduled requests that are to start in this database; rows of jit.requests that came here otherwise do not';
COMMENT ON COLUMN jit.schedule.request_id IS 'number of the request';

CREATE SEQUENCE jit.scope_number;
COMMENT ON SEQUENCE jit.scope_number IS 'numbers of scope roles';

-- Not dumped, like its rows: scope roles of another cluster are not ours to use.
CREATE TABLE jit.scopes (
	role_oid oid PRIMARY KEY,
	role name NOT NULL,
	classid oid NOT NULL,
	objid oid NOT NULL,
	attnums int2[] NOT NULL,
	privileges bigint NOT NULL,
	origin text NOT NULL,
	unused_since timestamptz
);
CREATE INDEX scopes_object_idx ON jit.scopes (classid, objid);
COMMENT ON TABLE jit.scopes IS 'scope roles: which role holds which privileges on which object; reused by later grants';
COMMENT ON COLUMN jit.scopes.role_oid IS 'OID of the scope role';
COMMENT ON COLUMN jit.scopes.role IS 'name of the scope role';
COMMENT ON COLUMN jit.scopes.classid IS 'OID of the system catalog of the object';
COMMENT ON COLUMN jit.scopes.objid IS 'OID of the object';
COMMENT ON COLUMN jit.scopes.attnums IS 'attribute numbers of columns; empty for the whole object';
COMMENT ON COLUMN jit.scopes.privileges IS 'privileges, as the bits of an aclitem';
COMMENT ON COLUMN jit.scopes.origin IS 'system identifier and OID of the database where it was made';
COMMENT ON COLUMN jit.scopes.unused_since IS 'when a sweeper found that no grant uses it any more; null while one does, or until one comes';

CREATE TABLE jit.events (
	id bigint NOT NULL,
	at timestamptz NOT NULL,
	request_id integer,
	event text NOT NULL,
	login name,
	role name,
	client_addr inet,
	detail jsonb NOT NULL,
	origin text NOT NULL,
	via text,
	PRIMARY KEY (origin, id)
);
CREATE INDEX events_request_id_idx ON jit.events (request_id);
COMMENT ON TABLE jit.events IS 'audit trail, append-only but for jit_archive(); each event is also a server-log line and a NOTIFY on channel jit_access';
COMMENT ON COLUMN jit.events.id IS 'number of the event among those of its origin, from 1, in the order of commits, without gaps';
COMMENT ON COLUMN jit.events.at IS 'when';
COMMENT ON COLUMN jit.events.request_id IS 'number of the request; null if it is about none';
COMMENT ON COLUMN jit.events.event IS 'what happened, e.g. requested, activated, expired';
COMMENT ON COLUMN jit.events.login IS 'role that had logged in; null for a background worker';
COMMENT ON COLUMN jit.events.role IS 'role that did it; null for a background worker';
COMMENT ON COLUMN jit.events.client_addr IS 'client; null for a Unix-domain socket or a background worker';
COMMENT ON COLUMN jit.events.detail IS 'what else there is to say';
COMMENT ON COLUMN jit.events.origin IS 'system identifier and OID of the database where it happened';
COMMENT ON COLUMN jit.events.via IS 'identity that a gateway acted for; then login and role are those it is linked to';

CREATE FUNCTION jit.refuse_change() RETURNS trigger
	AS 'MODULE_PATHNAME', 'jit_refuse_change' LANGUAGE C;
COMMENT ON FUNCTION jit.refuse_change() IS 'trigger that keeps jit.events append-only but for jit_archive()';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON jit.events
	FOR EACH STATEMENT EXECUTE FUNCTION jit.refuse_change();
-- session_replication_role = replica passes triggers that aren't ALWAYS
ALTER TABLE jit.events ENABLE ALWAYS TRIGGER append_only;

-- ----------------------------------------------------------------------
-- Asking, deciding, ending
-- ----------------------------------------------------------------------

CREATE FUNCTION jit.deciding_support(internal) RETURNS internal
	AS 'MODULE_PATHNAME', 'jit_deciding_support' LANGUAGE C STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jit.deciding_support(internal) IS
	'planner support: notes in a plan whether it is nothing but a call of what decides';

CREATE FUNCTION jit_request(access text DEFAULT NULL, duration interval DEFAULT NULL, reason text DEFAULT NULL,
	until timestamptz DEFAULT NULL, ticket text DEFAULT NULL, grantee name DEFAULT NULL, start timestamptz DEFAULT NULL,
	statement text DEFAULT NULL, runs integer DEFAULT NULL)
	RETURNS integer AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_request(text, interval, text, timestamptz, text, name, timestamptz, text, integer) IS
	'ask for temporary access, written as between GRANT and TO, or for one statement to be run by jit_run(), for a duration or until a time, at once or from a start on; returns the number of the request';

CREATE FUNCTION jit_extend(request integer, duration interval DEFAULT NULL, reason text DEFAULT NULL,
	ticket text DEFAULT NULL)
	RETURNS integer AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_extend(integer, interval, text, text) IS
	'ask again for what a request was for, while its access lasts or once it has ended; what is not given is taken from there; returns the number of the new request';

CREATE FUNCTION jit_approve(request integer, comment text DEFAULT NULL, duration interval DEFAULT NULL)
	RETURNS jit.request_status AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_approve(integer, text, interval) IS
	'approve a pending request, for at most the duration if one is given; returns active, scheduled if it starts later, or pending while more approvals are needed';

CREATE FUNCTION jit_reject(request integer, comment text)
	RETURNS jit.request_status AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_reject(integer, text) IS 'reject a pending request; the comment is required';

CREATE FUNCTION jit_cancel(request integer, reason text DEFAULT NULL)
	RETURNS jit.request_status AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION jit_cancel(integer, text) IS 'withdraw your own pending request';

CREATE FUNCTION jit_revoke(request integer, reason text DEFAULT NULL)
	RETURNS jit.request_status AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_revoke(integer, text) IS 'end active access now, or scheduled access before it starts';

CREATE FUNCTION jit_revoke_from(grantee name, reason text)
	RETURNS integer AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_revoke_from(name, text) IS
	'end all temporary access of one role in every database, and cancel what is pending for it here; returns how many';

CREATE FUNCTION jit_revoke_all(reason text)
	RETURNS integer AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_revoke_all(text) IS
	'end all temporary access of everyone in every database, and cancel what is pending here; returns how many';

CREATE FUNCTION jit_grant(access text DEFAULT NULL, grantee name DEFAULT NULL, duration interval DEFAULT NULL, reason text DEFAULT NULL,
	until timestamptz DEFAULT NULL, ticket text DEFAULT NULL, start timestamptz DEFAULT NULL,
	statement text DEFAULT NULL, runs integer DEFAULT NULL)
	RETURNS integer AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_grant(text, name, interval, text, timestamptz, text, timestamptz, text, integer) IS
	'give somebody else temporary access that you may approve: a request and your approval in one; returns the number of the request';

CREATE FUNCTION jit_break_glass(access text, duration interval, reason text, ticket text DEFAULT NULL)
	RETURNS integer AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_break_glass(text, interval, text, text) IS
	'in an emergency, give yourself access at once that others would have to approve: members of the emergency role of its risk; it is reviewed; returns the number of the request';

CREATE FUNCTION jit_review(request integer, justified boolean, comment text)
	RETURNS jit.request_status AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_review(integer, boolean, text) IS
	'say whether an emergency was one: justified once it has ended, unjustified at any time, which ends it; the comment is required';

CREATE FUNCTION jit_run(request integer)
	RETURNS SETOF json AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_run(integer) IS
	'run the statement of an active request; returns its rows as json, or how many it has written';

-- ----------------------------------------------------------------------
-- Risk policies, approval flows and labels
--
-- No rows come with the extension: a restore would bring them a second time.
-- A risk without a row in jit.approval_flows needs one approval by somebody
-- who could run the GRANT.
-- ----------------------------------------------------------------------

CREATE TABLE jit.risk_policies (
	name text PRIMARY KEY,
	risk jit.risk_level NOT NULL,
	condition jsonpath NOT NULL,
	description text,
	enabled boolean NOT NULL
);
COMMENT ON TABLE jit.risk_policies IS
	'risk policies; the highest risk of those that match applies; set them with jit_set_policy()';
COMMENT ON COLUMN jit.risk_policies.name IS 'name of the policy';
COMMENT ON COLUMN jit.risk_policies.risk IS 'risk of requests that match; if the condition fails, high at least';
COMMENT ON COLUMN jit.risk_policies.condition IS 'predicate over the facts of a request, e.g. $.environment == "prod"';
COMMENT ON COLUMN jit.risk_policies.description IS 'why; told to whoever it forbids a request';
COMMENT ON COLUMN jit.risk_policies.enabled IS 'is it evaluated?';

CREATE TABLE jit.approval_flows (
	risk jit.risk_level PRIMARY KEY CHECK (risk <> 'forbidden'),
	steps integer NOT NULL,
	max_duration interval,
	request_ttl interval,
	reason_pattern text,
	ticket_pattern text,
	emergency_role name,
	emergency_role_oid oid,
	emergency_duration interval,
	emergency_origin text
);
COMMENT ON TABLE jit.approval_flows IS 'what requests of a risk need; set it with jit_set_flow()';
COMMENT ON COLUMN jit.approval_flows.risk IS 'risk';
COMMENT ON COLUMN jit.approval_flows.steps IS 'how many steps it has in jit.approval_steps; 0: active at once';
COMMENT ON COLUMN jit.approval_flows.max_duration IS 'longest time that access can be asked for; null: jit_access.max_duration';
COMMENT ON COLUMN jit.approval_flows.request_ttl IS 'how long a request can be pending; null: 24 hours';
COMMENT ON COLUMN jit.approval_flows.reason_pattern IS 'regular expression that the reason must match, or null';
COMMENT ON COLUMN jit.approval_flows.ticket_pattern IS 'regular expression that the ticket must match, or null';
COMMENT ON COLUMN jit.approval_flows.emergency_role IS 'role, when it was set, whose members may break the glass; null: nobody';
COMMENT ON COLUMN jit.approval_flows.emergency_role_oid IS 'its OID; within the cluster that emergency_origin names, it and not the name says which';
COMMENT ON COLUMN jit.approval_flows.emergency_duration IS 'how long at most; null: an hour';
COMMENT ON COLUMN jit.approval_flows.emergency_origin IS 'system identifier and OID of the database where it was set';

CREATE TABLE jit.approval_steps (
	risk jit.risk_level NOT NULL,
	step integer NOT NULL CHECK (step > 0),
	approvals integer NOT NULL CHECK (approvals > 0),
	approvers text[] NOT NULL,
	approver_oids oid[] NOT NULL,
	origin text NOT NULL,
	direct boolean,
	PRIMARY KEY (risk, step)
);
COMMENT ON TABLE jit.approval_steps IS 'steps of approval flows, done in order';
COMMENT ON COLUMN jit.approval_steps.risk IS 'risk';
COMMENT ON COLUMN jit.approval_steps.step IS 'position, from 1';
COMMENT ON COLUMN jit.approval_steps.approvals IS 'how many people must approve, of each item';
COMMENT ON COLUMN jit.approval_steps.approvers IS
	'roles, when it was set, whose members can; @grantor is whoever could run the GRANT, by item';
COMMENT ON COLUMN jit.approval_steps.approver_oids IS
	'their OIDs, in the same order; within the cluster that origin names, they and not the names say who';
COMMENT ON COLUMN jit.approval_steps.origin IS 'system identifier and OID of the database where it was set';
COMMENT ON COLUMN jit.approval_steps.direct IS 'takes it no approval through a gateway? null: only if the risk is high';

CREATE FUNCTION jit_set_policy(name text, risk jit.risk_level, condition jsonpath,
	description text DEFAULT NULL, enabled boolean DEFAULT true)
	RETURNS text AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_set_policy(text, jit.risk_level, jsonpath, text, boolean) IS
	'create or replace a risk policy: requests whose facts match the condition are of that risk; returns it in words';

CREATE FUNCTION jit_drop_policy(name text)
	RETURNS text AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_drop_policy(text) IS 'drop a risk policy; returns in words what it was';

CREATE FUNCTION jit_set_flow(risk jit.risk_level, steps jsonb, max_duration interval DEFAULT NULL,
	request_ttl interval DEFAULT NULL, reason_pattern text DEFAULT NULL, ticket_pattern text DEFAULT NULL,
	emergency_role name DEFAULT NULL, emergency_duration interval DEFAULT NULL)
	RETURNS text AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_set_flow(jit.risk_level, jsonb, interval, interval, text, text, name, interval) IS
	'replace all that requests of a risk need: ordered approval steps, [] for none, limits, and who may break the glass; returns it in words';

CREATE FUNCTION jit_explain(access text DEFAULT NULL, duration interval DEFAULT NULL, reason text DEFAULT NULL,
	until timestamptz DEFAULT NULL, ticket text DEFAULT NULL, grantee name DEFAULT NULL, start timestamptz DEFAULT NULL,
	statement text DEFAULT NULL, runs integer DEFAULT NULL)
	RETURNS SETOF text AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION jit_explain(text, interval, text, timestamptz, text, name, timestamptz, text, integer) IS
	'what jit_request() with the same arguments would lead to: what stands in the way, items, policies, risk, approvers, limits and facts; without a duration, for as long as is allowed; files nothing';

CREATE FUNCTION jit_access_of(statement text)
	RETURNS text AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION jit_access_of(text) IS
	'the least access that the statement needs beyond what PUBLIC has, to the column, for jit_request(); null if it needs none; neither plans nor runs it';

CREATE FUNCTION jit_show(request integer)
	RETURNS SETOF text AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION jit_show(integer) IS
	'everything about one request, for whoever it concerns: items, who asked and why, risk, who decided and who still can, how long, what happened, what else the grantee has, what would be stricter now';

CREATE FUNCTION jit_set_label(object text, label text)
	RETURNS text AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_set_label(text, text) IS
	'set the jit_access label of an object, written as in COMMENT ON, without owning it; null removes it; returns what it is now';

CREATE FUNCTION jit_config()
	RETURNS SETOF text AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jit_config() IS
	'the statements that make today''s policies, flows and labels, one a row, for JIT administrators and auditors';

CREATE FUNCTION jit_standing_access(role name DEFAULT NULL)
	RETURNS TABLE (role name, can_login boolean, object text, privileges text[], through text)
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION jit_standing_access(name) IS
	'who has what for good, a row for each owner and each entry of an access control list; of one role, what it has by membership too; for JIT administrators and auditors';

CREATE FUNCTION jit_archive(before timestamptz)
	RETURNS SETOF json AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_archive(timestamptz) IS
	'hand out what ended before a time, an object for each request with all that belongs to it and for each event about none, and remove it';

CREATE FUNCTION jit_events_after(after text DEFAULT NULL, n integer DEFAULT 1000,
	OUT mark text, OUT id bigint, OUT at timestamptz, OUT event text, OUT request integer,
	OUT login name, OUT role name, OUT via text, OUT client_addr inet, OUT detail jsonb)
	RETURNS SETOF record AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE;
COMMENT ON FUNCTION jit_events_after(text, integer) IS
	'JIT administrators and auditors: up to n (1 to 10000) events of this database that came after a mark, each with its own, in the order of commits; without one from the oldest';

CREATE FUNCTION jit_reset_clock() RETURNS void
	AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
REVOKE EXECUTE ON FUNCTION jit_reset_clock() FROM PUBLIC;
COMMENT ON FUNCTION jit_reset_clock() IS
	'superusers: believe the system clock again after it had wrongly been ahead; access that had ended may come back';

-- ----------------------------------------------------------------------
-- Gateways, which ask and decide for people
-- ----------------------------------------------------------------------

-- Not dumped, like its codes: roles of another cluster are nobody's.
CREATE TABLE jit.identities (
	identity text NOT NULL,
	role name NOT NULL,
	role_oid oid NOT NULL,
	origin text NOT NULL,
	gateway name NOT NULL,
	linked_at timestamptz NOT NULL,
	unlinked_at timestamptz,
	gateway_oid oid NOT NULL
);
-- a role may have several
CREATE UNIQUE INDEX identities_linked_idx ON jit.identities (origin, identity) WHERE unlinked_at IS NULL;
COMMENT ON TABLE jit.identities IS
	'whom gateways act for; your own, all for JIT administrators and auditors, those that are linked now, and here, for a gateway; rows stay';
COMMENT ON COLUMN jit.identities.identity IS 'what the gateway knows somebody by, e.g. slack:T012/U024BE7LH';
COMMENT ON COLUMN jit.identities.role IS 'role that it is, by its name when it was linked';
COMMENT ON COLUMN jit.identities.role_oid IS 'OID of role, valid where origin says';
COMMENT ON COLUMN jit.identities.origin IS 'system identifier and OID of the database where it was linked; it is linked there only';
COMMENT ON COLUMN jit.identities.gateway IS 'login through which it acts';
COMMENT ON COLUMN jit.identities.linked_at IS 'when it was linked, by jit_link_identity()';
COMMENT ON COLUMN jit.identities.unlinked_at IS 'when it was unlinked; null: it is linked';
COMMENT ON COLUMN jit.identities.gateway_oid IS 'OID of gateway, valid where origin says';

CREATE TABLE jit.identity_codes (
	digest bytea PRIMARY KEY,
	identity text NOT NULL,
	gateway name NOT NULL,
	gateway_oid oid NOT NULL,
	origin text NOT NULL,
	expires_at timestamptz NOT NULL
);
COMMENT ON TABLE jit.identity_codes IS 'codes that were offered and not used, each of 128 random bits';
COMMENT ON COLUMN jit.identity_codes.digest IS 'SHA-256 of the code';
COMMENT ON COLUMN jit.identity_codes.identity IS 'identity that it links';
COMMENT ON COLUMN jit.identity_codes.gateway IS 'login that it was made for';
COMMENT ON COLUMN jit.identity_codes.gateway_oid IS 'OID of gateway';
COMMENT ON COLUMN jit.identity_codes.origin IS 'system identifier and OID of the database where it was made';
COMMENT ON COLUMN jit.identity_codes.expires_at IS 'until when it can be used';

CREATE FUNCTION jit_offer_identity(identity text)
	RETURNS text AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_offer_identity(text) IS
	'gateways: a code for jit_link_identity(), to be shown to whom the identity is; works once, for ten minutes';

CREATE FUNCTION jit_link_identity(code text)
	RETURNS text AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_link_identity(text) IS
	'let a gateway act for you, by the code that it showed you; returns the identity';

CREATE FUNCTION jit_unlink_identity(identity text)
	RETURNS void AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_unlink_identity(text) IS
	'end that a gateway acts for you by this identity; JIT administrators: also those of others';

CREATE FUNCTION jit_act_for(identity text, token text DEFAULT NULL)
	RETURNS name AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE
	SUPPORT jit.deciding_support;
COMMENT ON FUNCTION jit_act_for(text, text) IS
	'gateways: act for that person until the transaction ends, with a token of jit.pending for that request only; returns their role';

CREATE FUNCTION jit.is_gateway() RETURNS boolean
	AS 'MODULE_PATHNAME', 'jit_is_gateway' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION jit.is_gateway() IS 'is the caller a gateway that acts for nobody?';

CREATE FUNCTION jit.token(origin text, request integer, requested_at timestamptz) RETURNS text
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
	RETURN origin || ':' || request || ':' || (extract(epoch FROM requested_at) * 1000000)::bigint;
COMMENT ON FUNCTION jit.token(text, integer, timestamptz) IS 'what names a request and no other, also after a restore or failover';

-- ----------------------------------------------------------------------
-- Views for people
--
-- security_barrier: a caller's function in WHERE sees the caller's rows only.
--
-- The columns of jit.inbox, jit.my_requests and jit.active_grants are of
-- widths that leave psql's lines within 130 columns.  Names longer than that
-- leaves room for are whole where somebody may compare with them.
-- ----------------------------------------------------------------------

CREATE FUNCTION jit.shown(text) RETURNS text
	AS 'MODULE_PATHNAME', 'jit_shown_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jit.shown(text) IS
	'a text in one line, with backslash escapes for characters that are not seen, or change how others are';

CREATE FUNCTION jit.wrapped(list text, width integer, more integer DEFAULT 0) RETURNS text
	AS 'MODULE_PATHNAME', 'jit_wrapped' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jit.wrapped(text, integer, integer) IS
	'the first entries, one a line, of a list that has so many more, in lines of at most this width, of which the first of each are shown, and all others indented';

CREATE FUNCTION jit.sees_all() RETURNS boolean
	AS 'MODULE_PATHNAME', 'jit_sees_all' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION jit.sees_all() IS 'is the caller a JIT administrator, an auditor, or a gateway that acts for nobody?';

CREATE FUNCTION jit.my_roles() RETURNS oid[]
	AS 'MODULE_PATHNAME', 'jit_my_roles' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION jit.my_roles() IS
	'roles whose requests are the caller''s as well: their own, and those they are a member of';

CREATE FUNCTION jit.me() RETURNS oid[]
	AS 'MODULE_PATHNAME', 'jit_me' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION jit.me() IS 'roles that the caller is: the current one, and those that they are logged in as unless it is a proxy''s';

CREATE FUNCTION jit.my_grants() RETURNS oid[]
	AS 'MODULE_PATHNAME', 'jit_my_grants' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION jit.my_grants() IS
	'live grant roles whose access the caller has: their own, and those of roles they inherit from or can SET ROLE to';

CREATE FUNCTION jit.clock() RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'jit_clock' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jit.clock() IS 'the time that deadlines are compared with: this moment, also within a statement, and never set back';

CREATE FUNCTION jit.cluster() RETURNS text
	AS 'MODULE_PATHNAME', 'jit_cluster' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jit.cluster() IS 'what the origins of rows begin with whose OIDs are of this cluster';

CREATE FUNCTION jit.name_now(role oid, name name, origin text) RETURNS text
	AS 'MODULE_PATHNAME', 'jit_view_name' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jit.name_now(oid, name, text) IS
	'name that a role of a row has now, quoted, with the stored one where it is another, e.g. dev2 (formerly dev)';

CREATE FUNCTION jit.object_now(object_type text, object text, objid oid) RETURNS text
	AS 'MODULE_PATHNAME', 'jit_object_now' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jit.object_now(text, text, oid) IS
	'name that an object of this database has now, qualified and quoted; the stored one where it is gone';

CREATE FUNCTION jit.conveyed(role name, origin text, object_type text, object text, objid oid,
	attnums int2[], privileges text[]) RETURNS text
	AS 'MODULE_PATHNAME', 'jit_conveyed' LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL SAFE;
COMMENT ON FUNCTION jit.conveyed(name, text, text, text, oid, int2[], text[]) IS
	'how much of this a grant role gives now, by the roles and privileges that there are: all, some or nothing';

CREATE FUNCTION jit.may_revoke(request integer) RETURNS boolean
	AS 'MODULE_PATHNAME', 'jit_may_revoke' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION jit.may_revoke(integer) IS
	'could the caller, as an approver, end the access of this request?';

CREATE FUNCTION jit.to_approve(request integer, OUT access text, OUT formerly text, OUT duration text, OUT approvals text)
	AS 'MODULE_PATHNAME', 'jit_to_approve' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION jit.to_approve(integer) IS
	'what the caller would agree to by approving this pending request now, by its present names, for how long, and which approvals it takes; null if they could not approve it';

CREATE FUNCTION jit.review_due(since timestamptz) RETURNS timestamptz
	AS 'MODULE_PATHNAME', 'jit_review_due' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION jit.review_due(timestamptz) IS 'when the review of an emergency of then is overdue, by jit_access.review_within';

CREATE FUNCTION jit.progress(request integer, OUT access text, OUT step integer, OUT steps integer, OUT given integer,
	OUT needed integer, OUT waiting_for name[], OUT waiting_for_more integer, OUT direct boolean)
	AS 'MODULE_PATHNAME', 'jit_progress' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION jit.progress(integer) IS
	'how far the approval of a request has come, and who could go on with it; null if it is not pending, or does not concern the caller';

CREATE VIEW jit.request_lines AS
SELECT i.request_id, i.item,
	CASE WHEN i.object_type = 'role' THEN ''
		ELSE (SELECT string_agg(p || coalesce(' (' || jit.shown(array_to_string(i.columns, ', ')) || ')', ''), ', ')
				FROM unnest(i.privileges) p) || ' ON '
			|| CASE WHEN i.object_type = 'table' THEN '' ELSE upper(i.object_type) || ' ' END
		END || i.object AS line,
	i.added, i.object_type, i.object, i.objid, i.attnums, i.privileges
FROM jit.request_items i;
COMMENT ON VIEW jit.request_lines IS 'items of requests in the words of GRANT; for the views below';
COMMENT ON COLUMN jit.request_lines.request_id IS 'number of the request';
COMMENT ON COLUMN jit.request_lines.item IS 'position, from 1';
COMMENT ON COLUMN jit.request_lines.line IS 'what was asked for, by the names of then';
COMMENT ON COLUMN jit.request_lines.added IS 'as in jit.request_items';
COMMENT ON COLUMN jit.request_lines.object_type IS 'as in jit.request_items';
COMMENT ON COLUMN jit.request_lines.object IS 'as in jit.request_items';
COMMENT ON COLUMN jit.request_lines.objid IS 'as in jit.request_items';
COMMENT ON COLUMN jit.request_lines.attnums IS 'as in jit.request_items';
COMMENT ON COLUMN jit.request_lines.privileges IS 'as in jit.request_items';

-- What is volatile in these would keep them from becoming part of the views
-- below: hence jit.clock().
CREATE VIEW jit.requests_now AS
SELECT r.*,
	CASE WHEN r.status IN ('pending', 'scheduled') AND r.lapses_at <= jit.clock() THEN 'lapsed'
		WHEN r.status = 'active' AND coalesce(a.rolvaliduntil, g.expires_at) <= jit.clock() THEN 'expired'
		ELSE r.status END AS status_now,
	jit.name_now(r.requester_oid, r.requester, r.origin) AS requester_now,
	jit.name_now(r.grantee_oid, r.grantee, r.origin) AS grantee_now,
	(SELECT string_agg(l.line, E';\n' ORDER BY l.item)
		FROM jit.request_lines l WHERE l.request_id = r.id AND NOT l.added) AS lines,
	(SELECT string_agg(l.line || CASE w.conveyed WHEN 'some' THEN ' (in part)' ELSE '' END, E';\n' ORDER BY l.item)
		FROM jit.request_lines l CROSS JOIN LATERAL
			(SELECT jit.conveyed(g.role, r.origin, l.object_type, l.object, l.objid, l.attnums, l.privileges)) w (conveyed)
		WHERE l.request_id = r.id AND r.status = 'active' AND coalesce(a.rolvaliduntil, g.expires_at) > jit.clock()
			AND w.conveyed <> 'all') AS lost,
	coalesce(a.rolvaliduntil, g.expires_at) AS deadline
FROM jit.requests r
	LEFT JOIN jit.grants g ON g.request_id = r.id AND g.ended_at IS NULL
	LEFT JOIN pg_catalog.pg_authid a ON a.rolname = g.role;
COMMENT ON VIEW jit.requests_now IS 'requests as they are at this moment, as jit.requests has them and by what there is; for the views below';
COMMENT ON COLUMN jit.requests_now.status_now IS 'state at this moment';
COMMENT ON COLUMN jit.requests_now.requester_now IS 'name of requester now, and the one of then where it is another';
COMMENT ON COLUMN jit.requests_now.grantee_now IS 'name of grantee now, and the one of then where it is another';
COMMENT ON COLUMN jit.requests_now.lines IS 'what was asked for, one object or role a line, by the names of then';
COMMENT ON COLUMN jit.requests_now.lost IS 'what of it active access does not give now';
COMMENT ON COLUMN jit.requests_now.deadline IS 'deadline of the grant role that there is; null where there is none';

-- Functions once per statement.  What an array overlaps with is expected to be
-- few rows, which spares the views below just-in-time compilation.
CREATE VIEW jit.requests_of_mine AS
SELECT r.*
FROM jit.requests_now r
WHERE ARRAY[CASE WHEN starts_with(r.origin, (SELECT jit.cluster()))
		-- not by name: a new role of the same name isn't the old one
		THEN r.requester_oid = ANY ((SELECT jit.my_roles())::oid[]) OR r.grantee_oid = ANY ((SELECT jit.my_roles())::oid[])
			OR r.login_oid = ANY ((SELECT jit.me())::oid[])
		ELSE r.requester = ANY (ARRAY(SELECT a.rolname FROM pg_catalog.pg_authid a WHERE a.oid = ANY (jit.my_roles())))
			OR r.grantee = ANY (ARRAY(SELECT a.rolname FROM pg_catalog.pg_authid a WHERE a.oid = ANY (jit.my_roles())))
			OR r.login = ANY (ARRAY(SELECT a.rolname FROM pg_catalog.pg_authid a WHERE a.oid = ANY (jit.me())))
		END] && '{true}';
COMMENT ON VIEW jit.requests_of_mine IS
	'requests by the caller, or by or for a role that they are or are a member of; for the views below';

CREATE VIEW jit.requests_to_see AS
SELECT r.*
FROM jit.requests_now r
WHERE ARRAY[(SELECT jit.sees_all())
	OR CASE WHEN starts_with(r.origin, (SELECT jit.cluster()))
		-- not by name: a new role of the same name isn't the old one
		THEN r.requester_oid = ANY ((SELECT jit.my_roles())::oid[]) OR r.grantee_oid = ANY ((SELECT jit.my_roles())::oid[])
			OR r.login_oid = ANY ((SELECT jit.me())::oid[])
		ELSE r.requester = ANY (ARRAY(SELECT a.rolname FROM pg_catalog.pg_authid a WHERE a.oid = ANY (jit.my_roles())))
			OR r.grantee = ANY (ARRAY(SELECT a.rolname FROM pg_catalog.pg_authid a WHERE a.oid = ANY (jit.my_roles())))
			OR r.login = ANY (ARRAY(SELECT a.rolname FROM pg_catalog.pg_authid a WHERE a.oid = ANY (jit.me())))
		END
	-- decided on by the caller
	OR CASE WHEN starts_with(r.origin, (SELECT jit.cluster()))
		THEN r.id IN (SELECT v.request_id FROM jit.reviews v
			WHERE v.approver_oid = ANY ((SELECT jit.me())::oid[]) OR v.login_oid = ANY ((SELECT jit.me())::oid[]))
		ELSE r.id IN (SELECT v.request_id FROM jit.reviews v
			WHERE ARRAY[v.approver, v.login] && ARRAY(SELECT a.rolname FROM pg_catalog.pg_authid a WHERE a.oid = ANY (jit.me())))
		END
	OR CASE WHEN r.status IN ('scheduled', 'active') THEN jit.may_revoke(r.id) END] && '{true}';
COMMENT ON VIEW jit.requests_to_see IS
	'requests as in jit.requests_of_mine, those that the caller has decided on, and scheduled and active ones that they could end; all of them for JIT administrators and auditors; for the views below';

CREATE VIEW jit.inbox WITH (security_barrier) AS
SELECT r.id AS request,
	jit.wrapped(concat(jit.name_now(r.grantee_oid, r.grantee, r.origin),
		CASE WHEN r.requester_oid <> r.grantee_oid OR r.login_oid <> r.requester_oid
			THEN ', asked by ' || jit.name_now(r.requester_oid, r.requester, r.origin) END,
		CASE WHEN r.login_oid <> r.requester_oid
			THEN ' (login ' || jit.name_now(r.login_oid, r.login, r.origin) || ')' END,
		' (via ' || jit.shown(r.via) || ')'), greatest(13, length(r.grantee))) AS grantee,
	coalesce(jit.wrapped('to run: ' || jit.shown(r.statement), 20) || E'\nby ', '') || jit.wrapped(t.access, 20) || coalesce(E'\n' || jit.wrapped(t.formerly, 20), '') AS access,
	jit.wrapped(concat_ws(E'\n', regexp_replace(t.duration, ' (?=\d+:)', E'\n'),
		to_char(r.start, E'"from"\nDD Mon\nHH24:MI:SS')), 8) AS duration,
	jit.wrapped(concat_ws(E'\n', jit.shown(r.reason), jit.shown(r.ticket)), 14) AS reason,
	r.risk,
	jit.wrapped(t.approvals, 12) AS approvals,
	date_trunc('second', CASE WHEN r.emergency THEN jit.review_due(r.activated_at) ELSE r.lapses_at END) AS lapses_at
FROM jit.requests r
	CROSS JOIN LATERAL jit.to_approve(r.id) t
WHERE (r.status = 'pending' AND r.lapses_at > jit.clock() OR r.emergency AND r.verdict IS NULL) AND t.access IS NOT NULL
ORDER BY r.id;
COMMENT ON VIEW jit.inbox IS 'pending requests that you could approve now, and emergencies that you could review; for JIT administrators and auditors as well';
COMMENT ON COLUMN jit.inbox.request IS 'number of the request';
COMMENT ON COLUMN jit.inbox.grantee IS 'role that gets the access, who asked for it if that is another, who had logged in if that is yet another, and the identity that a gateway asked for';
COMMENT ON COLUMN jit.inbox.access IS 'what you would agree to, one object or role a line, by the names of now; if they were others then, those as well';
COMMENT ON COLUMN jit.inbox.duration IS 'how long it would be given for now: the least of what was asked for and what approvers before you have allowed; and from when, if it has a start';
COMMENT ON COLUMN jit.inbox.reason IS 'reason, and ticket on a line of its own';
COMMENT ON COLUMN jit.inbox.risk IS 'risk by the policies when it was filed';
COMMENT ON COLUMN jit.inbox.approvals IS 'approvals of the current step that count: how many are there, how many it takes, and by whom; what you could grant is told apart; of an emergency, that it is to be reviewed';
COMMENT ON COLUMN jit.inbox.lapses_at IS 'when it lapses if still pending, or its review is overdue';

CREATE VIEW jit.my_requests WITH (security_barrier) AS
SELECT r.id AS request,
	r.status_now AS status,
	jit.wrapped(r.grantee_now, greatest(12, length(r.grantee))) AS grantee,
	coalesce(jit.wrapped('to run: ' || jit.shown(r.statement), 12) || E'\nby ', '') || jit.wrapped(r.lines, 12) || coalesce(E'\n' || jit.wrapped('(not now: ' || r.lost || ')', 12), '') AS access,
	jit.wrapped(concat_ws(E'\n', regexp_replace(r.duration::text, ' (?=\d+:)', E'\n'),
		to_char(r.start, E'"from"\nDD Mon\nHH24:MI:SS'),
		to_char(r.until, E'"until"\nDD Mon\nYYYY\nHH24:MI:SS')), 8) AS duration,
	jit.wrapped(concat_ws(E'\n', jit.shown(r.reason), jit.shown(r.ticket)), 8) AS reason,
	(SELECT jit.wrapped(string_agg(jit.name_now(0, w.name, ''), E'\n' ORDER BY w.n), 12, min(p.waiting_for_more))
		FROM jit.progress(CASE r.status_now WHEN 'pending' THEN r.id END) p
			CROSS JOIN LATERAL unnest(p.waiting_for) WITH ORDINALITY w (name, n)) AS waiting_for,
	(SELECT jit.wrapped(concat(jit.name_now(v.approver_oid, v.approver, r.origin), ' (via ' || jit.shown(v.via) || ')', ': ' || jit.shown(v.comment)), 12)
		FROM jit.reviews v WHERE v.request_id = r.id AND v.verdict IN ('approve', 'reject') ORDER BY v.review DESC LIMIT 1) AS decided_by,
	date_trunc('second', CASE WHEN r.status IN ('pending', 'scheduled') THEN r.lapses_at
		ELSE coalesce(r.ended_at, r.deadline, r.expires_at) END) AS ends_at
FROM jit.requests_of_mine r
ORDER BY r.id;
COMMENT ON VIEW jit.my_requests IS
	'requests by you, or by or for a role that you are or are a member of; JIT administrators and auditors see their own here, too, and no others';
COMMENT ON COLUMN jit.my_requests.request IS 'number of the request';
COMMENT ON COLUMN jit.my_requests.status IS 'state at this moment';
COMMENT ON COLUMN jit.my_requests.grantee IS 'role that gets the access, by its name of now; if it was another then, that as well';
COMMENT ON COLUMN jit.my_requests.access IS 'what was asked for, by the names of then, and what of it active access doesn''t give now';
COMMENT ON COLUMN jit.my_requests.duration IS 'how long, from when and until when it was asked for';
COMMENT ON COLUMN jit.my_requests.reason IS 'reason, and ticket on a line of its own';
COMMENT ON COLUMN jit.my_requests.waiting_for IS 'who can log in and could approve it now; superusers only where nobody else could; null once it is not pending';
COMMENT ON COLUMN jit.my_requests.decided_by IS 'the last who approved or rejected it, and what they said';
COMMENT ON COLUMN jit.my_requests.ends_at IS 'when it lapses, when the access expires, or would if it started as scheduled, or when it ended';

-- Conditions on plain columns would be looked at before jit.progress() has
-- said whom a request concerns, and EXPLAIN ANALYZE counts what they remove:
-- OFFSET 0 keeps them out, save those on the number.
CREATE VIEW jit.pending WITH (security_barrier) AS
SELECT r.id AS request, w.*
FROM jit.requests r
	CROSS JOIN LATERAL (SELECT
			coalesce(q.rolname, r.requester) AS requester,
			coalesce(l.rolname, r.login) AS login,
			coalesce(g.rolname, r.grantee) AS grantee,
			p.access, jit.shown(r.reason) AS reason, jit.shown(r.ticket) AS ticket,
			r.duration, r.until, r.risk,
			p.step, p.steps, p.given, p.needed, p.waiting_for, p.waiting_for_more,
			r.requested_at AS asked_at,
			CASE WHEN r.emergency THEN jit.review_due(r.activated_at) ELSE r.lapses_at END AS lapses_at,
			jit.token(r.origin, r.id, r.requested_at) AS token,
			r.via, p.direct,
			ARRAY(SELECT jit.name_now(v.approver_oid, v.approver, r.origin)
				FROM jit.reviews v WHERE v.request_id = r.id AND v.verdict = 'approve' ORDER BY v.review) AS approved_by,
			ARRAY(SELECT jit.shown(v.comment)
				FROM jit.reviews v WHERE v.request_id = r.id AND v.verdict = 'approve' ORDER BY v.review) AS comments,
			ARRAY(SELECT v.via FROM jit.reviews v WHERE v.request_id = r.id AND v.verdict = 'approve' ORDER BY v.review) AS approved_via,
			r.start, jit.shown(r.statement) AS statement,
			CASE WHEN r.emergency THEN 'review' ELSE 'decision' END AS kind
		FROM jit.progress(r.id) p
			LEFT JOIN pg_catalog.pg_authid q ON q.oid = r.requester_oid AND starts_with(r.origin, (SELECT jit.cluster()))
			LEFT JOIN pg_catalog.pg_authid l ON l.oid = r.login_oid AND starts_with(r.origin, (SELECT jit.cluster()))
			LEFT JOIN pg_catalog.pg_authid g ON g.oid = r.grantee_oid AND starts_with(r.origin, (SELECT jit.cluster()))
		WHERE p.step IS NOT NULL OFFSET 0) w
WHERE r.status = 'pending' AND r.lapses_at > jit.clock() OR r.emergency AND r.verdict IS NULL
ORDER BY r.id;
COMMENT ON VIEW jit.pending IS
	'pending requests and unreviewed emergencies that concern you, for programs: yours, those you could decide on in some step or have decided on; all of them for JIT administrators and auditors';
COMMENT ON COLUMN jit.pending.request IS 'number of the request';
COMMENT ON COLUMN jit.pending.requester IS 'role that asked, by its name of now';
COMMENT ON COLUMN jit.pending.login IS 'role that had logged in, by its name of now';
COMMENT ON COLUMN jit.pending.grantee IS 'role that gets the access, by its name of now';
COMMENT ON COLUMN jit.pending.access IS 'what was asked for, as jit_request() takes it, by the names of now; if they were others then, those as well';
COMMENT ON COLUMN jit.pending.reason IS 'reason';
COMMENT ON COLUMN jit.pending.ticket IS 'ticket, or null';
COMMENT ON COLUMN jit.pending.duration IS 'how long it was asked for; null if until was given';
COMMENT ON COLUMN jit.pending.until IS 'until when it was asked for; null if duration was given';
COMMENT ON COLUMN jit.pending.risk IS 'risk by the policies when it was filed';
COMMENT ON COLUMN jit.pending.step IS 'step that needs approvals now, from 1';
COMMENT ON COLUMN jit.pending.steps IS 'how many steps there are';
COMMENT ON COLUMN jit.pending.given IS 'approvals of this step that count, of what lacks most of them';
COMMENT ON COLUMN jit.pending.needed IS 'approvals that this step takes';
COMMENT ON COLUMN jit.pending.waiting_for IS 'roles that can log in and could approve it now, at most 20, by name; superusers only where nobody else could';
COMMENT ON COLUMN jit.pending.waiting_for_more IS 'how many more there are';
COMMENT ON COLUMN jit.pending.asked_at IS 'when it was filed';
COMMENT ON COLUMN jit.pending.lapses_at IS 'when it lapses if still pending, or its review is overdue';
COMMENT ON COLUMN jit.pending.token IS 'what jit_act_for() takes for this request only';
COMMENT ON COLUMN jit.pending.via IS 'identity that a gateway asked for; null: they asked themselves';
COMMENT ON COLUMN jit.pending.direct IS 'does this step take no approval through a gateway?';
COMMENT ON COLUMN jit.pending.approved_by IS 'roles that have approved so far, in order, by their names of now and of then; also where an approval has stopped counting';
COMMENT ON COLUMN jit.pending.comments IS 'what they said, in the same order; null for nothing';
COMMENT ON COLUMN jit.pending.approved_via IS 'identities that gateways approved for, in the order of approved_by; null: themselves';
COMMENT ON COLUMN jit.pending.start IS 'when it was asked to start; null: at once';
COMMENT ON COLUMN jit.pending.statement IS 'the one statement that would be run; null: the grantee gets the access. It takes no approval through a gateway';
COMMENT ON COLUMN jit.pending.kind IS 'what is waited for: a decision, or the review of an emergency';

CREATE VIEW jit.scheduled WITH (security_barrier) AS
SELECT r.id AS request,
	r.requester_now AS requester,
	r.grantee_now AS grantee,
	r.lines AS access,
	r.start AS starts_at,
	r.lapses_at AS ends_at,
	jit.shown(r.reason) AS reason,
	jit.shown(r.ticket) AS ticket,
	ARRAY(SELECT jit.name_now(v.approver_oid, v.approver, r.origin)
		FROM jit.reviews v WHERE v.request_id = r.id AND v.verdict = 'approve' ORDER BY v.review) AS approved_by,
	ARRAY(SELECT jit.shown(v.comment)
		FROM jit.reviews v WHERE v.request_id = r.id AND v.verdict = 'approve' ORDER BY v.review) AS comments,
	r.via,
	ARRAY(SELECT v.via FROM jit.reviews v WHERE v.request_id = r.id AND v.verdict = 'approve' ORDER BY v.review) AS approved_via,
	CASE WHEN starts_with(r.origin, (SELECT jit.cluster())) THEN r.requester_oid END AS requester_oid,
	r.risk,
	jit.token(r.origin, r.id, r.requested_at) AS token
FROM jit.requests_to_see r
WHERE r.status_now = 'scheduled'
ORDER BY r.start, r.id;
COMMENT ON VIEW jit.scheduled IS
	'approved access that has not started: yours, or of a role that you are a member of, what you asked for, decided on, or may revoke; everyone''s for JIT administrators, auditors and gateways';
COMMENT ON COLUMN jit.scheduled.request IS 'number of the request; end it with jit_revoke()';
COMMENT ON COLUMN jit.scheduled.requester IS 'role that asked, by its name of now; if it was another then, that as well';
COMMENT ON COLUMN jit.scheduled.grantee IS 'role that gets the access, by its name of now; if it was another when it was asked for, that as well';
COMMENT ON COLUMN jit.scheduled.access IS 'what was asked for, one object or role a line, by the names of then';
COMMENT ON COLUMN jit.scheduled.starts_at IS 'when it starts';
COMMENT ON COLUMN jit.scheduled.ends_at IS 'its deadline, whenever it starts';
COMMENT ON COLUMN jit.scheduled.reason IS 'reason given by the requester';
COMMENT ON COLUMN jit.scheduled.ticket IS 'ticket given by the requester';
COMMENT ON COLUMN jit.scheduled.approved_by IS 'roles that approved, in order, by their names of now and of then; also where an approval has stopped counting';
COMMENT ON COLUMN jit.scheduled.comments IS 'what they said, in the same order; null for nothing';
COMMENT ON COLUMN jit.scheduled.via IS 'identity that a gateway asked for; null: they asked themselves';
COMMENT ON COLUMN jit.scheduled.approved_via IS 'identities that gateways approved for, in the order of approved_by; null: themselves';
COMMENT ON COLUMN jit.scheduled.requester_oid IS 'OID of the role that asked; null where that is one of another cluster';
COMMENT ON COLUMN jit.scheduled.risk IS 'risk by the policies when it was filed';
COMMENT ON COLUMN jit.scheduled.token IS 'what jit_act_for() takes for this request only';

CREATE VIEW jit.active_grants WITH (security_barrier) AS
SELECT r.id AS request,
	jit.wrapped(r.grantee_now, greatest(12, length(r.grantee))) AS grantee,
	coalesce(jit.wrapped('to run: ' || jit.shown(r.statement), 39) || E'\nby ', '') || jit.wrapped(t.access, 39) || coalesce(E'\n' || jit.wrapped('(not now: ' || r.lost || ')', 39), '') AS access,
	date_trunc('second', a.rolvaliduntil) AS expires_at,
	date_trunc('second', a.rolvaliduntil - jit.clock()) AS time_left,
	(SELECT jit.wrapped(string_agg(jit.name_now(v.approver_oid, v.approver, r.origin), E'\n' ORDER BY v.review), 12)
		FROM jit.reviews v WHERE v.request_id = r.id AND v.verdict = 'approve') AS approved_by
FROM jit.requests_to_see r
	JOIN jit.grants g ON g.request_id = r.id
	JOIN pg_catalog.pg_authid a ON a.rolname = g.role
	CROSS JOIN LATERAL (SELECT coalesce(string_agg(l.line, E';\n' ORDER BY l.item) FILTER (WHERE w.conveyed <> 'nothing' AND NOT l.added),
			string_agg(l.line, E';\n' ORDER BY l.item) FILTER (WHERE w.conveyed <> 'nothing')) AS access
		FROM jit.request_lines l CROSS JOIN LATERAL
			(SELECT jit.conveyed(g.role, r.origin, l.object_type, l.object, l.objid, l.attnums, l.privileges)) w (conveyed)
		WHERE l.request_id = r.id) t
WHERE r.status = 'active' AND g.ended_at IS NULL AND NOT (SELECT jit.is_gateway())
	AND a.rolvaliduntil > jit.clock() AND isfinite(a.rolvaliduntil)
	AND EXISTS (SELECT FROM pg_catalog.pg_auth_members m WHERE m.roleid = a.oid)
	AND t.access IS NOT NULL
ORDER BY a.rolvaliduntil;
COMMENT ON VIEW jit.active_grants IS
	'temporary access granted in this database that works now: what you have, or a role that you are a member of, what you asked for, decided on, or may revoke; everyone''s for JIT administrators and auditors';
COMMENT ON COLUMN jit.active_grants.request IS 'number of the request; end it with jit_revoke()';
COMMENT ON COLUMN jit.active_grants.grantee IS 'role that has the access, by its name of now; if it was another when it was asked for, that as well';
COMMENT ON COLUMN jit.active_grants.access IS 'what of it works now, and what doesn''t, because its object, scope role or privilege is gone';
COMMENT ON COLUMN jit.active_grants.expires_at IS 'deadline';
COMMENT ON COLUMN jit.active_grants.time_left IS 'time until the deadline';
COMMENT ON COLUMN jit.active_grants.approved_by IS 'roles that approved, in order; also where an approval had stopped counting';

CREATE VIEW jit.history WITH (security_barrier) AS
SELECT r.id AS request,
	r.status_now AS status,
	r.requester_now AS requester,
	r.grantee_now AS grantee,
	r.lines || coalesce(E'\n(not now: ' || r.lost || ')', '') AS access,
	ARRAY(SELECT i.object FROM jit.request_items i WHERE i.request_id = r.id AND NOT i.added
		GROUP BY i.object ORDER BY min(i.item)) AS objects,
	jit.shown(r.reason) AS reason,
	jit.shown(r.ticket) AS ticket,
	ARRAY(SELECT jit.name_now(v.approver_oid, v.approver, r.origin)
		FROM jit.reviews v WHERE v.request_id = r.id AND v.verdict = 'approve' ORDER BY v.review) AS approved_by,
	ARRAY(SELECT jit.shown(v.comment)
		FROM jit.reviews v WHERE v.request_id = r.id AND v.verdict = 'approve' ORDER BY v.review) AS comments,
	r.activated_at,
	coalesce(r.deadline, r.expires_at) AS expires_at,
	CASE WHEN r.status <> 'active' THEN r.ended_at
		WHEN r.deadline <= jit.clock() THEN r.deadline END AS ended_at,
	CASE WHEN r.status_now <> 'active' THEN (SELECT jit.name_now(0, e.role, '')
		FROM jit.events e WHERE e.request_id = r.id AND e.event IN ('revoked', 'shortened', 'prolonged')
		ORDER BY e.at DESC, e.id DESC LIMIT 1) END AS ended_by,
	r.via,
	ARRAY(SELECT v.via FROM jit.reviews v WHERE v.request_id = r.id AND v.verdict = 'approve' ORDER BY v.review) AS approved_via,
	CASE WHEN starts_with(r.origin, (SELECT jit.cluster())) THEN r.requester_oid END AS requester_oid,
	r.risk,
	jit.token(r.origin, r.id, r.requested_at) AS token,
	r.emergency,
	r.verdict
FROM jit.requests_to_see r
WHERE r.activated_at IS NOT NULL
ORDER BY r.id;
COMMENT ON VIEW jit.history IS
	'all temporary access that there is or was: what you have had, or a role that you are a member of, what you asked for, decided on, or may revoke while it is active; everyone''s for JIT administrators and auditors';
COMMENT ON COLUMN jit.history.request IS 'number of the request';
COMMENT ON COLUMN jit.history.status IS 'active, expired or revoked';
COMMENT ON COLUMN jit.history.requester IS 'role that asked, by its name of now; if it was another then, that as well';
COMMENT ON COLUMN jit.history.grantee IS 'role that got the access, by its name of now; if it was another when it was asked for, that as well';
COMMENT ON COLUMN jit.history.access IS 'what, one object or role a line, and what of it active access doesn''t give now';
COMMENT ON COLUMN jit.history.objects IS 'objects and roles it covered, qualified and quoted';
COMMENT ON COLUMN jit.history.reason IS 'reason';
COMMENT ON COLUMN jit.history.ticket IS 'ticket, or null';
COMMENT ON COLUMN jit.history.approved_by IS 'roles that approved, in order, by their names of now and of then; also where an approval had stopped counting';
COMMENT ON COLUMN jit.history.comments IS 'what they said, in the same order; null for nothing';
COMMENT ON COLUMN jit.history.activated_at IS 'when the access started';
COMMENT ON COLUMN jit.history.expires_at IS 'its deadline';
COMMENT ON COLUMN jit.history.ended_at IS 'when it ended; NULL while it is active';
COMMENT ON COLUMN jit.history.via IS 'identity that a gateway asked for; null: they asked themselves';
COMMENT ON COLUMN jit.history.emergency IS 'did they break the glass?';
COMMENT ON COLUMN jit.history.verdict IS 'what the last review of an emergency said: justified or unjustified; null: none';
COMMENT ON COLUMN jit.history.approved_via IS 'identities that gateways approved for, in the order of approved_by; null: themselves';
COMMENT ON COLUMN jit.history.requester_oid IS 'OID of the role that asked; null where that is one of another cluster';
COMMENT ON COLUMN jit.history.risk IS 'risk by the policies when it was filed';
COMMENT ON COLUMN jit.history.token IS 'what jit_act_for() takes for this request only';
COMMENT ON COLUMN jit.history.ended_by IS 'role that revoked or shortened it, by the name of then; null if it came to its deadline, or was ended natively';

CREATE VIEW jit.refused WITH (security_barrier) AS
SELECT r.id AS request,
	r.status_now AS status,
	r.requester_now AS requester,
	r.grantee_now AS grantee,
	r.lines AS access,
	jit.shown(r.reason) AS reason,
	jit.shown(r.ticket) AS ticket,
	coalesce(jit.name_now(v.approver_oid, v.approver, r.origin), jit.name_now(0, e.role, '')) AS decided_by,
	jit.shown(coalesce(v.comment, e.detail ->> 'reason')) AS comment,
	r.requested_at AS asked_at,
	coalesce(r.ended_at, r.lapses_at) AS decided_at,
	r.via,
	coalesce(v.via, e.via) AS decided_via,
	CASE WHEN starts_with(r.origin, (SELECT jit.cluster())) THEN r.requester_oid END AS requester_oid,
	r.risk,
	r.duration,
	r.until,
	jit.token(r.origin, r.id, r.requested_at) AS token
FROM jit.requests_to_see r
	LEFT JOIN jit.reviews v ON v.request_id = r.id AND v.verdict = 'reject'
	LEFT JOIN jit.events e ON e.request_id = r.id AND e.event = r.status_now::text AND e.event IN ('canceled', 'lapsed', 'revoked')
WHERE r.status IN ('rejected', 'canceled', 'lapsed') OR r.status_now = 'lapsed'
	OR r.status = 'revoked' AND r.activated_at IS NULL
ORDER BY r.id;
COMMENT ON VIEW jit.refused IS
	'requests that were rejected, canceled, revoked before their start, or lapsed: yours, those of roles that you are a member of, and those you decided on; everyone''s for JIT administrators and auditors';
COMMENT ON COLUMN jit.refused.request IS 'number of the request';
COMMENT ON COLUMN jit.refused.status IS 'rejected, canceled, revoked or lapsed';
COMMENT ON COLUMN jit.refused.requester IS 'role that asked, by its name of now; if it was another then, that as well';
COMMENT ON COLUMN jit.refused.grantee IS 'role that did not get the access, by its name of now; if it was another then, that as well';
COMMENT ON COLUMN jit.refused.access IS 'what was asked for, one object or role a line, by the names of then';
COMMENT ON COLUMN jit.refused.reason IS 'reason';
COMMENT ON COLUMN jit.refused.ticket IS 'ticket, or null';
COMMENT ON COLUMN jit.refused.decided_by IS 'role that rejected, canceled or revoked it; null if it lapsed';
COMMENT ON COLUMN jit.refused.comment IS 'what they said, or why it lapsed before its time';
COMMENT ON COLUMN jit.refused.asked_at IS 'when it was filed';
COMMENT ON COLUMN jit.refused.via IS 'identity that a gateway asked for; null: they asked themselves';
COMMENT ON COLUMN jit.refused.decided_via IS 'identity that a gateway decided for; null: themselves';
COMMENT ON COLUMN jit.refused.requester_oid IS 'OID of the role that asked; null where that is one of another cluster';
COMMENT ON COLUMN jit.refused.risk IS 'risk by the policies when it was filed';
COMMENT ON COLUMN jit.refused.duration IS 'how long it was asked for; null if until was given';
COMMENT ON COLUMN jit.refused.until IS 'until when it was asked for; null if duration was given';
COMMENT ON COLUMN jit.refused.token IS 'what jit_act_for() takes for this request only';
COMMENT ON COLUMN jit.refused.decided_at IS 'when it was rejected, canceled or revoked, or lapsed';

CREATE VIEW jit.my_access WITH (security_barrier) AS
WITH given AS (
	-- a privilege on an object, or on a column of it, a row
	SELECT i.object_type, i.object, i.classid, i.objid, g.request_id, a.rolvaliduntil AS expires_at, p.privilege, c.attnum
	FROM jit.requests r
		JOIN jit.grants g ON g.request_id = r.id
		JOIN pg_catalog.pg_authid a ON a.rolname = g.role
		JOIN jit.request_items i ON i.request_id = g.request_id
		CROSS JOIN LATERAL (SELECT jit.conveyed(g.role, r.origin, i.object_type, i.object, i.objid, i.attnums, i.privileges)) w (conveyed)
		CROSS JOIN LATERAL unnest(CASE i.object_type WHEN 'role' THEN '{MEMBER}' ELSE i.privileges END) p (privilege)
		CROSS JOIN LATERAL unnest(coalesce(i.attnums, '{0}')) c (attnum)
	WHERE r.status = 'active' AND g.ended_at IS NULL AND a.oid = ANY ((SELECT jit.my_grants())::oid[])
		AND CASE w.conveyed WHEN 'all' THEN true
			WHEN 'some' THEN jit.conveyed(g.role, r.origin, i.object_type, i.object, i.objid,
				nullif(ARRAY[c.attnum], '{0}'), ARRAY[p.privilege]) = 'all' END
), longest AS (
	SELECT DISTINCT ON (classid, objid, object, privilege, attnum) *
	FROM given ORDER BY classid, objid, object, privilege, attnum, expires_at DESC, request_id
), columns AS (
	-- what is given on the whole object as long isn't said of its columns
	SELECT l.object_type, l.object, l.classid, l.objid, l.privilege, l.expires_at, l.request_id,
		array_agg(jit.name_now(0, c.attname, '') ORDER BY l.attnum) FILTER (WHERE l.attnum <> 0) AS columns
	FROM longest l
		LEFT JOIN pg_catalog.pg_attribute c ON c.attrelid = l.objid AND c.attnum = l.attnum
	WHERE l.attnum = 0 OR NOT EXISTS (SELECT FROM longest o WHERE o.classid = l.classid AND o.objid = l.objid
		AND o.privilege = l.privilege AND o.attnum = 0 AND o.expires_at >= l.expires_at)
	GROUP BY l.object_type, l.object, l.classid, l.objid, l.privilege, l.expires_at, l.request_id, l.attnum <> 0
)
SELECT jit.object_now(object_type, object, objid) AS object,
	array_agg(privilege ORDER BY privilege) AS privileges,
	columns,
	date_trunc('second', expires_at) AS expires_at,
	request_id AS request
FROM columns
GROUP BY object_type, object, classid, objid, columns, expires_at, request_id
ORDER BY 1, 5, 2;
COMMENT ON VIEW jit.my_access IS
	'what temporary access granted in this database gives you now: as the role that you are, or as one that you can SET ROLE to; JIT administrators and auditors see their own, too';
COMMENT ON COLUMN jit.my_access.object IS 'object or role, by its name of now, qualified and quoted';
COMMENT ON COLUMN jit.my_access.privileges IS 'privileges; MEMBER for a role';
COMMENT ON COLUMN jit.my_access.columns IS 'columns; null for the whole object';
COMMENT ON COLUMN jit.my_access.expires_at IS 'deadline, the latest of all requests that give it';
COMMENT ON COLUMN jit.my_access.request IS 'number of the request that gives it until then';

CREATE FUNCTION jit.check_health(OUT name text, OUT ok boolean, OUT value numeric, OUT unit text, OUT detail text)
	RETURNS SETOF record AS 'MODULE_PATHNAME', 'jit_check_health' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jit.check_health() IS 'what jit.health shows';

CREATE VIEW jit.health AS
SELECT name, ok, value, unit, detail FROM jit.check_health();
COMMENT ON VIEW jit.health IS
	'how jit_access is doing on this server and in this database, a row for each check; for JIT administrators, auditors and members of pg_monitor';
COMMENT ON COLUMN jit.health.name IS 'name of the check';
COMMENT ON COLUMN jit.health.ok IS 'is all well? by the thresholds in the manual';
COMMENT ON COLUMN jit.health.value IS 'what was measured, in units; null where there is nothing to measure';
COMMENT ON COLUMN jit.health.unit IS 'unit of value, in words';
COMMENT ON COLUMN jit.health.detail IS 'what else there is to say, for people; may be null';

CREATE FUNCTION jit.count_requests(OUT status jit.request_status, OUT requests bigint)
	RETURNS SETOF record AS 'MODULE_PATHNAME', 'jit_count_requests' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION jit.count_requests() IS 'what jit.request_counts shows';

CREATE VIEW jit.request_counts AS
SELECT status, requests FROM jit.count_requests();
COMMENT ON VIEW jit.request_counts IS
	'how many requests of each state there are that have not been archived; for JIT administrators, auditors and members of pg_monitor';
COMMENT ON COLUMN jit.request_counts.status IS 'state, as jit.requests has it';
COMMENT ON COLUMN jit.request_counts.requests IS 'how many';

GRANT USAGE ON SCHEMA jit TO PUBLIC;
GRANT SELECT ON jit.health, jit.request_counts TO PUBLIC;
GRANT SELECT ON jit.inbox, jit.my_requests, jit.pending, jit.scheduled, jit.active_grants, jit.history, jit.refused, jit.my_access TO PUBLIC;
REVOKE EXECUTE ON FUNCTION jit.refuse_change(), jit.watch_request() FROM PUBLIC;

-- ----------------------------------------------------------------------
-- Who may read the tables: auditors, every row; others none.  The owner, as
-- whom the library reads and writes, passes row-level security, as superusers
-- and roles with BYPASSRLS do.
-- ----------------------------------------------------------------------

CREATE FUNCTION jit.is_auditor() RETURNS boolean
	AS 'MODULE_PATHNAME', 'jit_is_auditor_now' LANGUAGE C STABLE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION jit.is_auditor() IS
	'has the caller the privileges of jit_access.auditor_role, for good?';

DO $$
DECLARE
	rel regclass;
BEGIN
	FOR rel IN SELECT oid FROM pg_catalog.pg_class WHERE relnamespace = 'jit'::regnamespace AND relkind = 'r' LOOP
		EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', rel);
		-- once per statement
		EXECUTE format('CREATE POLICY auditors ON %s FOR SELECT USING ((SELECT jit.is_auditor()))', rel);
		EXECUTE format('GRANT SELECT ON %s TO PUBLIC', rel);
	END LOOP;
END $$;

CREATE POLICY whose ON jit.identities FOR SELECT USING
	(role_oid = ANY ((SELECT jit.me())::oid[]) OR (SELECT jit.sees_all())
		-- whom it can act for: not those of what this was copied from
		AND (NOT (SELECT jit.is_gateway()) OR unlinked_at IS NULL
			AND origin = (SELECT jit.cluster() || d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())));

-- ----------------------------------------------------------------------
-- Without the library nothing is enforced: then the extension can't go
--
-- What belongs to an extension is dropped with it, before any event trigger
-- is called.  So while a command runs that may drop it, what looks afterwards
-- doesn't belong to it; nor to its owner, whom DROP OWNED may be about; and it
-- is in pg_catalog, as schema jit would go, too.
--
-- With the library, it is request/ending.c that ends everything first.
-- ----------------------------------------------------------------------

CREATE FUNCTION jit_access_guard() RETURNS event_trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	-- disabled, it can't look afterwards, and has to go with the rest
	member CONSTANT boolean := EXISTS (SELECT FROM pg_event_trigger t JOIN pg_depend d ON d.objid = t.oid
		WHERE t.evtname = 'jit_access_guard_end' AND t.evtenabled <> 'D'
			AND d.classid = 'pg_event_trigger'::regclass AND d.deptype = 'e');
	statements text;
BEGIN
	-- a placeholder, which SET makes of any name, isn't shown
	IF NOT 'NO_SHOW_ALL' = ANY (pg_settings_get_flags('jit_access.admin_role')) THEN
		RETURN;
	END IF;
	IF member AND tg_event = 'ddl_command_start' THEN
		ALTER EXTENSION jit_access DROP EVENT TRIGGER jit_access_guard_end;
		ALTER EXTENSION jit_access DROP FUNCTION jit_access_guard();
	ELSIF NOT member AND tg_event = 'ddl_command_end' AND EXISTS (SELECT FROM pg_extension WHERE extname = 'jit_access') THEN
		ALTER EXTENSION jit_access ADD EVENT TRIGGER jit_access_guard_end;
		ALTER EXTENSION jit_access ADD FUNCTION jit_access_guard();
	END IF;
	-- without its language it couldn't look afterwards, either
	GET DIAGNOSTICS statements = PG_CONTEXT;
	IF concat(current_query(), statements) ~* 'plpgsql.*cascade'
		OR NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'jit_access') THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = 'extension jit_access cannot be dropped while its library is not loaded',
			DETAIL = 'Access that it has granted would go on, and nothing would end it.',
			HINT = 'Add jit_access to shared_preload_libraries in postgresql.conf, restart the server, and drop it then. '
				'If the library is lost, use ALTER EVENT TRIGGER jit_access_guard DISABLE, and drop the roles that "Uninstalling" in the manual names.';
	END IF;
END $$;
REVOKE EXECUTE ON FUNCTION jit_access_guard() FROM PUBLIC;
COMMENT ON FUNCTION jit_access_guard() IS
	'event trigger that keeps the extension from being dropped while its library is not loaded';

CREATE EVENT TRIGGER jit_access_guard ON ddl_command_start
	WHEN TAG IN ('DROP EXTENSION', 'DROP OWNED') EXECUTE FUNCTION jit_access_guard();
COMMENT ON EVENT TRIGGER jit_access_guard IS
	'keeps jit_access from being dropped while its library is not loaded; to drop it all the same, DISABLE this';
CREATE EVENT TRIGGER jit_access_guard_end ON ddl_command_end
	WHEN TAG IN ('DROP EXTENSION', 'DROP OWNED') EXECUTE FUNCTION jit_access_guard();
COMMENT ON EVENT TRIGGER jit_access_guard_end IS 'does what jit_access_guard has begun';
-- session_replication_role = replica passes those that aren't ALWAYS
ALTER EVENT TRIGGER jit_access_guard ENABLE ALWAYS;
ALTER EVENT TRIGGER jit_access_guard_end ENABLE ALWAYS;
DO $$
DECLARE
	what text;
BEGIN
	FOREACH what IN ARRAY ARRAY['FUNCTION jit_access_guard()', 'EVENT TRIGGER jit_access_guard', 'EVENT TRIGGER jit_access_guard_end']
	LOOP
		-- the bootstrap superuser
		EXECUTE format('ALTER %s OWNER TO %I', what, pg_get_userbyid(10));
	END LOOP;
END $$;

-- ----------------------------------------------------------------------
-- What pg_dump takes along
-- ----------------------------------------------------------------------

SELECT pg_catalog.pg_extension_config_dump('jit.request_number', '');
SELECT pg_catalog.pg_extension_config_dump('jit.requests', '');
SELECT pg_catalog.pg_extension_config_dump('jit.request_items', '');
SELECT pg_catalog.pg_extension_config_dump('jit.reviews', '');
SELECT pg_catalog.pg_extension_config_dump('jit.grants', '');
SELECT pg_catalog.pg_extension_config_dump('jit.events', '');
SELECT pg_catalog.pg_extension_config_dump('jit.risk_policies', '');
SELECT pg_catalog.pg_extension_config_dump('jit.approval_flows', '');
SELECT pg_catalog.pg_extension_config_dump('jit.approval_steps', '');
