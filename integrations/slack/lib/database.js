// One database: reads its feed, and sees to it that Slack shows what it says.
//
// Its tables are in the schema of the login's name:
//	mark		how far the feed was read
//	todo		requests to look at, written in the transaction that moves the mark
//	message		what is in Slack: for a request, of a kind, to the channel or a person
//
// What is in Slack is compared with what should be (cards.js) whenever a request
// has an event, and what differs is posted or updated.  So it doesn't matter
// how often, in which order or how late that happens.
//
//	dies before the mark is moved		it reads the same events again
//	dies before todo is done			it looks at the same requests again
//	dies between post and its row		the row was there before, with a nonce, which
//										is in the message's metadata: it is looked for
//	the answer of Slack is lost			the same
//	the mark is refused (restored)		it begins anew; what has its message has it

import { createHash } from 'node:crypto';
import pg from 'pg';
import { Refused } from './slack.js';
import { wanted } from './cards.js';

const TABLES = `
	CREATE TABLE IF NOT EXISTS mark (one boolean PRIMARY KEY DEFAULT true CHECK (one), mark text, at timestamptz);
	CREATE TABLE IF NOT EXISTS todo (
		request integer PRIMARY KEY,
		version bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
		turn timestamptz NOT NULL DEFAULT clock_timestamp(),
		expiring boolean NOT NULL,
		not_before timestamptz NOT NULL DEFAULT now()
	);
	CREATE TABLE IF NOT EXISTS message (
		request integer,
		kind text,
		recipient text,
		nonce uuid NOT NULL DEFAULT gen_random_uuid(),
		begun_at timestamptz NOT NULL DEFAULT now(),
		channel text,
		ts text,
		digest text,
		shows text,
		PRIMARY KEY (request, kind, recipient)
	);
	CREATE INDEX IF NOT EXISTS message_open ON message (begun_at) WHERE kind = 'card' AND shows IN ('pending', 'active');`;
const AT_ONCE = 8;
const NEWS = 3 * 24 * 60 * 60 * 1000;
const OPEN = `kind = 'card' AND shows IN ('pending', 'active')`;
const SUPERSEDE = 'ON CONFLICT (request) DO UPDATE SET version = DEFAULT, expiring = todo.expiring OR excluded.expiring, not_before = now()';

const sleep = (/** @type {number} */ ms) => new Promise((done) => setTimeout(done, ms));

/** @typedef {import('./cards.js').Wanted} Wanted @typedef {import('./cards.js').Request} Request */

export class Database {
	/** @param {string} name @param {string} url @param {import('./slack.js').Slack} slack */
	constructor(name, url, slack) {
		this.name = name;
		this.slack = slack;
		/** @type {pg.ClientConfig} */
		this.options = { connectionString: url, application_name: 'jit-access-slack', connectionTimeoutMillis: 10000,
			keepAlive: true, options: '-c search_path="$user" -c statement_timeout=60s' };
		this.pool = new pg.Pool({ ...this.options, max: 6 });
		this.pool.on('error', () => {});	// of idle ones; whoever needs one learns of it
		this.wake = () => {};
	}

	/** @param {string} sql @param {any[]} [values] @returns {Promise<any[]>} */
	async query(sql, values) { return (await this.pool.query(sql, values)).rows; }

	/** Runs until the process ends. */
	async run() {
		let working;
		for (let wait = 1; ; wait = Math.min(wait * 2, 30)) {
			const client = new pg.Client(this.options);
			try {
				const lost = new Promise((_, fail) => {
					client.on('error', fail);
					client.on('end', () => fail(new Error('the connection has ended')));
				});
				lost.catch(() => {});
				await client.connect();
				await client.query(TABLES);
				working ??= this.work();
				await client.query('LISTEN jit_access');
				let notified = () => {};
				client.on('notification', () => notified());
				for (let check = 0; ; ) {
					const next = new Promise((done) => { notified = () => done(null); });
					await this.read(client);
					if (Date.now() >= check) {
						await this.check(client);
						check = Date.now() + this.slack.config.checkEvery;
					}
					wait = 1;
					await Promise.race([next, lost, sleep(Math.max(100, Math.min(check - Date.now(), 60000)))]);
				}
			} catch (e) {
				console.error(`${this.name}: ${/** @type {Error} */ (e).message}`);
				client.end().catch(() => {});
				await sleep(wait * this.slack.second);
			}
		}
	}

	/** Notes the requests that have new events. @param {pg.Client} client */
	async read(client) {
		for (;;) {
			const { rows: [state] } = await client.query('SELECT mark, at FROM mark');
			let rows;
			try {
				({ rows } = await client.query('SELECT mark, at, event, request FROM jit_events_after($1, 500)', [state?.mark ?? null]));
			} catch (e) {
				if (/** @type {any} */ (e).code !== '55000' || !state?.mark)
					throw e;
				console.error(`${this.name}: ${/** @type {Error} */ (e).message}`);
				await this.beginAnew(client, state.at);
				continue;
			}
			if (!state) {
				await this.beginAnew(client, null);
				continue;
			}
			if (rows.length === 0)
				return;
			await client.query('BEGIN');
			await client.query(`INSERT INTO todo (request, expiring) SELECT r, bool_or(e) FROM unnest($1::integer[], $2::boolean[]) u (r, e)
				WHERE r IS NOT NULL GROUP BY r ORDER BY r ${SUPERSEDE}`, [rows.map((e) => e.request), rows.map((e) => e.event === 'expiring')]);
			// what is gone is forgotten here as well
			if (rows.some((e) => e.event === 'archived'))
				await client.query('INSERT INTO todo (request, expiring) SELECT DISTINCT request, false FROM message ON CONFLICT DO NOTHING');
			await client.query('UPDATE mark SET mark = $1, at = $2', [rows.at(-1).mark, rows.at(-1).at]);
			await client.query('COMMIT');
			this.wake();
		}
	}

	/**
	 * Goes to the end of the feed.  What is open is looked at, and what happened
	 * since a time; what had ended before is nobody's news.
	 * @param {pg.Client} client @param {Date | null} since
	 */
	async beginAnew(client, since) {
		/** @type {Set<number>} */
		const requests = new Set();
		let last = null, at = null;
		for (;;) {
			/** @type {any[]} */
			const events = (await client.query('SELECT mark, at, request FROM jit_events_after($1, 5000)', [last])).rows;
			if (events.length === 0)
				break;
			({ mark: last, at } = events.at(-1));
			if (since)
				events.filter((e) => e.request !== null && e.at >= since).forEach((e) => requests.add(e.request));
		}
		await client.query('BEGIN');
		await client.query(`INSERT INTO todo (request, expiring) SELECT r, false FROM (SELECT unnest($1::integer[]) UNION SELECT request FROM jit.pending
			UNION SELECT request FROM jit.history WHERE status = 'active' UNION SELECT request FROM message) u (r) ${SUPERSEDE}`, [[...requests]]);
		await client.query('INSERT INTO mark (mark, at) VALUES ($1, $2) ON CONFLICT (one) DO UPDATE SET mark = $1, at = $2', [last, at]);
		await client.query('COMMIT');
		this.wake();
	}

	/** What no event tells of: who could decide, and that nobody did. @param {pg.Client} client */
	async check(client) {
		await client.query(`INSERT INTO todo (request, expiring) SELECT request, false FROM message WHERE ${OPEN} ON CONFLICT DO NOTHING`);
		this.wake();
	}

	async work() {
		for (let wait = 1; ; ) {
			const woken = new Promise((done) => { this.wake = () => done(null); });
			try {
				const rows = await this.query('SELECT request, version, expiring FROM todo WHERE not_before <= now() ORDER BY turn LIMIT $1', [AT_ONCE]);
				const results = await Promise.allSettled(rows.map((row) => this.show(row)));
				const failed = /** @type {PromiseRejectedResult | undefined} */ (results.find(({ status }) => status === 'rejected'));
				if (failed)
					throw failed.reason;
				wait = 1;
				if (rows.length === 0)
					await Promise.race([woken, sleep(10000)]);
			} catch (e) {
				console.error(`${this.name}: ${/** @type {Error} */ (e).message}`);
				await sleep(wait * this.slack.second);
				wait = Math.min(wait * 2, 30);
			}
		}
	}

	/** @param {{request: number, version: string, expiring: boolean}} todo */
	async show({ request, version, expiring }) {
		const r = await this.look(request);
		const rows = await this.query('SELECT * FROM message WHERE request = $1', [request]);
		// what ended long ago is nobody's news, whoever has linked an account since
		const ended = r?.ended_at ?? r?.decided_at;
		const old = Boolean(ended) && Date.now() - new Date(ended).getTime() > NEWS;
		if (r ? !old || rows.length > 0 : rows.some((row) => row.kind === 'card' && ['pending', 'active'].includes(row.shows))) {
			const { channel, remindAfter } = this.slack.config;
			const people = await this.people();
			for (const want of wanted(this.name, r ?? { status: 'gone', request }, {
				channel,
				linked: [...people.values()].flat(),
				deciders: (r?.waiting_for_more ? [] : r?.waiting_for ?? []).flatMap((/** @type {string} */ role) => people.get(role) ?? []),
				askers: old ? [] : this.askers(r, people),
				asked: rows.filter(({ kind }) => kind === 'ask').map(({ recipient }) => recipient),
				expiring,
				remind: remindAfter > 0 && r?.asked_at && Date.now() - new Date(r.asked_at).getTime() > remindAfter,
			}))
				await this.deliver(request, want, rows.find(({ kind, recipient }) => kind === want.kind && recipient === want.to));
		} else
			await this.query('DELETE FROM message WHERE request = $1', [request]);
		await this.query('DELETE FROM todo WHERE request = $1 AND version = $2', [request, version]);
	}

	/** What the database says of a request now. @param {number} request @returns {Promise<Request | null>} */
	async look(request) {
		// once more, as one that is decided on meanwhile may be in none of them
		for (let i = 0; i < 2; i++) {
			const [row] = await this.query(`SELECT 'pending' AS status, to_jsonb(p) AS r FROM jit.pending p WHERE request = $1 AND kind = 'decision'
				UNION ALL SELECT status::text, to_jsonb(h) FROM jit.history h WHERE request = $1
				UNION ALL SELECT status::text, to_jsonb(f) FROM jit.refused f WHERE request = $1`, [request]);
			if (row)
				return { ...row.r, status: row.status };
			await sleep(100);
		}
		return null;
	}

	/** Slack's users by role, as they are linked now. @returns {Promise<Map<string, string[]>>} */
	async people() {
		const prefix = `slack:${this.slack.team}/`;
		/** @type {Map<string, string[]>} */
		const people = new Map();
		for (const { role, identity } of await this.query(`SELECT r.rolname AS role, i.identity FROM jit.identities i JOIN pg_roles r ON r.oid = i.role_oid
				WHERE i.unlinked_at IS NULL AND starts_with(i.identity, $1) AND i.gateway = current_user
					AND i.origin LIKE '%/' || (SELECT oid FROM pg_database WHERE datname = current_database())`, [prefix]))
			people.set(role, [...people.get(role) ?? [], identity.slice(prefix.length)]);
		return people;
	}

	/** Who is told of what became of it. @param {Request | null} r @param {Map<string, string[]>} people */
	askers(r, people) {
		if (!r)
			return [];
		const via = r.via && [...people.values()].flat().find((user) => r.via === `slack:${this.slack.team}/${user}`);
		return via ? [via] : people.get(r.requester) ?? [];
	}

	/** @param {number} request @param {Wanted} want @param {any} row what is there of it */
	async deliver(request, want, row) {
		const content = { text: want.text, blocks: want.blocks };
		const digest = createHash('md5').update(JSON.stringify(content)).digest('hex');
		const key = [request, want.kind, want.to];
		const where = 'WHERE request = $1 AND kind = $2 AND recipient = $3';
		if (row && (row.ts && want.once || row.ts === '-' || row.digest === digest))
			return;
		try {
			const channel = want.to === this.slack.config.channel ? want.to : row?.channel ?? await this.slack.conversation(want.to);
			let ts = row?.ts;
			if (row && !ts && (ts = await this.slack.find(channel, row.nonce, row.begun_at.getTime())))
				await this.query(`UPDATE message SET channel = $4, ts = $5, shows = $6 ${where}`, [...key, channel, ts, want.shows]);
			if (!row)
				[row] = await this.query('INSERT INTO message (request, kind, recipient) VALUES ($1, $2, $3) RETURNING *', key);
			if (!ts)
				ts = await this.slack.post(channel, row.nonce, content);
			else if (!want.once)
				await this.slack.call('chat.update', { channel, ts, ...content });
			await this.query(`UPDATE message SET channel = $4, ts = $5, digest = $6, shows = $7 ${where}`, [...key, channel, ts, digest, want.shows]);
		} catch (e) {
			if (!(e instanceof Refused))
				throw e;
			// such as a person who has left: nothing will change that
			console.error(`${this.name}: request ${request}, ${want.kind} to ${want.to}: ${e.message}`);
			await this.query(`INSERT INTO message (request, kind, recipient, ts, digest, shows) VALUES ($1, $2, $3, '-', $4, $5)
				ON CONFLICT (request, kind, recipient) DO UPDATE SET digest = $4, shows = $5, ts = coalesce(message.ts, '-')`, [...key, digest, want.shows]);
		}
	}

	/**
	 * Runs one call for a person, in a transaction of its own, and returns what
	 * the database says to it.  token: of the request that it is about.
	 * @param {string} identity @param {string | null} token @param {string} sql @param {any[]} values
	 * @returns {Promise<{rows: any[], notices: string[]}>}
	 */
	async actFor(identity, token, sql, values) {
		const client = await this.pool.connect();
		/** @type {string[]} */
		const notices = [];
		// the DETAIL of a NOTICE is of the transaction, which is over when this is read
		const listen = (/** @type {any} */ n) => notices.push(n.severity === 'NOTICE' ? n.message : sentences(n));
		client.on('notice', listen);
		let done = false;
		try {
			await client.query('BEGIN');
			await client.query('SELECT jit_act_for($1, $2)', [identity, token]).catch((e) => {
				throw e.code === '42704' ? Object.assign(e, { hint: `/jit link ${this.name} shows how to link it.` }) : e;
			});
			const { rows } = await client.query(sql, values);
			await client.query('COMMIT');
			done = true;
			return { rows, notices };
		} finally {
			client.off('notice', listen);
			// one that may still act for somebody isn't used again
			client.release(!done);
		}
	}
}

/** A message of the database's, whole. @param {any} e */
export const sentences = (e) => [e.message, e.detail, e.hint && `Hint: ${e.hint}`].filter(Boolean).join('\n');
