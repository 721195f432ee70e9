// What people and databases come up with: who may read the settings, texts that
// would like to be markup or are too long, direct steps, nobody who can decide,
// what waits, answers that got lost, a mark that is refused.
//
// Seen to fail without the escaping, the cut, the look at the file's mode, the
// token of a button, and the search for a message whose answer was lost.

import test from 'node:test';
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { readConfig } from '../lib/config.js';
import { wanted } from '../lib/cards.js';
import { plain } from '../lib/text.js';
import { World, buttons, until, users } from './world.js';
import { CHANNEL, wrongBlocks } from './standin.js';

test('settings are read from a file that only its user may read', () => {
	const dir = mkdtempSync(`${tmpdir()}/slack`);
	const file = `${dir}/conf`;
	writeFileSync(file, '# tokens\nSLACK_BOT_TOKEN=xoxb-1\nSLACK_APP_TOKEN = xapp-1\nSLACK_CHANNEL=C1\nJIT_DATABASES=a=postgres://x b=postgres://y?z=1\n');
	for (const mode of [0o644, 0o640, 0o604, 0o620, 0o666]) {
		chmodSync(file, mode);
		assert.throws(() => readConfig({}, file), /others may read or replace it/, mode.toString(8));
	}
	chmodSync(file, 0o600);
	const config = readConfig({}, file);
	assert.deepEqual([...config.databases], [['a', 'postgres://x'], ['b', 'postgres://y?z=1']]);
	assert.equal(config.remindAfter, 30 * 60000);
	assert.throws(() => readConfig({}), /JIT_DATABASES/);
	assert.throws(() => readConfig({ JIT_DATABASES: 'hr_prod' }), /JIT_DATABASES/);
	assert.throws(() => readConfig({ JIT_DATABASES: 'a=b', SLACK_BOT_TOKEN: 'xapp-1' }), /SLACK_BOT_TOKEN/);
	assert.throws(() => readConfig({ JIT_REMIND_AFTER: 'soon' }, file), /JIT_REMIND_AFTER/);
	rmSync(dir, { recursive: true });
});

test('text is text, and fits', () => {
	for (const [text, most, expected] of /** @type {[string, number, string][]} */ ([
		['<!channel>', 100, '&lt;!channel&gt;'], ['<@U1> & <https://x|y>', 100, '&lt;@U1&gt; &amp; &lt;https://x|y&gt;'],
		['&lt;', 100, '&amp;lt;'], ['', 100, '–'], ['abc', 3, 'ab…'], ['a&b', 6, 'a…'], ['a&b', 8, 'a&amp;b'], ['😀😀', 4, '😀…'], ['a\0b', 9, 'ab']]))
		assert.equal(plain(text, most).text, expected);
	// whatever a request says, in whatever state
	const evil = '<!channel> *b* `c` <@UANNA> :boom: <https://evil.example|here> &lt;!here&gt; '.repeat(200);
	const many = Array.from({ length: 20 }, (_, i) => `${'&'.repeat(60)}${i}`);
	for (const status of ['pending', 'scheduled', 'active', 'expired', 'revoked', 'rejected', 'canceled', 'lapsed', 'gone', evil])
		for (const direct of [false, true])
			for (const message of wanted('hr_prod', { status, direct, request: 2147483647, requester: evil, login: evil + 'x', grantee: evil, via: evil, access: evil, reason: evil,
				ticket: evil, duration: '01:00:00', until: new Date().toISOString(), risk: 'high', step: 1, steps: 2, given: 0, needed: 1, waiting_for: many, waiting_for_more: 3,
				lapses_at: 'infinity', token: 'x', approved_by: many, approved_via: many, comments: many.map(() => evil), activated_at: '2026-01-01', expires_at: 'infinity',
				ended_at: null, ended_by: evil, start: '2026-01-01', starts_at: status === 'scheduled' ? '2026-01-01' : undefined, ends_at: 'infinity',
				emergency: direct, verdict: direct ? evil : null, decided_by: evil, decided_via: evil, comment: evil, decided_at: '2026-01-01' },
			{ channel: CHANNEL, linked: ['UANNA', 'UBEN'], deciders: ['UANNA'], askers: ['UDEV'], asked: ['UBEN'], events: ['expiring', evil], remind: true })) {
				assert.equal(wrongBlocks(message.blocks, 'message'), undefined, `${status} ${message.kind}`);
				assert.doesNotMatch(message.text, /[<&*`@]|:\w+:/);
				JSON.stringify(message.blocks, (key, v) => {
					if (v?.type === 'mrkdwn')
						assert.match(v.text, /^(<!channel> \*(Nobody|Somebody)|Asked for|Lapses|Until|From|At)[^&*`@]*(\*.*)?$/);
					else if (v?.type === 'plain_text') {
						assert.doesNotMatch(v.text, /[<>]|&(?!(amp|lt|gt);)/);
						assert.equal(v.emoji, false);
					}
					return v;
				});
			}
});

test('what is not shown whole has no button', () => {
	const look = (/** @type {string} */ access) => buttons(wanted('hr_prod', { status: 'pending', request: 1, access, waiting_for: ['anna'], waiting_for_more: 0, token: 'x' },
		{ channel: CHANNEL, linked: [], deciders: [], askers: [], asked: [], events: [], remind: false })[0]);
	for (const [access, shown] of /** @type {[string, boolean][]} */ ([['x', true], ['x'.repeat(2999), true], ['x'.repeat(3000), false], ['&'.repeat(599), true], ['&'.repeat(601), false]]))
		assert.equal(look(access).length, shown ? 3 : 0, access.slice(0, 1) + access.length);
});

test('a program among people', { timeout: 120000 }, async (t) => {
	const world = new World('slack_cases', { flow: '[{"approver": "hr_owner", "direct": true}]' });
	const { slack } = world;
	world.settings = { JIT_REMIND_AFTER: '0.02', JIT_CHECK_EVERY: '0.01' };
	const sql = async (/** @type {string} */ text, /** @type {any[]} */ values = []) => /** @type {any} */ (await world.sql?.query(text, values)).rows;
	const text = (/** @type {any} */ message) => JSON.stringify(message?.blocks);
	try {
		await world.create();
		await world.run();
		await world.connected();

		await t.test('/jit help, and what is no command', async () => {
			for (const typed of ['help', 'frobnicate', '__proto__', 'constructor x'])
				await slack.command(users.eve, typed);
			await until(() => world.shownTo('eve').filter((s) => s.includes('/jit revoke 17')).length === 4, 'help');
		});

		await t.test('whoever is not linked sees no table, and is told how to link', async () => {
			await slack.command(users.eve, '');
			await until(() => slack.views.get('UEVE'), 'the dialog');
			assert.deepEqual((await slack.options('UEVE', 'tables', '')).options, []);
			const answer = await slack.submit('UEVE', { tables: ['hr.salary'], privileges: ['SELECT'], reason: 'x' });
			assert.equal(answer.response_action, 'push');
			assert.match(text(answer.view), /\/jit link slack_cases/);
			await slack.choose('UEVE', 'database', world.database);
		});

		await world.link(['anna', 'dev', 'eve']);

		await t.test('wrong dialogs get the words of the database', async () => {
			await slack.command(users.dev, '');
			await until(() => slack.views.get('UDEV'), 'the dialog');
			assert.deepEqual((await slack.options('UDEV', 'tables', '')).options.map((/** @type {any} */ o) => o.value), ['hr.salary', 'hr.title']);
			for (const [values, expected] of /** @type {[any, RegExp][]} */ ([
				[{ access: 'SELECT ON hr.nothing', reason: 'x' }, /hr.nothing/],
				[{ access: 'SELECT ON hr.salary', duration: 'a while', reason: 'x' }, /invalid input syntax for type interval/],
				[{ access: '', reason: 'x' }, /access/],
				[{ access: 'SELECT ON hr.salary', until: 1, reason: 'x' }, /past/]])) {
				const answer = await slack.submit('UDEV', values);
				assert.equal(answer.response_action, 'push', text(answer.view));
				assert.match(text(answer.view), expected);
			}
		});

		await t.test('a direct step shows the call, and no button', async () => {
			await world.as('dev', 'SELECT jit_request($1, $2, $3)', ['SELECT ON hr.salary', '1 hour', 'look <!here>']);
			const card = await until(() => world.card(1), 'the card');
			assert.match(text(card), /SELECT jit_approve\(1\);/);
			assert.deepEqual(buttons(card), []);
			assert.match(text(card), /look &lt;!here&gt;/);
			await until(() => world.to('anna').length === 1, 'the message');
		});

		await t.test('what waits is brought up once more, once', async () => {
			await until(() => slack.in(CHANNEL).some((m) => m.text === 'Request 1 still waits'), 'the reminder');
			await until(async () => (await sql('SELECT FROM slack_bot.todo')).length === 0, 'another look');
			assert.equal(slack.in(CHANNEL).filter((m) => m.text === 'Request 1 still waits').length, 1);
		});

		await t.test('decided in psql: told to who asked, and the card follows', async () => {
			await world.as('anna', 'SELECT jit_approve(1, $1)', ['fine']);
			await until(() => world.to('dev').length === 1 && /is active/.test(text(world.card(1))), 'the decision');
			assert.match(text(world.to('dev')[0]), /Approved by anna: fine/);
			await slack.command(users.dev, 'revoke 1 done with it');
			await until(() => world.to('dev').length === 2, 'the end');
			assert.match(text(world.card(1)), /was revoked/);
			await slack.command(users.dev, 'revoke 1');
			await until(() => world.shownTo('dev').some((s) => /request 1 .*revoked/.test(s)), 'an answer');
			await slack.command(users.dev, 'revoke');
			await until(() => world.shownTo('dev').some((s) => s.startsWith('Say which')), 'an answer');
		});

		await t.test('what nobody can decide is loud, once', async () => {
			await world.as('postgres', 'SELECT jit_set_flow($1, $2)', ['moderate', '[{"approver": "slack_nobody", "direct": false}]']).catch(async () => {
				await sql('CREATE ROLE slack_nobody');
				await sql('SELECT jit_set_flow($1, $2)', ['moderate', '[{"approver": "slack_nobody", "direct": false}]']);
			});
			await world.as('dev', 'SELECT jit_request($1, $2, $3)', ['SELECT ON hr.title', '1 hour', 'titles']);
			const loud = await until(() => slack.in(CHANNEL).find((m) => m.text === 'Nobody can decide on request 2'), 'it is loud');
			assert.match(text(loud), /<!channel>/);
			await world.as('dev', 'SELECT jit_cancel(2)');
			await until(() => /withdrawn/.test(text(world.card(2))) && world.to('dev').length === 3, 'it is told');
			assert.equal(slack.in(CHANNEL).filter((m) => m.text.startsWith('Nobody')).length, 1);
		});

		await t.test('a button of a request that is no more decides nothing', async () => {
			await sql('SELECT jit_set_flow($1, $2)', ['moderate', '[{"approver": "hr_owner", "direct": false}]']);
			await world.as('dev', 'SELECT jit_request($1, $2, $3)', ['SELECT ON hr.title', '1 hour', 'titles']);
			const card = await until(() => world.card(3), 'the card');
			const other = JSON.parse(JSON.stringify(card).replace(/(\[\\\\\\"slack_cases\\\\\\",3,\\\\\\"[0-9]+\/[0-9]+:3:)[0-9]+/g, '$11').replace(/(\[\\"slack_cases\\",3,\\"[0-9]+\/[0-9]+:3:)[0-9]+/g, '$11'));
			assert.notDeepEqual(other, card);
			await slack.click(users.anna, other, 'approve');
			await until(() => world.shownTo('anna').length > 0, 'an answer');
			assert.equal((await sql('SELECT status FROM jit.requests WHERE id = 3'))[0].status, 'pending');
		});

		await t.test('an answer of Slack that is lost leads to no second message', async () => {
			slack.loseAnswer.add('chat.postMessage');
			await world.as('dev', 'SELECT jit_request($1, $2, $3)', ['SELECT ON hr.salary', '2 hours', 'lost']);
			await until(() => world.card(4) && world.to('anna').filter((m) => /Request 4/.test(text(m))).length === 1, 'the card');
			await until(async () => (await sql('SELECT FROM slack_bot.todo')).length === 0 && (await sql(`SELECT FROM slack_bot.message WHERE request = 4 AND ts IS NULL`)).length === 0, 'all is done');
			assert.equal(slack.in(CHANNEL).filter((m) => /^Request 4 in/.test(m.blocks[0].text.text) && !/still/.test(text(m))).length, 1);
			assert.equal(slack.loseAnswer.size, 0);
		});

		await t.test('a mark that is refused: it goes on, and posts nothing again', async () => {
			const before = slack.in(CHANNEL).filter((m) => !m.text.endsWith('waits')).length;
			await world.kill();
			await sql(`UPDATE slack_bot.mark SET mark = regexp_replace(mark, '[0-9]+$', '1')`);
			await world.as('dev', 'SELECT jit_cancel(4)');
			await world.run();
			await until(() => /withdrawn/.test(text(world.card(4))) && world.to('dev').some((m) => /Request 4 was withdrawn/.test(m.text)), 'it is told');
			assert.equal(slack.in(CHANNEL).filter((m) => !m.text.endsWith('waits')).length, before);
		});
		await t.test('sessions that are terminated', async () => {
			await sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'slack_bot'`);
			await world.as('dev', 'SELECT jit_request($1, $2, $3)', ['SELECT ON hr.salary', '3 hours', 'sessions']);
			await until(() => world.card(5), 'the card');
		});

		await t.test('Slack is away for a while: then clicks count again', async () => {
			await slack.down();
			await world.as('dev', 'SELECT jit_request($1, $2, $3)', ['SELECT ON hr.salary', '4 hours', 'away']);
			await slack.start();
			await until(() => world.card(6), 'the card');
			await world.connected();
			await slack.click(users.anna, world.card(6), 'approve');
			await until(() => world.to('dev').some((m) => m.text === 'Request 6 was approved'), 'it is told');
		});

		await t.test('over twenty who could decide: the channel alone', async () => {
			const roles = Array.from({ length: 21 }, (_, i) => `slack_many${i}`);
			for (const role of roles)
				await sql(`CREATE ROLE ${role} LOGIN IN ROLE hr_owner`);
			try {
				await world.as('dev', 'SELECT jit_request($1, $2, $3)', ['SELECT ON hr.salary', '5 hours', 'many']);
				assert.match(text(await until(() => world.card(7), 'the card')), /2 more/);
				await until(async () => (await sql('SELECT FROM slack_bot.todo WHERE request = 7')).length === 0, 'all is done');
				assert.equal(world.to('anna').filter((m) => m.text.startsWith('Request 7')).length, 0);
				await world.as('dev', 'SELECT jit_cancel(7)');
			} finally {
				for (const role of roles)
					await sql(`DROP ROLE ${role}`);
			}
		});

		await t.test('whoever has unlinked their account is told nothing more', async () => {
			await world.as('anna', 'SELECT jit_unlink_identity($1)', ['slack:T012/UANNA']);
			await slack.click(users.anna, world.card(5), 'approve');
			await until(() => world.shownTo('anna').some((s) => s.includes('not linked')), 'an answer');
			await world.as('dev', 'SELECT jit_cancel(5)');
			await until(() => world.to('anna').some((m) => m.text === 'Request 5 was withdrawn' && m.blocks.length === 1), 'no more than that');
		});

		await t.test('what is archived is forgotten', async () => {
			const about = () => [...slack.messages.values()].filter((m) => /^Request [124] /.test(m.text)).map((m) => m.edited);
			const before = about();
			await sql('SELECT jit_archive(now())');
			await until(async () => (await sql('SELECT FROM slack_bot.message WHERE request IN (1, 2, 4)')).length === 0, 'its messages are');
			assert.deepEqual(about(), before);
		});

		assert.equal(slack.limited, 0);
	} catch (e) {
		console.error(world.log.join(''));
		throw e;
	} finally {
		await world.end();
	}
});
