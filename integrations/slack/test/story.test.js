// The whole story, as people live it: asked for by /jit, refused to a bystander,
// approved in two steps by two people, used in psql, about to end, ended.
//
// What was in Slack at each stage is kept in expected/story.json; UPDATE=1 writes
// it anew.

import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { World, buttons, until, users, connect } from './world.js';
import { CHANNEL } from './standin.js';

const kept = new URL('./expected/story.json', import.meta.url);

/** What differs from run to run, made the same. @param {unknown} value @returns {any} */
const same = (value) => JSON.parse(JSON.stringify(value, (key, v) => key === 'nonce' ? '<nonce>' : typeof v !== 'string' ? v : v
	.replace(/[0-9]+\/[0-9]+:[0-9]+:[0-9]+/g, '<token>')
	.replace(/<!date\^[0-9]+\^([^|]*)\|[^>]*>/g, '<!date^<time>^$1|<time>>')
	.replace(/[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:.]+(\+00(:00)?)?/g, '<time>')));

test('from /jit to the end', { timeout: 120000 }, async () => {
	const world = new World('slack_story');
	const { slack } = world;
	/** @type {Record<string, any>} */
	const stages = {};
	const stage = (/** @type {string} */ name) => {
		stages[name] = same(Object.fromEntries([CHANNEL, 'DANNA', 'DBEN', 'DDEV', 'DEVE'].map((c) => [c, slack.in(c).map(({ text, blocks }) => ({ text, blocks }))])
			.filter(([, all]) => all.length > 0)));
	};
	try {
		await world.create();
		await world.run();
		await world.connected();
		await world.link(['anna', 'ben', 'dev']);

		await slack.command(users.dev, '');
		await until(() => slack.views.get('UDEV'), 'the dialog opens');
		stages['the dialog'] = same(slack.views.get('UDEV'));
		assert.deepEqual((await slack.options('UDEV', 'tables', 'sal')).options.map((/** @type {any} */ o) => o.value), ['hr.salary']);
		let answer = await slack.submit('UDEV', { tables: ['hr.salary'], privileges: ['SELECT'], duration: '8 s', reason: 'payroll <!channel> *wrong* & <@UANNA>', ticket: 'INC-4711' });
		stages['the answer to it'] = same(answer);
		assert.equal(answer.response_action, 'update', JSON.stringify(answer));

		await until(() => world.card() && world.to('anna').length === 1, 'the card and the message');
		stage('asked');
		assert.deepEqual(buttons(world.card()), ['approve', 'less', 'reject']);
		assert.equal(slack.in(CHANNEL).length, 1);

		// a bystander, and the one who asked
		const card = /** @type {any} */ (world.card());
		await slack.click(users.eve, card, 'approve');
		stages['to a bystander who is nobody'] = same(await until(() => world.shownTo('eve')[0], 'an answer'));
		await world.link(['eve']);
		await slack.click(users.eve, card, 'approve');
		stages['to a bystander'] = same(await until(() => world.shownTo('eve')[0], 'an answer'));
		await slack.click(users.dev, card, 'approve');
		stages['to the one who asked'] = same(await until(() => world.shownTo('dev')[0], 'an answer'));
		assert.equal((await world.as('dev', 'SELECT status FROM jit.my_requests'))[0].status, 'pending');

		await slack.click(users.anna, card, 'approve');
		stages['to the first approver'] = same(await until(() => world.shownTo('anna')[0], 'an answer'));
		await until(() => world.to('ben').length === 1 && buttons(world.to('anna')[0]).length === 0, 'the second step');
		stage('approved once');

		// in the second's own message, with a dialog
		await slack.click(users.ben, world.to('ben')[0], 'less');
		await until(() => slack.views.get('UBEN'), 'the dialog opens');
		answer = await slack.submit('UBEN', { duration: '7 s', comment: 'be quick' });
		stages['to the second approver'] = same(answer);
		const psql = await connect('dev', world.database);
		assert.deepEqual((await psql.query('SELECT amount FROM hr.salary')).rows, [{ amount: 60117 }]);
		await until(() => world.to('dev').length === 1 && buttons(world.card()).length === 0 && world.to('ben')[0].edited === 1 && world.to('anna')[0].edited === 2, 'the decision is told');
		stage('approved');

		await slack.command(users.dev, 'status');
		stages.status = same(await until(() => slack.ephemeral.filter((e) => e.user === 'UDEV').at(1)?.blocks, 'the status'));

		await until(() => world.to('dev').length === 2, 'it ends soon');
		stage('expiring');
		assert.deepEqual(buttons(world.to('dev')[1]), ['extend']);
		await until(() => world.to('dev').length === 3 && /expired/.test(JSON.stringify(world.card())) && world.to('ben')[0].edited === 2 && world.to('anna')[0].edited === 3, 'it has ended');
		await assert.rejects(psql.query('SELECT amount FROM hr.salary'), /permission denied/);
		await psql.end();
		stage('expired');

		// asked for again from there, rejected
		await slack.click(users.dev, world.to('dev')[2], 'extend');
		await until(() => slack.views.get('UDEV').callback_id === 'extend', 'the dialog opens');
		assert.equal((await slack.submit('UDEV', { duration: '1 hour', reason: 'not done yet' })).response_action, 'update');
		const again = await until(() => world.card(2), 'another card');
		await slack.click(users.anna, again, 'reject');
		await until(() => slack.views.get('UANNA')?.callback_id === 'reject', 'the dialog opens');
		await slack.submit('UANNA', { comment: 'once is enough' });
		await until(() => world.to('dev').length === 4 && /rejected/.test(JSON.stringify(world.card(2))), 'that it was rejected');
		stage('asked again and rejected');

		if (process.env.UPDATE)
			writeFileSync(kept, JSON.stringify(stages, null, '\t') + '\n');
		assert.deepEqual(stages, JSON.parse(readFileSync(kept, 'utf8')));
		assert.equal(slack.limited, 0);
	} catch (e) {
		console.error(world.log.join(''));
		throw e;
	} finally {
		await world.end();
	}
});
