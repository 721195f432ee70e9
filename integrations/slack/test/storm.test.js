// Slack and the database are down in the middle of 50 requests, and the program
// is killed ten times: at the end the cards are as the ledger, each decision and
// each end was told to the one who asked, and at most ten things twice.
//
// Outages last three seconds (with JIT_STRESS a minute; JIT_SLACK_OUTAGE=n), and
// SEED=n repeats what people do.  Seen to fail without the search for what was
// posted just before.

import test from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { World, until, users, connect } from './world.js';
import { CHANNEL } from './standin.js';

const OUTAGE = Number(process.env.JIT_SLACK_OUTAGE || (process.env.JIT_STRESS ? 60 : 3)) * 1000;
const REQUESTS = 50, KILLS = 10;
const sleep = (/** @type {number} */ ms) => new Promise((done) => setTimeout(done, ms));

let seed = Number(process.env.SEED ?? Date.now() % 1000000);
const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;

test(`outages and kills, SEED=${seed}`, { timeout: 600000 }, async () => {
	const world = new World('slack_storm', { flow: '[{"approver": "hr_owner", "direct": false}]' });
	const { slack } = world;
	let over = false, stopped = false;
	/** @type {Promise<any>[]} */
	const running = [];
	/** Tries until it is done. @param {() => Promise<any>} act */
	const surely = async (act) => {
		for (;;)
			try {
				return await act();
			} catch (e) {
				if (stopped || /^(22|42|55)/.test(/** @type {any} */ (e).code ?? ''))
					return e;
				await sleep(200);
			}
	};
	try {
		await world.create();
		const { rows: [{ data_directory: data }] } = /** @type {any} */ (await world.sql?.query('SHOW data_directory'));
		/** @param {string[]} args */
		const pg_ctl = (...args) => promisify(execFile)('pg_ctl', ['-D', data, '-w', '-s', ...args]);
		await world.run();
		await world.connected();
		await world.link(['anna', 'dev']);
		await world.sql?.end();
		world.sql = undefined;

		// people
		running.push((async () => {
			for (let i = 0; i < REQUESTS && !stopped; i++) {
				await surely(() => world.as('dev', 'SELECT jit_request($1, $2::interval, $3)', [i % 2 ? 'SELECT ON hr.salary' : 'SELECT ON hr.title', `${6000 + i * 100} ms`, `no. ${i}`]));
				await sleep(OUTAGE * 3 / REQUESTS);
			}
		})());
		/** @type {Set<number>} */
		const decided = new Set();
		running.push((async () => {
			while (decided.size < REQUESTS && !stopped) {
				const all = await surely(() => world.as('anna', 'SELECT request FROM jit.inbox ORDER BY 1'));
				for (const { request } of Array.isArray(all) ? all : []) {
					const chance = random();
					if (chance < 0.5) {
						// in Slack, where there is a card and a program
						await slack.click(users.anna, world.card(request), 'approve').catch(() => sleep(100));
						await sleep(50);
						continue;
					} else if (chance < 0.7)
						await surely(() => world.as('anna', 'SELECT jit_approve($1)', [request]));
					else if (chance < 0.85)
						await surely(() => world.as('anna', 'SELECT jit_reject($1, $2)', [request, 'no']));
					else
						await surely(() => world.as('dev', 'SELECT jit_cancel($1)', [request]));
				}
				const done = await surely(() => world.as('postgres', `SELECT id FROM jit.requests WHERE status <> 'pending'`));
				for (const { id } of Array.isArray(done) ? done : [])
					decided.add(id);
				const active = await surely(() => world.as('anna', 'SELECT request FROM jit.active_grants'));
				for (const { request } of Array.isArray(active) ? active : [])
					if (random() < 0.1)
						await surely(() => world.as('anna', 'SELECT jit_revoke($1)', [request]));
				await sleep(100);
			}
		})());
		// what befalls the program
		running.push((async () => {
			for (let i = 0; i < KILLS && !stopped; i++) {
				await sleep(OUTAGE * 4 / KILLS * (0.5 + random()));
				await world.kill();
				if (random() < 0.3)
					slack.loseAnswer.add('chat.postMessage');
				await world.run();
			}
			over = true;
		})());
		await sleep(OUTAGE);
		await slack.down();
		await sleep(OUTAGE / 2);
		await pg_ctl('-m', 'immediate', 'stop');
		await sleep(OUTAGE / 2);
		await slack.start();
		await sleep(OUTAGE / 2);
		await pg_ctl('-l', `${data}/../log`, 'start');
		await Promise.all(running);
		assert.ok(over);

		world.sql = await connect('postgres', world.database);
		const query = async (/** @type {string} */ sql, /** @type {any[]} */ values = []) => /** @type {any} */ (await world.sql?.query(sql, values)).rows;
		await until(async () => (await query(`SELECT count(*)::int AS n FROM jit.requests WHERE status IN ('pending', 'active')`))[0].n === 0, 'all has ended');
		// the marks of what is told: [request, what]
		const shown = (/** @type {any[]} */ messages) => messages.map((m) => {
			const [, request, what] = /^Request ([0-9]+) in \S+ (.*)$/.exec(m.blocks[0].text.text) ?? [];
			return { request: Number(request), what, buttons: JSON.stringify(m.blocks).includes('"approve"') };
		});
		const WORDS = `(VALUES ('expired', 'has expired'), ('revoked', 'was revoked'), ('rejected', 'was rejected'), ('canceled', 'was withdrawn'), ('lapsed', 'has lapsed')) w (status, what)`;
		// the ledger beside the cards: what is otherwise in one than in the other
		const different = () => query(`WITH cards AS (SELECT * FROM jsonb_to_recordset($1) c (request integer, what text, buttons boolean))
			SELECT r.id, r.status, c.what FROM jit.requests r JOIN ${WORDS} ON w.status = r.status::text
				FULL JOIN cards c ON c.request = r.id AND c.what = w.what AND NOT c.buttons
			WHERE r.id IS NULL OR c.request IS NULL`, [JSON.stringify(shown(slack.in(CHANNEL)))]);
		const untold = () => query(`WITH told AS (SELECT * FROM jsonb_to_recordset($1) c (request integer, what text))
			SELECT id, r.status FROM jit.requests r JOIN ${WORDS} ON w.status = r.status::text
			WHERE NOT EXISTS (SELECT FROM told WHERE request = id AND told.what = w.what)
				OR activated_at IS NOT NULL AND NOT EXISTS (SELECT FROM told WHERE request = id AND told.what = 'was approved')`, [JSON.stringify(shown(world.to('dev')))]);
		const late = async () => [await different(), await untold()];
		await until(async () => (await late()).every((rows) => rows.length === 0), 'cards are as the ledger', 60).catch(async (e) => {
			console.error(JSON.stringify(await late()));
			throw e;
		});
		const twice = [...shown(world.to('dev')), ...shown(slack.in(CHANNEL)).map((c) => ({ ...c, what: 'card' }))]
			.reduce((/** @type {Map<string, number>} */ n, { request, what }) => n.set(`${request} ${what}`, (n.get(`${request} ${what}`) ?? 0) + 1), new Map());
		const more = [...twice.values()].reduce((n, times) => n + times - 1, 0);
		console.log(`# ${REQUESTS} requests, ${(await query('SELECT status, count(*) FROM jit.requests GROUP BY 1 ORDER BY 1')).map((/** @type {any} */ r) => `${r.count} ${r.status}`).join(', ')}; ` +
			`${slack.messages.size} messages, ${more} more than once; ${slack.limited} calls too many`);
		assert.equal((await query('SELECT count(*)::int AS n FROM jit.requests'))[0].n, REQUESTS);
		assert.ok(more <= 10);
	} catch (e) {
		console.error(world.log.join('').slice(-4000));
		throw e;
	} finally {
		stopped = true;
		await Promise.allSettled(running);
		await world.end();
	}
});
