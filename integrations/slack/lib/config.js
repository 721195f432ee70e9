// Where the settings come from: the environment, or a file that only its user
// may read.

import { readFileSync, statSync } from 'node:fs';

/**
 * @typedef {object} Config
 * @property {string} botToken
 * @property {string} appToken
 * @property {string} channel
 * @property {Map<string, string>} databases connection strings by name
 * @property {number} remindAfter milliseconds until what waits is brought up again; 0 for never
 * @property {number} checkEvery milliseconds between looks at what is open, for what no event tells
 * @property {string} apiUrl
 * @property {number} pace for tests: how many times faster than Slack's the clock of its rates is
 */

/** @param {string} file @returns {Record<string, string>} */
function readSettings(file) {
	const { mode, uid } = statSync(file);
	if ((mode & 0o077) !== 0 || uid !== process.getuid?.() && uid !== 0)
		throw new Error(`${file} has tokens and passwords in it, and others may read or replace it: ` +
			`chown ${process.getuid?.()} and chmod 600 it`);
	/** @type {Record<string, string>} */
	const settings = {};
	readFileSync(file, 'utf8').split('\n').forEach((line, i) => {
		if (/^\s*(#.*)?$/.test(line))
			return;
		const found = /^\s*([A-Z_]+)\s*=\s*(.*?)\s*$/.exec(line);
		if (!found)
			throw new Error(`${file}, line ${i + 1}, is not NAME=value`);
		settings[found[1]] = found[2];
	});
	return settings;
}

/**
 * @param {Record<string, string | undefined>} env
 * @param {string} [file]
 * @returns {Config}
 */
export function readConfig(env, file) {
	const settings = { ...env, ...file ? readSettings(file) : {} };
	/** @type {(name: string, pattern: RegExp, what: string) => string} */
	const need = (name, pattern, what) => {
		const value = settings[name] ?? '';
		if (!pattern.test(value))
			throw new Error(`${name} must be ${what}`);
		return value;
	};
	/** @type {(name: string, otherwise: string) => number} */
	const minutes = (name, otherwise) => {
		const value = Number(settings[name] ?? otherwise);
		if (!(value >= 0))
			throw new Error(`${name} must be a number of minutes`);
		return value * 60000;
	};
	/** @type {Map<string, string>} */
	const databases = new Map();
	for (const entry of need('JIT_DATABASES', /\S/, 'names and connection strings, such as hr_prod=postgres://slack_bot@db.example/hr_prod').trim().split(/\s+/)) {
		const [, name, url] = /^([^=\s]{1,60})=(\S+)$/.exec(entry) ?? [];
		if (!url)
			throw new Error('JIT_DATABASES must be name=postgres://… for each database, separated by spaces');
		databases.set(name, url);
	}
	return {
		botToken: need('SLACK_BOT_TOKEN', /^xoxb-/, 'the bot token of the app, xoxb-…'),
		appToken: need('SLACK_APP_TOKEN', /^xapp-/, 'an app-level token with connections:write, xapp-…'),
		channel: need('SLACK_CHANNEL', /^[CG][A-Z0-9]+$/, 'the ID of the channel for requests, C… (at the bottom of its details)'),
		databases,
		remindAfter: minutes('JIT_REMIND_AFTER', '30'),
		checkEvery: minutes('JIT_CHECK_EVERY', '1'),
		apiUrl: settings.SLACK_API_URL ?? 'https://slack.com/api/',
		pace: Number(settings.SLACK_PACE ?? '1'),
	};
}
