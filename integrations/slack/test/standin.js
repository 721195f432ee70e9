// A stand-in for Slack's servers: the Web API over HTTP and Socket Mode over a
// WebSocket, as far as the program uses them, for Bolt itself to run against.
//
// It keeps what it was sent, answers 429 beyond the limits that Slack
// documents, and can be down.  What people do in Slack are methods here:
// command(), click(), submit(), options().

import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { createHash } from 'node:crypto';

// comes with Bolt
const require = createRequire(import.meta.url);
const { WebSocketServer } = /** @type {any} */ (createRequire(require.resolve('@slack/socket-mode'))('ws'));

export const TEAM = 'T012';
export const CHANNEL = 'C0JIT';

// https://docs.slack.dev/apis/web-api/rate-limits: calls per minute
const tiers = { 1: 1, 2: 20, 3: 50, 4: 100 };
/** @type {Record<string, 2 | 3 | 4>} */
const tier = {
	'chat.update': 3, 'conversations.open': 3, 'conversations.history': 3,
	'chat.postEphemeral': 4, 'views.open': 4, 'views.update': 4, 'views.push': 4, 'users.info': 4,
};
const ALL_POSTS = 300;	// "several hundred" a minute in a workspace
const BURST = 3;		// of one a second in a channel; short ones are let pass

/** @typedef {{channel: string, ts: string, text: string, blocks: any[], metadata?: any, edited: number}} Message */

export class StandIn {
	/** @param {{pace?: number}} [options] pace: how many times faster than Slack's its clock of rates is */
	constructor({ pace = 1 } = {}) {
		this.pace = pace;
		this.url = '';
		this.port = 0;
		/** @type {Map<string, Message>} by channel and ts, in the order of posting */
		this.messages = new Map();
		/** @type {Record<string, number>} answered calls by method */
		this.calls = {};
		/** @type {any[]} what one person alone was shown: {user, text, blocks} */
		this.ephemeral = [];
		/** @type {Map<string, any>} the dialog that a person has open */
		this.views = new Map();
		this.limited = 0;
		this.isDown = false;
		/** @type {Set<any>} */
		this.sockets = new Set();
		/** @type {Map<string, (payload: any) => void>} */
		this.acks = new Map();
		/** @type {Map<string, number[]>} */
		this.recent = new Map();
		/** @type {Map<string, {left: number, at: number}>} */
		this.buckets = new Map();
		/** @type {Set<string>} methods whose answer gets lost once */
		this.loseAnswer = new Set();
		this.last = 0;
	}

	async start() {
		this.server = createServer((req, res) => this.serve(req, res).catch((e) => {
			console.error(e);
			res.writeHead(500).end();
		}));
		const wss = new WebSocketServer({ noServer: true });
		this.server.on('upgrade', (req, socket, head) => wss.handleUpgrade(req, socket, head, (/** @type {any} */ ws) => {
			this.sockets.add(ws);
			ws.on('close', () => this.sockets.delete(ws));
			ws.on('message', (/** @type {Buffer} */ data) => {
				const { envelope_id: id, payload } = JSON.parse(String(data));
				this.acks.get(id)?.(payload);
				this.acks.delete(id);
			});
			ws.send(JSON.stringify({ type: 'hello', num_connections: 1, connection_info: { app_id: 'A1' } }));
		}));
		await new Promise((done) => this.server?.listen(this.port, '127.0.0.1', () => done(null)));
		this.port = /** @type {any} */ (this.server.address()).port;
		this.url = `http://127.0.0.1:${this.port}/api/`;
		this.isDown = false;
	}

	async down() {
		this.isDown = true;
		for (const ws of this.sockets)
			ws.terminate();
		this.server?.closeAllConnections();
		await new Promise((done) => this.server?.close(done));
	}

	/**
	 * @param {import('node:http').IncomingMessage} req
	 * @param {import('node:http').ServerResponse} res
	 */
	async serve(req, res) {
		let body = '';
		for await (const part of req)
			body += part;
		const [, root, method] = String(req.url).split('/');
		/** @type {any} */
		let args = {};
		if (req.headers['content-type']?.startsWith('application/json'))
			args = JSON.parse(body);
		else
			for (const [name, value] of new URLSearchParams(body))
				args[name] = /^(blocks|metadata|view)$/.test(name) ? JSON.parse(value) : value;
		if (root === 'response') {
			this.ephemeral.push({ user: method, text: args.text, blocks: args.blocks });
			res.end('ok');
			return;
		}
		const wait = this.tooOften(method, args);
		if (wait) {
			this.limited++;
			res.writeHead(429, { 'Retry-After': String(wait) }).end();
			return;
		}
		this.calls[method] = (this.calls[method] ?? 0) + 1;
		const answer = this.answer(method, args, req.headers.authorization ?? '');
		if (this.loseAnswer.delete(method)) {
			res.destroy();
			return;
		}
		res.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
	}

	/** Seconds to wait, if this call is one too many. @param {string} method @param {any} args */
	tooOften(method, args) {
		const now = Date.now();
		const minute = 60000 / this.pace;
		/** @type {(key: string, most: number) => number} */
		const inMinute = (key, most) => {
			const times = (this.recent.get(key) ?? []).filter((t) => t > now - minute);
			this.recent.set(key, times);
			if (times.length >= most)
				return Math.max(1, Math.ceil((times[0] + minute - now) / 1000));
			times.push(now);
			return 0;
		};
		if (method === 'chat.postMessage') {
			const bucket = this.buckets.get(args.channel) ?? { left: BURST, at: now };
			bucket.left = Math.min(BURST, bucket.left + (now - bucket.at) * this.pace / 1000);
			bucket.at = now;
			this.buckets.set(args.channel, bucket);
			if (bucket.left < 1)
				return 1;
			bucket.left--;
			return inMinute(method, ALL_POSTS);
		}
		return tier[method] ? inMinute(method, tiers[tier[method]]) : 0;
	}

	/** @param {string} method @param {any} args @param {string} authorization @returns {any} */
	answer(method, args, authorization) {
		const app = method.startsWith('apps.');
		if (authorization !== `Bearer ${app ? 'xapp-1-test' : 'xoxb-test'}`)
			return { ok: false, error: 'invalid_auth' };
		switch (method) {
			case 'apps.connections.open':
				return { ok: true, url: `ws://127.0.0.1:${this.port}/link` };
			case 'auth.test':
				return { ok: true, team_id: TEAM, user_id: 'UBOT', bot_id: 'B1', team: 'test' };
			case 'users.info':
				return { ok: true, user: { id: args.user, team_id: TEAM } };
			case 'conversations.open':
				return { ok: true, channel: { id: 'D' + String(args.users).slice(1) } };
			case 'chat.postMessage':
			case 'chat.update': {
				const wrong = wrongBlocks(args.blocks, 'message');
				if (wrong)
					return { ok: false, error: 'invalid_blocks', response_metadata: { messages: [wrong] } };
				const update = method === 'chat.update';
				const ts = update ? args.ts : this.nextTs();
				const old = this.messages.get(args.channel + ts);
				if (update && !old)
					return { ok: false, error: 'message_not_found' };
				this.messages.set(args.channel + ts, { channel: args.channel, ts, text: args.text, blocks: args.blocks,
					metadata: args.metadata ?? old?.metadata, edited: old ? old.edited + 1 : 0 });
				return { ok: true, channel: args.channel, ts };
			}
			case 'chat.postEphemeral':
				this.ephemeral.push({ user: args.user, text: args.text, blocks: args.blocks });
				return { ok: true };
			case 'conversations.history': {
				const found = this.in(args.channel).filter((m) => Number(m.ts) >= Number(args.oldest ?? 0)).reverse();
				const from = Number(args.cursor || 0);
				const limit = Number(args.limit ?? 100);
				const more = found.length > from + limit;
				return { ok: true, has_more: more, response_metadata: { next_cursor: more ? String(from + limit) : '' },
					messages: found.slice(from, from + limit).map(({ metadata, ...m }) =>
						String(args.include_all_metadata) === 'true' ? { metadata, ...m } : m) };
			}
			case 'views.open':
			case 'views.update': {
				const wrong = wrongView(args.view);
				if (wrong)
					return { ok: false, error: 'invalid_arguments', response_metadata: { messages: [wrong] } };
				const user = args.trigger_id ? String(args.trigger_id).split('.')[0] : String(args.view_id).slice(1);
				const view = { ...args.view, id: 'V' + user };
				this.views.set(user, view);
				return { ok: true, view };
			}
			default:
				return { ok: false, error: 'unknown_method' };
		}
	}

	nextTs() {
		this.last = Math.max(this.last + 1, Date.now() * 1000);
		return `${Math.floor(this.last / 1000000)}.${String(this.last % 1000000).padStart(6, '0')}`;
	}

	/** @param {string} channel */
	in(channel) {
		return [...this.messages.values()].filter((m) => m.channel === channel);
	}

	/** What the app answers to an envelope. @param {string} type @param {any} payload @returns {Promise<any>} */
	async send(type, payload) {
		const id = createHash('md5').update(String(this.nextTs())).digest('hex');
		const ws = [...this.sockets].at(-1);
		if (!ws)
			throw new Error('the app is not connected');
		const acked = new Promise((done, fail) => {
			const timer = setTimeout(() => fail(new Error(`no answer to ${type} within 3 seconds`)), 3000);
			const gone = () => { clearTimeout(timer); fail(new Error('the app went away')); };
			ws.once('close', gone);
			this.acks.set(id, (answer) => { clearTimeout(timer); ws.off('close', gone); done(answer); });
		});
		ws.send(JSON.stringify({ envelope_id: id, type, payload, accepts_response_payload: true }));
		return acked;
	}

	/** @param {string} user */
	from(user) {
		return { user: { id: user, team_id: TEAM, username: user.toLowerCase() }, team: { id: TEAM },
			trigger_id: `${user}.${this.nextTs()}`, token: 'x', api_app_id: 'A1' };
	}

	/** @param {string} user */
	responseUrl(user) { return `http://127.0.0.1:${this.port}/response/${user}/${this.nextTs()}`; }

	/** @param {string} user @param {string} text */
	async command(user, text) {
		return this.send('slash_commands', { command: '/jit', text, user_id: user, team_id: TEAM, channel_id: CHANNEL,
			token: 'x', trigger_id: `${user}.${this.nextTs()}`, response_url: this.responseUrl(user) });
	}

	/** Clicks a button of a message. @param {string} user @param {Message | undefined} message @param {string} action_id */
	async click(user, message, action_id) {
		const button = message?.blocks.flatMap((b) => b.elements ?? []).find((e) => e.action_id === action_id);
		if (!message || !button)
			throw new Error(`there is no button ${action_id}`);
		return this.send('interactive', { type: 'block_actions', ...this.from(user), response_url: this.responseUrl(user),
			container: { type: 'message', message_ts: message.ts, channel_id: message.channel },
			channel: { id: message.channel }, message: { ts: message.ts },
			actions: [{ ...button, block_id: 'b', action_ts: this.nextTs() }] });
	}

	/** Chooses in a dialog that has to be told. @param {string} user @param {string} action_id @param {any} value */
	async choose(user, action_id, value) {
		return this.send('interactive', { type: 'block_actions', ...this.from(user), view: this.views.get(user),
			container: { type: 'view', view_id: 'V' + user },
			actions: [{ type: 'static_select', action_id, block_id: 'b', action_ts: this.nextTs(), selected_option: { value } }] });
	}

	/** What a list offers. @param {string} user @param {string} action_id @param {string} typed */
	async options(user, action_id, typed) {
		const view = this.views.get(user);
		const block = view.blocks.find((/** @type {any} */ b) => b.element?.action_id === action_id);
		return this.send('interactive', { type: 'block_suggestion', ...this.from(user), view, action_id,
			block_id: block.block_id, value: typed });
	}

	/**
	 * Submits the dialog that somebody has open; values by action_id.
	 * @param {string} user @param {Record<string, any>} values
	 */
	async submit(user, values) {
		const view = this.views.get(user);
		/** @type {Record<string, any>} */
		const state = {};
		for (const block of view.blocks.filter((/** @type {any} */ b) => b.type === 'input')) {
			const { action_id: id, type } = block.element;
			const value = values[id] ?? (type === 'plain_text_input' ? block.element.initial_value : undefined);
			if (value === undefined && !block.optional && !block.element.initial_option)
				throw new Error(`the dialog requires ${id}`);
			state[block.block_id] = { [id]: type === 'plain_text_input' ? { type, value: value ?? null }
				: type === 'datetimepicker' ? { type, selected_date_time: value ?? null }
				: type === 'static_select' ? { type, selected_option: value ? { value } : block.element.initial_option ?? null }
				: { type, selected_options: (value ?? []).map((/** @type {string} */ v) => ({ value: v })) } };
		}
		const answer = await this.send('interactive', { type: 'view_submission', ...this.from(user),
			view: { ...view, state: { values: state } } });
		if (answer?.view) {
			const wrong = wrongView(answer.view);
			if (wrong)
				throw new Error(wrong);
		}
		if (answer?.response_action === 'update')
			this.views.set(user, { ...answer.view, id: 'V' + user });
		return answer;
	}
}

/** What Slack would refuse in a dialog. @param {any} view */
function wrongView(view) {
	if ((view.title?.text ?? '').length > 24)
		return 'title is too long';
	if ((view.private_metadata ?? '').length > 3000)
		return 'private_metadata is too long';
	return wrongBlocks(view.blocks, 'view');
}

/** @param {any[]} blocks @param {'message' | 'view'} where @returns {string | undefined} */
export function wrongBlocks(blocks, where) {
	if (!Array.isArray(blocks) || blocks.length > (where === 'view' ? 100 : 50))
		return 'wrong number of blocks';
	/** @type {(text: any, most: number, what: string) => string | undefined} */
	const wrong = (text, most, what) =>
		text && (typeof text.text !== 'string' || text.text.length < 1 || text.text.length > most)
			? `${what}: ${String(text?.text).length} characters, not 1 to ${most}` : undefined;
	for (const b of blocks) {
		const found = wrong(b.text, b.type === 'header' ? 150 : 3000, b.type) ?? wrong(b.label, 2000, 'label') ??
			wrong(b.hint, 2000, 'hint') ??
			(b.fields && (b.fields.length > 10 || b.fields.length < 1) ? 'fields' : undefined) ??
			(b.elements && b.type === 'actions' && b.elements.length > 25 ? 'actions' : undefined) ??
			(b.fields ?? []).map((/** @type {any} */ f) => wrong(f, 2000, 'field')).find(Boolean) ??
			[...(b.elements ?? []), ...(b.element ? [b.element] : [])].map((/** @type {any} */ e) =>
				wrong(e.type === 'button' ? e.text : e.type.endsWith('text') ? e : undefined, e.type === 'button' ? 75 : 3000, e.type) ??
				((e.value ?? '').length > 2000 ? 'value' : undefined) ?? wrong(e.placeholder, 150, 'placeholder')).find(Boolean);
		if (found)
			return found;
	}
}
