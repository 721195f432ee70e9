// 1,000 requests in a minute (JIT_STRESS=1; else 100 in six seconds): Slack's rates
// aren't overrun, and the program's memory stays flat.  The stand-in's clock of
// rates is 20 times as fast as Slack's, and the program's as well: with Slack
// itself a thousand cards in one channel take 17 minutes.  Seen to fail without
// the turns in lib/slack.js.

import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { World, until, connect } from './world.js';
import { CHANNEL } from './standin.js';

const N = process.env.JIT_STRESS ? 1000 : 100;

test(`${N} requests`, { timeout: 900000 }, async () => {
	const world = new World('slack_rates', { flow: '[{"approver": "hr_owner", "direct": false}]' });
	const { slack } = world;
	try {
		await world.create();
		await world.run();
		await world.connected();
		await world.link(['anna', 'dev']);
		/** @type {number[]} */
		const memory = [];
		const sampler = setInterval(() => {
			const [, kB] = /VmRSS:\s+([0-9]+)/.exec(readFileSync(`/proc/${world.program?.pid}/status`, 'utf8')) ?? [];
			memory.push(Number(kB) / 1024);
		}, 250);
		const dev = await connect('dev', world.database);
		const anna = await connect('anna', world.database);
		const begun = Date.now();
		for (let i = 1; i <= N; i++) {
			await dev.query('SELECT jit_request($1, $2::interval, $3)', ['SELECT ON hr.salary', `${i} min`, 'x'.repeat(4000)]);
			// of these the card is there, if rates allow, and is updated
			if (i % 2 === 0 && i > 20)
				await anna.query('SELECT jit_reject($1, $2)', [i - 20, 'not that long']);
			await new Promise((done) => setTimeout(done, Math.max(0, begun + i * 60 - Date.now())));
		}
		const filed = Date.now() - begun;
		const quiet = async () => slack.in(CHANNEL).length === N &&
			(await world.sql?.query('SELECT FROM slack_bot.todo'))?.rowCount === 0;
		await until(quiet, 'all is shown', 600);
		clearInterval(sampler);
		await Promise.all([dev.end(), anna.end()]);
		assert.equal(slack.in(CHANNEL).filter((m) => JSON.stringify(m.blocks).includes('"approve"')).length, N / 2 + 10);
		assert.equal(slack.limited, 0);
		const half = memory.length >> 1;
		const most = (/** @type {number[]} */ all) => Math.max(...all);
		console.log(`# filed in ${filed} ms, shown after ${Date.now() - begun} ms; at most ${most(memory.slice(0, half)).toFixed(0)} MB in the first half of that time, ` +
			`${most(memory.slice(half)).toFixed(0)} MB in the second; calls: ${JSON.stringify(slack.calls)}`);
		assert.ok(most(memory.slice(half)) < most(memory.slice(0, half)) + 20, 'memory stays flat');
	} catch (e) {
		console.error(world.log.join('').slice(-4000));
		throw e;
	} finally {
		await world.end();
	}
});
