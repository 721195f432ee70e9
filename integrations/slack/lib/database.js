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
//	the database can't say it of one	that one is put back, the others go on
//	a status or event is new to it		it is shown as it is called

import { createHash } from 'node:crypto';
import pg from 'pg';
import { Refused, sleep } from './slack.js';
import { isOver, wanted } from './cards.js';

const TABLES = `
	CREATE TABLE IF NOT EXISTS mark (one boolean PRIMARY KEY DEFAULT true CHECK (one), mark text, at timestamptz);
	CREATE TABLE IF NOT EXISTS todo (
		request integer PRIMARY KEY,
		events text[] NOT NULL DEFAULT '{}',
		turn timestamptz NOT NULL DEFAULT clock_timestamp()
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
		-- of cards: may the request still change, and when was that looked at
		open boolean,
		looked_at timestamptz NOT NULL DEFAULT now(),
		PRIMARY KEY (request, kind, recipient)
	);
	CREATE INDEX IF NOT EXISTS message_open ON message (looked_at) WHERE open;`;
const AT_ONCE = 8;
// of what is open, so many are looked at again at a time, those first that were longest ago
const LOOKS = 200;
const NEWS = 3 * 24 * 60 * 60 * 1000;
// what the card tells
const ON_CARD = ['requested', 'approved', 'scheduled', 'activated', 'rejected', 'canceled', 'lapsed', 'expired', 'revoked',
	'prolonged', 'shortened', 'reviewed', 'archived'];

/** @typedef {import('./cards.js').Wanted} Wanted @typedef {import('./cards.js').Request} Request */
/** @typedef {{role: string, oid: string, user: string}[]} People */

/** Does the database itself say no, to this call? @param {any} e */
export const isAnswer = (e) => Boolean(e.severity) && /^(?!08|57)[0-9A-Z]{5}$/.test(e.code ?? '');

/** A message of the database's, whole. @param {any} e */
export const sentences = (e) => [e.message, e.detail, e.hint && `Hint: ${e.hint}`].filter(Boolean).join('\n');

export class Database {
	/** @param {string} name @param {string} url @param {import('./slack.js').Slack} slack */
	constructor(name, url, slack) {
		this.name = name;
		this.slack = slack;
		/** @type {pg.ClientConfig} */
		this.options = { connectionString: url, application_name: 'jit-access-slack', connectionTimeoutMillis: 10000,
			keepAlive: true, options: '-c search_path="$user" -c statement_timeout=60s' };
		this.pool = new pg.Pool({ ...this.options, max: 6 });
		// of a lost connection who uses it learns; unheard, it would end the program
		this.pool.on('error', () => {}).on('connect', (client) => { client.on('error', () => {}); });
	}

	/** @param {string} sql @param {any[]} [values] @returns {Promise<any[]>} */
	async query(sql, values) { return (await this.pool.query(sql, values)).rows; }

	/** Runs until the process ends. */
	async run() {
		for (let wait = 1; ; wait = Math.min(wait * 2, 30)) {
			const client = new pg.Client(this.options);
			const lost = new Promise((_, fail) => {
				client.on('error', fail);
				client.on('end', () => fail(new Error('the connection has ended')));
			});
			lost.catch(() => {});
			try {
				await client.connect();
				await client.query(TABLES);
				await client.query('LISTEN jit_access');
				for (let check = 0; ;) {
					const notified = new Promise((done) => { client.once('notification', done); });
					await this.read(client);
					if (Date.now() >= check) {
						await this.check();
						check = Date.now() + this.slack.config.checkEvery;
					}
					const busy = await this.work();
					wait = 1;
					if (!busy)
						await Promise.race([notified, lost, sleep(Math.max(100, Math.min(check - Date.now(), 60000)))]);
					client.removeAllListeners('notification');
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
			/** @type {any[]} */
			let events = [];
			let anew = !state;
			try {
				events = anew ? [] : await this.events(client, state.mark, 500);
			} catch (e) {
				if (/** @type {any} */ (e).code !== '55000' || !state)
					throw e;
				console.error(`${this.name}: ${/** @type {Error} */ (e).message}`);
				anew = true;
			}
			if (events.length === 0 && !anew)
				return;
			let { mark, at } = anew ? { mark: null, at: null } : events[events.length - 1];
			if (anew) {
				// what is open is looked at, and what happened since; what had ended before is nobody's news
				const since = state?.at ?? new Date();
				for (let page; (page = await this.events(client, mark, 5000)).length > 0; { mark, at } = page[page.length - 1])
					events.push(...page.filter((e) => e.at >= since));
			}
			await client.query('BEGIN');
			await client.query(`INSERT INTO todo (request, events)
				SELECT r, coalesce(array_agg(DISTINCT e) FILTER (WHERE e <> ALL ($3)), '{}')
				FROM unnest($1::integer[], $2::text[]) u (r, e) WHERE r IS NOT NULL GROUP BY r ORDER BY r
				ON CONFLICT (request) DO UPDATE SET events = todo.events || excluded.events`,
			[events.map((e) => e.request), events.map((e) => e.event), ON_CARD]);
			// what is gone is forgotten here as well
			if (anew || events.some((e) => e.event === 'archived'))
				await client.query(`INSERT INTO todo (request) SELECT request FROM message UNION SELECT request FROM jit.pending
					UNION SELECT request FROM jit.scheduled
					UNION SELECT request FROM jit.history WHERE status NOT IN ('expired', 'revoked') ON CONFLICT DO NOTHING`);
			await client.query(`INSERT INTO mark (mark, at) VALUES ($1, $2)
				ON CONFLICT (one) DO UPDATE SET mark = excluded.mark, at = excluded.at`, [mark, at]);
			await client.query('COMMIT');
		}
	}

	/** @param {pg.Client} client @param {string | null} mark @param {number} n @returns {Promise<any[]>} */
	async events(client, mark, n) {
		return (await client.query('SELECT mark, at, event, request FROM jit_events_after($1, $2)', [mark, n])).rows;
	}

	/** What no event tells of: who could decide, and that nobody did. */
	async check() {
		await this.query(`WITH looked AS (UPDATE message SET looked_at = now() WHERE open AND (request, kind, recipient) IN
				(SELECT request, kind, recipient FROM message WHERE open ORDER BY looked_at LIMIT ${LOOKS}) RETURNING request)
			INSERT INTO todo (request) SELECT request FROM looked ON CONFLICT DO NOTHING`);
	}

	/** Looks at some of what there is to look at; was there any? */
	async work() {
		const rows = await this.query(
			`SELECT request, events FROM todo WHERE turn <= now() ORDER BY turn LIMIT ${AT_ONCE}`);
		const people = rows.length > 0 ? await this.people() : [];
		const results = await Promise.allSettled(rows.map(({ request, events }) => this.show(request, events, people).then(
			() => this.query('DELETE FROM todo WHERE request = $1 AND events = $2', [request, events]),
			(e) => {
				if (!isAnswer(e))
					throw e;
				console.error(`${this.name}: request ${request}: ${sentences(e)}`);
				return this.query(`UPDATE todo SET turn = now() + interval '1 min' WHERE request = $1`, [request]);
			})));
		for (const result of results)
			if (result.status === 'rejected')
				throw result.reason;
		return rows.length > 0;
	}

	/** @param {number} request @param {string[]} events @param {People} people */
	async show(request, events, people) {
		const r = await this.look(request);
		const rows = await this.query('SELECT * FROM message WHERE request = $1', [request]);
		// what ended long ago is nobody's news, whoever has linked an account since
		const ended = r?.ended_at ?? r?.decided_at;
		const old = Boolean(ended) && Date.now() - new Date(ended).getTime() > NEWS;
		if (r ? old && rows.length === 0 : !rows.some((row) => row.open)) {
			await this.query('DELETE FROM message WHERE request = $1', [request]);
			return;
		}
		const { channel, remindAfter } = this.slack.config;
		/** @type {(some: (who: People[0]) => boolean) => string[]} */
		const users = (some) => people.filter(some).map(({ user }) => user);
		const via = users(({ user }) => r?.via === this.slack.identity({ team_id: this.slack.team, user_id: user }));
		for (const want of wanted(this.name, r ?? { status: 'gone', request }, {
			channel,
			linked: users(() => true),
			deciders: r?.waiting_for_more === 0 ? users(({ role }) => r.waiting_for.includes(role)) : [],
			askers: old ? [] : via.length > 0 ? via : users(({ oid }) => oid === r?.requester_oid),
			asked: rows.filter(({ kind }) => kind === 'ask').map(({ recipient }) => recipient),
			events,
			remind: remindAfter > 0 && Date.now() - new Date(r?.asked_at).getTime() > remindAfter,
		}))
			await this.deliver(request, want,
				rows.find(({ kind, recipient }) => kind === want.kind && recipient === want.to));
	}

	/** What the database says of a request now. @param {number} request @returns {Promise<Request | null>} */
	async look(request) {
		// once more, as one that is decided on meanwhile may be in none of them
		for (let i = 0; i < 2; i++) {
			// with a name, as to plan it takes 30 times as long as to run it
			const { rows: [row] } = await this.pool.query({ name: 'look', values: [request],
				text: `SELECT 'pending' AS status, to_jsonb(p) AS r FROM jit.pending p WHERE request = $1 AND kind = 'decision'
					UNION ALL SELECT 'scheduled', to_jsonb(s) FROM jit.scheduled s WHERE request = $1
					UNION ALL SELECT status::text, to_jsonb(h) FROM jit.history h WHERE request = $1
					UNION ALL SELECT status::text, to_jsonb(f) FROM jit.refused f WHERE request = $1` });
			if (row)
				return { ...row.r, status: row.status };
			await sleep(100);
		}
		return null;
	}

	/** Who is linked now. @returns {Promise<People>} */
	async people() {
		return this.query(`SELECT r.rolname AS role, r.oid::text, substr(i.identity, length($1) + 1) AS user
			FROM jit.identities i JOIN pg_roles r ON r.oid = i.role_oid
			WHERE i.unlinked_at IS NULL AND starts_with(i.identity, $1) AND i.gateway = current_user
			ORDER BY i.linked_at`, [`slack:${this.slack.team}/`]);
	}

	/** @param {number} request @param {Wanted} want @param {any} row what is there of it */
	async deliver(request, want, row) {
		const content = { text: want.text, blocks: want.blocks };
		const digest = createHash('md5').update(JSON.stringify(content)).digest('hex');
		const open = want.kind === 'card' && !isOver(want.shows);
		const key = [request, want.kind, want.to];
		const where = 'WHERE request = $1 AND kind = $2 AND recipient = $3';
		if (row && (row.ts && want.once || row.ts === '-' || row.digest === digest))
			return;
		try {
			const channel = row?.channel ??
				(want.to === this.slack.config.channel ? want.to : await this.slack.conversation(want.to));
			let ts = row?.ts ?? (row && await this.slack.find(channel, row.nonce, row.begun_at.getTime()));
			row ??= (await this.query('INSERT INTO message (request, kind, recipient) VALUES ($1, $2, $3) RETURNING *', key))[0];
			if (!ts)
				ts = await this.slack.post(channel, row.nonce, content);
			else if (!want.once)
				await this.slack.call('chat.update', { channel, ts, ...content });
			await this.query(`UPDATE message SET channel = $4, ts = $5, digest = $6, open = $7 ${where}`,
				[...key, channel, ts, digest, open]);
		} catch (e) {
			if (!(e instanceof Refused))
				throw e;
			// such as a person who has left: nothing will change that
			console.error(`${this.name}: request ${request}, ${want.kind} to ${want.to}: ${e.message}`);
			await this.query(`INSERT INTO message (request, kind, recipient, ts, digest, open) VALUES ($1, $2, $3, '-', $4, $5)
				ON CONFLICT (request, kind, recipient) DO UPDATE SET digest = $4, open = $5, ts = coalesce(message.ts, '-')`,
			[...key, digest, open]);
		}
	}

	/**
	 * Runs one call for a person, in a transaction of its own.  token: of the
	 * request that it is about.
	 * @param {string} identity @param {string | null} token @param {string} sql @param {any[]} values
	 * @returns {Promise<{rows: any[], said: string}>} said: what the database said to this call, and no other
	 */
	async actFor(identity, token, sql, values) {
		const client = await this.pool.connect();
		/** @type {string[]} */
		const said = [];
		const listen = (/** @type {any} */ notice) => said.push(sentences(notice));
		let done = false;
		try {
			await client.query('BEGIN');
			await client.query('SELECT jit_act_for($1, $2)', [identity, token]).catch((e) => {
				// what it hints at is for whoever writes programs such as this
				const hint = e.code === '42704' ? `/jit link ${this.name} shows how to link it.`
					: e.code === '55000' ? '/jit status shows what there is now.' : e.hint;
				throw Object.assign(e, { hint });
			});
			client.on('notice', listen);
			const { rows } = await client.query(sql, values);
			await client.query('COMMIT');
			done = true;
			return { rows, said: said.join('\n') || 'Done.' };
		} finally {
			client.off('notice', listen);
			// one that may still act for somebody isn't used again
			client.release(!done);
		}
	}
}
