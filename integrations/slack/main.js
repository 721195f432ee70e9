#!/usr/bin/env node
//
// jit-access-slack [FILE]
//
// Requests for temporary access, and decisions on them, in Slack.  It can be
// killed at any time: what is told and what isn't yet is in the databases.

import { readConfig } from './lib/config.js';
import { Slack } from './lib/slack.js';
import { Database } from './lib/database.js';
import { answer } from './lib/people.js';

/** @type {import('./lib/config.js').Config} */
let config;
try {
	config = readConfig(process.env, process.argv[2] ?? process.env.JIT_SLACK_CONFIG);
} catch (e) {
	console.error(`jit-access-slack: ${/** @type {Error} */ (e).message}`);
	process.exit(78);
}
// whoever starts it starts it again, and it goes on where it was
process.on('unhandledRejection', (e) => {
	console.error(e);
	process.exit(1);
});
process.on('SIGTERM', () => process.exit(0));

const slack = new Slack(config);
const databases = new Map([...config.databases].map(([name, url]) => [name, new Database(name, url, slack)]));
answer(slack, databases);
await slack.start();
for (const database of databases.values())
	void database.run();
console.log(`listening in Slack, for ${[...databases.keys()].join(', ')}`);
