// Where databases are: two of them in one process, one that is down while
// somebody clicks, one that was restored and has lost what cards are of.  And
// what this program doesn't know yet: another status, another event.
//
// Seen to fail without the request's token in a call, with an error of one
// request that stops the others, with who asked known by name, without a hint
// for people in place of the one for programmers, with connections whose errors
// nobody hears, with all of what is open looked at, and with NOTICEs of an
// earlier call.

import test from 'node:test';
import assert from 'node:assert/strict';
import { isOver, wanted } from '../lib/cards.js';
import { Database } from '../lib/database.js';
import { World, Way, buttons, connect, until, users } from './world.js';
import { CHANNEL } from './standin.js';

const flow = '[{"approver": "hr_owner", "direct": false}]';
const text = (/** @type {any} */ message) => JSON.stringify(message?.blocks);

test('databases', { timeout: 120000 }, async (t) => {
	const world = new World('slack_here', { flow });
	const { slack } = world;
	const other = new World('slack_there', { flow, slack });
	const here = new Way(), there = new Way();
	const sql = async (/** @type {string} */ query) => /** @type {any} */ (await world.sql?.query(query)).rows;
	/** @param {string} database @param {number} request */
	const card = (database, request) => slack.in(CHANNEL).reverse()
		.find((m) => m.blocks[0].text.text.startsWith(`Request ${request} in ${database} `));
	const ask = (/** @type {World} */ where, what = 'SELECT ON hr.salary') => where.as('dev', 'SELECT jit_request($1, $2, $3)', [what, '1 hour', where.database]);
	const link = async (/** @type {string} */ name, /** @type {string} */ database) => {
		slack.ephemeral.length = 0;
		await slack.command(users[name], `link ${database}`);
		const [, code] = /jit_link_identity\('([^']+)'\)/.exec(await until(() => world.shownTo(name).at(-1), 'a code is shown')) ?? [];
		const client = await connect(name, database);
		await client.query('SELECT jit_link_identity($1)', [code]);
		await client.end();
		slack.ephemeral.length = 0;
	};
	try {
		await world.create();
		await other.create();
		await here.up();
		await there.up();
		world.settings = { JIT_CHECK_EVERY: '0.01', JIT_DATABASES: `slack_here=postgres://slack_bot@127.0.0.1:${here.port}/slack_here ` +
			`slack_there=postgres://slack_bot@127.0.0.1:${there.port}/slack_there` };
		await world.run();
		await world.connected();

		await t.test('each has its own people and cards', async () => {
			for (const name of ['anna', 'dev'])
				for (const database of ['slack_here', 'slack_there'])
					await link(name, database);
			await Promise.all([ask(world), ask(other)]);
			const cards = await until(() => card('slack_here', 1) && card('slack_there', 1) && [card('slack_here', 1), card('slack_there', 1)], 'two cards');
			await slack.click(users.anna, cards[1], 'approve');
			await until(() => /is active/.test(text(card('slack_there', 1))) && /Request 1 in slack_there was approved/.test(text(world.to('dev')[0])), 'it is told');
			assert.match(text(card('slack_here', 1)), /waits for approval/);
			await slack.command(users.dev, 'status');
			assert.match(JSON.stringify(await until(() => slack.ephemeral.find((e) => e.user === 'UDEV' && e.blocks.length > 3), 'the status')),
				/slack_here.*Request 1 waits for anna.*slack_there.*Request 1 is active/);
			await slack.command(users.dev, 'revoke slack_there 1 done');
			await until(() => /was revoked/.test(text(card('slack_there', 1))), 'it has ended');
			await slack.command(users.dev, 'link slack_nowhere');
			await until(() => world.shownTo('dev').some((s) => /There is no database slack_nowhere here, but slack_here, slack_there/.test(s)), 'an answer');
		});

		await t.test('one is down during a click: that is said, and nothing is lost', async () => {
			await here.down();
			slack.ephemeral.length = 0;
			await slack.click(users.anna, card('slack_here', 1), 'approve');
			assert.match(await until(() => world.shownTo('anna').at(-1), 'an answer'), /cannot be reached now/);
			await slack.click(users.anna, card('slack_here', 1), 'reject');
			await until(() => slack.views.get('UANNA'), 'the dialog opens');
			const answer = await slack.submit('UANNA', { comment: 'no' });
			assert.equal(answer.response_action, 'push');
			assert.match(text(answer.view), /cannot be reached now/);
			await slack.command(users.dev, 'status');
			await until(() => slack.ephemeral.some((e) => e.user === 'UDEV' && /cannot be reached.*Nothing is pending/.test(JSON.stringify(e))), 'of each what there is');
			// the other one goes on
			await ask(other);
			await until(() => card('slack_there', 2), 'the card');
			await here.up();
			assert.equal((await sql('SELECT status FROM jit.requests'))[0].status, 'pending');
			await slack.click(users.anna, card('slack_here', 1), 'approve');
			await until(() => /is active/.test(text(card('slack_here', 1))) && world.to('dev').some((m) => /Request 1 in slack_here was approved/.test(text(m))), 'it is told');
		});

		await t.test('who asked is told under any name', async () => {
			await sql('ALTER ROLE dev RENAME TO "De V"');
			try {
				await slack.command(users.dev, 'revoke slack_here 1 done');
				await until(() => world.to('dev').some((m) => /Request 1 in slack_here was revoked/.test(text(m))), 'the end of what was asked in psql');
			} finally {
				await sql('ALTER ROLE "De V" RENAME TO dev');
			}
		});

		await t.test('an answer is of the call that it belongs to', async () => {
			slack.ephemeral.length = 0;
			await Promise.all(Array.from({ length: 6 }, () => slack.command(users.dev, 'revoke slack_here 1')));
			await ask(world);
			await slack.click(users.anna, await until(() => card('slack_here', 2), 'the card'), 'approve');
			const said = await until(() => world.shownTo('anna').at(-1), 'an answer');
			assert.match(said, /^dev has SELECT ON hr\.salary in slack_here until [^\n]*SELECT jit_revoke\(2\);$/);
			await until(() => world.shownTo('dev').length === 6, 'six answers');
			for (const answer of world.shownTo('dev'))
				assert.match(answer, /^request 1 .*revoked/);
		});

		await t.test('what the database cannot say of one request stops no other', async () => {
			await sql(`CREATE FUNCTION slack_bot.boom() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'boom'; END $$;
				CREATE TRIGGER boom BEFORE INSERT ON slack_bot.message FOR EACH ROW WHEN (NEW.request = 3) EXECUTE FUNCTION slack_bot.boom()`);
			await ask(world, 'INSERT ON hr.salary');
			await ask(world, 'SELECT ON hr.title');
			await until(() => card('slack_here', 4), 'the card');
			assert.equal(card('slack_here', 3), undefined);
			await until(() => /request 3: boom/.test(world.log.join('')), 'it is logged');
			assert.equal(world.log.join('').match(/request 3: boom/g)?.length, 1);
			await sql('DROP TRIGGER boom ON slack_bot.message');
			// which is put back a minute, at about this moment
			await until(async () => {
				await sql('UPDATE slack_bot.todo SET turn = now()');
				return card('slack_here', 3);
			}, 'the card, later');
		});

		await t.test('an event of another version is shown as it is called', async () => {
			await sql(`INSERT INTO slack_bot.todo (request, events) VALUES (4, '{moved_on,expiring}')
				ON CONFLICT (request) DO UPDATE SET events = excluded.events`);
			const message = await until(() => slack.in(CHANNEL).find((m) => m.text === 'Request 4 has an event: moved on'), 'it is told');
			assert.match(text(message), /SELECT ON hr\.title/);
		});

		await t.test('what starts later is shown from when to when, and ended before', async () => {
			await world.as('dev', `SELECT jit_request('SELECT ON hr.title', '1 hour', 'release', start => now() + interval '1 day')`);
			const [{ id }] = await sql('SELECT max(id) AS id FROM jit.requests');
			await slack.click(users.anna, await until(() => card('slack_here', id), 'the card'), 'approve');
			await until(() => /is approved, to start later.*From .*to /s.test(text(card('slack_here', id))), 'the card says so');
			await until(() => world.to('dev').some((m) => m.text === `Request ${id} is approved, to start later`), 'who asked is told');
			assert.deepEqual(buttons(card('slack_here', id)), []);
			await slack.command(users.dev, `revoke slack_here ${id} not needed`);
			await until(() => /was revoked/.test(text(card('slack_here', id))), 'it is ended');
		});

		await t.test('an emergency is loud', async () => {
			await sql(`SELECT jit_set_flow('moderate', '${flow}', emergency_role => 'dev')`);
			await world.as('dev', `SELECT jit_break_glass('SELECT ON hr.title', '10 minutes', 'nobody is there')`);
			const [{ id }] = await sql('SELECT max(id) AS id FROM jit.requests');
			const loud = await until(() => slack.in(CHANNEL).find((m) => m.text === `Request ${id} is an emergency`), 'the channel is told');
			assert.match(text(loud), /<!channel>.*nobody is there.*jit_review/s);
			assert.match(text(await until(() => card('slack_here', id), 'the card')), /is active.*not reviewed yet/s);
			assert.deepEqual(slack.in(CHANNEL).flatMap((m) => m.blocks[0].text.text.includes(`${id} in slack_here`) ? buttons(m) : []), []);
			await world.as('anna', `SELECT jit_review(${id}, false, 'ask next time')`);
			await until(() => /was revoked.*unjustified/s.test(text(card('slack_here', id))), 'the verdict is shown');
		});

		await t.test('what a restore has lost: its button decides nothing, its card says so', async () => {
			const postgres = await connect('postgres', 'postgres');
			const alone = async (/** @type {string} */ query) => {
				await world.sql?.end();
				await until(() => postgres.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'slack_here'`)
					.then(() => postgres.query(query)).then(() => true, () => false), query);
			};
			await here.down();
			await postgres.query('DROP DATABASE IF EXISTS slack_here_then');
			await alone('CREATE DATABASE slack_here_then TEMPLATE slack_here');
			await here.up();
			await ask(world, 'UPDATE ON hr.salary');
			const lost = await until(() => card('slack_here', 7), 'the card');
			await here.down();
			await alone('DROP DATABASE slack_here');
			await postgres.query('ALTER DATABASE slack_here_then RENAME TO slack_here');
			await postgres.end();
			world.sql = await connect('postgres', world.database);
			await here.up();
			await link('anna', 'slack_here');
			await link('dev', 'slack_here');
			await ask(world, 'DELETE ON hr.salary');
			const card5 = await until(() => slack.in(CHANNEL).find((m) => /DELETE ON hr.salary/.test(text(m))), 'the card of another request 7');
			assert.notEqual(card5.ts, lost.ts);
			await slack.click(users.anna, lost, 'approve');
			assert.match(await until(() => world.shownTo('anna').at(-1), 'an answer'), /token is of no request.*\/jit status/s);
			assert.equal((await sql('SELECT status FROM jit.requests WHERE id = 7'))[0].status, 'pending');
			// where its own tables have lost less
			await sql(`INSERT INTO slack_bot.message (request, kind, recipient, channel, ts, open) VALUES (99, 'card', '${CHANNEL}', '${CHANNEL}', '${lost.ts}', true)`);
			await until(() => /is not on record any more/.test(text(slack.messages.get(CHANNEL + lost.ts))), 'the card says so');
			assert.deepEqual(buttons(slack.messages.get(CHANNEL + lost.ts)), []);
			await slack.click(users.anna, card5, 'approve');
			await until(() => /is active/.test(text(card('slack_here', 7))), 'the other one works');
			assert.equal(slack.in(CHANNEL).filter((m) => /^Request 4 in slack_here waits/.test(m.blocks[0].text.text)).length, 1);
		});

		await t.test('its login reads no data', async () => {
			const bot = await connect('slack_bot', 'slack_here');
			const { rows } = await bot.query(`SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
				WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'jit', 'slack_bot')
					AND n.nspname !~ '^pg_toast' AND (has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE') OR has_any_column_privilege(c.oid, 'SELECT'))`);
			assert.deepEqual(rows, []);
			for (const query of ['TABLE hr.salary', 'SELECT jit_grant($$SELECT ON hr.salary$$, $$slack_bot$$, $$1 h$$, $$x$$)', 'SET ROLE anna',
				'SELECT jit_request($$SELECT ON hr.salary$$, $$1 h$$, $$x$$)', 'SELECT jit_approve(4)', 'CREATE TABLE public.x ()'])
				await assert.rejects(bot.query(query), /permission|denied|neither asks nor decides|cannot be done through gateway/, query);
			for (const table of ['requests', 'reviews', 'events', 'identity_codes'])
				assert.deepEqual((await bot.query(`TABLE jit.${table}`)).rows, [], table);
			await bot.end();
		});

		await t.test('of what is open some is looked at again, in turn', async () => {
			await world.kill();
			await sql(`DELETE FROM slack_bot.todo; DELETE FROM slack_bot.message;
				INSERT INTO slack_bot.message (request, kind, recipient, open) SELECT i, 'card', 'C', i > 100 FROM generate_series(1, 600) i`);
			const database = new Database('slack_here', `postgres://slack_bot@127.0.0.1:${here.port}/slack_here`, /** @type {any} */ ({}));
			const seen = new Set();
			for (let i = 0; i < 3; i++) {
				await database.check();
				const rows = await sql('DELETE FROM slack_bot.todo RETURNING request');
				assert.ok(rows.length <= 200);
				rows.forEach((/** @type {any} */ row) => seen.add(row.request));
			}
			assert.equal(seen.size, 500);
			assert.equal(Math.min(...seen), 101);
			await database.pool.end();
		});
	} catch (e) {
		console.error(world.log.join(''));
		throw e;
	} finally {
		await world.end();
		await other.sql?.end();
		await here.down();
		await there.down();
	}
});

test('a status of another version is shown as it is called', () => {
	const shown = wanted('hr_prod', { status: 'frozen', request: 1, access: 'SELECT ON a', starts: 'x', token: 'x' },
		{ channel: CHANNEL, linked: ['UDEV'], deciders: ['UANNA'], askers: ['UDEV'], asked: [], events: ['expiring'], remind: true });
	assert.deepEqual(shown.map(({ kind, to, text }) => [kind, to, text]),
		[['card', CHANNEL, 'Request 1 is frozen'], ['is frozen', 'UDEV', 'Request 1 is frozen']]);
	assert.equal(isOver('frozen'), false);
	assert.match(text(shown[0]), /SELECT ON a/);
	assert.deepEqual(shown.flatMap(buttons), []);
});

test('what cannot be shown whole is not approved here', () => {
	const pending = { status: 'pending', request: 1, access: 'UPDATE ON a', statement: 'UPDATE a SET b = 1', waiting_for: ['anna'], waiting_for_more: 0, token: 'x' };
	const [card] = wanted('hr_prod', pending, { channel: CHANNEL, linked: [], deciders: [], askers: [], asked: [], events: [], remind: false });
	assert.deepEqual(buttons(card), []);
});
