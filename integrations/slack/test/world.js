// What the tests share: a database with people, the program, and a stand-in.
// PGHOST and PGPORT lead to a server with the library, and slack_bot among
// jit_access.gateway_logins.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import pg from 'pg';
import { StandIn, CHANNEL } from './standin.js';

const { PGHOST: host = '/tmp', PGPORT: port = '5432' } = process.env;

/** People's accounts in Slack. @type {Record<string, string>} */
export const users = { anna: 'UANNA', ben: 'UBEN', dev: 'UDEV', eve: 'UEVE' };

/** @param {() => any} met @param {string} what @param {number} [seconds] */
export async function until(met, what, seconds = 30) {
	for (const end = Date.now() + seconds * 1000; ; await new Promise((done) => setTimeout(done, 20))) {
		const found = await met();
		if (found)
			return found;
		if (Date.now() > end)
			throw new Error(`it didn't come to this: ${what}`);
	}
}

/** @param {string} user @param {string} database */
export async function connect(user, database) {
	const client = new pg.Client({ host, port: Number(port), user, database });
	client.on('error', () => {});
	await client.connect();
	return client;
}

/** A way to the server that can be down. */
export class Way {
	/** @type {Set<import('node:net').Socket>} */
	sockets = new Set();
	port = 0;

	async up() {
		this.server = createServer((from) => {
			const to = createConnection(`${host}/.s.PGSQL.${port}`);
			for (const socket of [from, to]) {
				this.sockets.add(socket);
				socket.on('error', () => {}).on('close', () => { from.destroy(); to.destroy(); });
			}
			from.pipe(to).pipe(from);
		}).listen(this.port, '127.0.0.1');
		await once(this.server, 'listening');
		this.port = /** @type {any} */ (this.server.address()).port;
	}

	async down() {
		this.server?.close();
		for (const socket of this.sockets)
			socket.destroy();
		this.sockets.clear();
	}
}

export class World {
	/** @param {string} database @param {{pace?: number, flow?: string, slack?: StandIn}} [options] */
	constructor(database, { pace = 20, slack = new StandIn({ pace }), flow = '[{"approver": "hr_owner", "direct": false}, {"approver": "security", "direct": false}]' } = {}) {
		this.database = database;
		this.flow = flow;
		this.slack = slack;
		/** @type {import('node:child_process').ChildProcess | undefined} */
		this.program = undefined;
		/** @type {string[]} */
		this.log = [];
		/** @type {Record<string, string>} */
		this.settings = {};
	}

	async create() {
		if (!this.slack.url)
			await this.slack.start();
		const postgres = await connect('postgres', 'postgres');
		for (const [role, options] of Object.entries({ hr_owner: '', security: '', anna: 'LOGIN IN ROLE hr_owner', ben: 'LOGIN IN ROLE security',
			dev: 'LOGIN', eve: 'LOGIN', slack_bot: 'LOGIN' }))
			await postgres.query(`DO $$ BEGIN CREATE ROLE ${role} ${options}; EXCEPTION WHEN duplicate_object THEN NULL; END $$`);
		await postgres.query(`DROP DATABASE IF EXISTS ${this.database} WITH (FORCE)`);
		await postgres.query(`CREATE DATABASE ${this.database} OWNER hr_owner`);
		await postgres.end();
		this.sql = await connect('postgres', this.database);
		await this.sql.query(`CREATE EXTENSION jit_access;
			CREATE SCHEMA slack_bot AUTHORIZATION slack_bot;
			CREATE SCHEMA hr AUTHORIZATION hr_owner; GRANT USAGE ON SCHEMA hr TO dev, eve;
			CREATE TABLE hr.salary (emp_no integer, amount integer); INSERT INTO hr.salary VALUES (10001, 60117);
			CREATE TABLE hr.title (emp_no integer, title text);
			ALTER TABLE hr.salary OWNER TO hr_owner; ALTER TABLE hr.title OWNER TO hr_owner;`);
		await this.sql.query('SELECT jit_set_policy($1, $2, $3)', ['all', 'moderate', '$.grantee != ""']);
		await this.sql.query('SELECT jit_set_flow($1, $2::jsonb)', ['moderate', this.flow]);
	}

	/** Links people by /jit link and psql. @param {string[]} names */
	async link(names) {
		this.slack.ephemeral.length = 0;
		for (const name of names) {
			await this.slack.command(users[name], 'link');
			const text = await until(() => this.shownTo(name).at(-1), 'a code is shown');
			const [, code] = /jit_link_identity\('([^']+)'\)/.exec(text) ?? [];
			const client = await connect(name, this.database);
			await client.query('SELECT jit_link_identity($1)', [code]);
			await client.end();
		}
		this.slack.ephemeral.length = 0;
	}

	/** Texts that somebody was shown alone. @param {string} name @returns {string[]} */
	shownTo(name) {
		return this.slack.ephemeral.filter((e) => e.user === users[name])
			.map((e) => (e.blocks ?? []).map((/** @type {any} */ b) => b.text?.text ?? '').join('\n'));
	}

	async run() {
		this.program = spawn(process.execPath, [new URL('../main.js', import.meta.url).pathname], {
			stdio: ['ignore', 'pipe', 'pipe'],
			env: { PATH: process.env.PATH, SLACK_BOT_TOKEN: 'xoxb-test', SLACK_APP_TOKEN: 'xapp-1-test', SLACK_CHANNEL: CHANNEL, SLACK_API_URL: this.slack.url,
				SLACK_PACE: String(this.slack.pace), JIT_DATABASES: `${this.database}=postgres:///${this.database}?host=${encodeURIComponent(host)}&port=${port}&user=slack_bot`,
				...this.settings } });
		for (const stream of [this.program.stdout, this.program.stderr])
			stream?.on('data', (data) => { this.log.push(String(data)); });
		this.program.on('exit', (code) => { if (code) this.log.push(`ended with ${code}`); });
	}

	async connected() { await until(() => this.slack.sockets.size > 0, 'the program listens'); }

	async kill() {
		const { program } = this;
		this.program = undefined;
		if (program && program.exitCode === null && program.signalCode === null) {
			program.kill('SIGKILL');
			await once(program, 'exit');
		}
	}

	async end() {
		await this.kill();
		await this.slack.down();
		await this.sql?.end();
	}

	/** A call as somebody, logged in directly. @param {string} user @param {string} query @param {any[]} [values] */
	async as(user, query, values) {
		const client = await connect(user, this.database);
		try {
			return (await client.query(query, values)).rows;
		} finally {
			await client.end();
		}
	}

	/** @param {string} name */
	to(name) { return this.slack.in('D' + users[name].slice(1)); }

	card(request = 1) { return this.slack.in(CHANNEL).find((m) => m.blocks[0].text.text.startsWith(`Request ${request} `)); }
}

/** @param {{blocks: any[]} | undefined} message */
export const buttons = (message) => (message?.blocks ?? []).flatMap((b) => b.elements ?? []).filter((e) => e.type === 'button').map((e) => e.action_id);
