// Where the settings come from: the environment, or a file that only its user
// may read.

import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';

/** @typedef {ReturnType<typeof readConfig>} Config */

/** @param {string} file */
function readSettings(file) {
	const fd = openSync(file, 'r');
	const { mode, uid } = fstatSync(fd);
	if ((mode & 0o077) !== 0 || uid !== process.getuid?.() && uid !== 0)
		throw new Error(`${file} has tokens and passwords in it, and others may read or replace it: ` +
			`chown ${process.getuid?.()} and chmod 600 it`);
	/** @type {Record<string, string>} */
	const settings = {};
	readFileSync(fd, 'utf8').split('\n').forEach((line, i) => {
		const [, name, value] = /^\s*([A-Z_]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
		if (name)
			settings[name] = value;
		else if (!/^\s*(#.*)?$/.test(line))
			throw new Error(`${file}, line ${i + 1}, is not NAME=value`);
	});
	closeSync(fd);
	return settings;
}

/** @param {Record<string, string | undefined>} env @param {string} [file] */
export function readConfig(env, file) {
	const settings = { ...env, ...file ? readSettings(file) : {} };
	/** @type {(name: string, pattern: RegExp, what: string) => string} */
	const need = (name, pattern, what) => {
		const value = settings[name]?.trim() ?? '';
		if (!pattern.test(value))
			throw new Error(`${name} must be ${what}`);
		return value;
	};
	/** In milliseconds. @type {(name: string, otherwise: string) => number} */
	const minutes = (name, otherwise) => {
		const value = Number(settings[name] ?? otherwise);
		if (!(value >= 0))
			throw new Error(`${name} must be a number of minutes`);
		return value * 60000;
	};
	return {
		/** connection strings by name */
		databases: new Map(need('JIT_DATABASES', /^[^=\s]{1,60}=\S+(\s+[^=\s]{1,60}=\S+)*$/,
			'name=postgres://slack_bot@host/database for each database, separated by spaces').split(/\s+/)
			.map((entry) => /** @type {[string, string]} */ (entry.split(/=(.*)/)))),
		botToken: need('SLACK_BOT_TOKEN', /^xoxb-/, 'the bot token of the app, xoxb-…'),
		appToken: need('SLACK_APP_TOKEN', /^xapp-/, 'an app-level token with connections:write, xapp-…'),
		channel: need('SLACK_CHANNEL', /^[CG][A-Z0-9]+$/,
			'the ID of the channel for requests, C… (at the bottom of its details)'),
		/** until what waits is brought up again; 0 for never */
		remindAfter: minutes('JIT_REMIND_AFTER', '30'),
		/** between looks at what is open, for what no event tells */
		checkEvery: minutes('JIT_CHECK_EVERY', '1'),
		apiUrl: settings.SLACK_API_URL ?? 'https://slack.com/api/',
		/** for tests: how many times faster than Slack's the clock of its rates is */
		pace: Number(settings.SLACK_PACE ?? '1'),
	};
}
