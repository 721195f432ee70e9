// Calls of Slack's Web API, no faster than Slack documents.  Each either is
// done, or fails for good (Refused), or as long as something is down.

import bolt from '@slack/bolt';

export const sleep = (/** @type {number} */ ms) => new Promise((done) => setTimeout(done, ms));

/** Slack won't do it, however often it is asked. */
export class Refused extends Error {}

// Answers of Slack's that another time may be others: it is unwell, or the
// configuration is amiss, and an administrator can mend that meanwhile.
const passing = new Set(['internal_error', 'fatal_error', 'service_unavailable', 'request_timeout', 'ratelimited',
	'rate_limited', 'invalid_auth', 'not_authed', 'account_inactive', 'token_revoked', 'token_expired', 'missing_scope',
	'ekm_access_denied']);
const passingInChannel = new Set(['not_in_channel', 'channel_not_found', 'is_archived', 'restricted_action']);

// One every so many seconds, and so many at once after a rest.  A minute then
// has at most 60 / every + burst, a little less than what the tier allows.
const IN_CHANNEL = { every: 1.05, burst: 1 };
const TIER_3 = { every: 1.5, burst: 8 };
/** @type {Record<string, {every: number, burst: number}>} */
const rates = {
	'chat.postMessage': { every: 0.25, burst: 5 },	// of a workspace
	'chat.update': TIER_3, 'conversations.open': TIER_3, 'conversations.history': TIER_3,
};

class Rate {
	/** @param {{every: number, burst: number}} rate @param {number} second */
	constructor({ every, burst }, second) {
		this.every = every * second;
		this.ahead = burst * this.every;
		// nobody knows what was sent before this program was started
		this.next = Date.now() + this.ahead;
	}

	async turn() {
		const now = Date.now();
		this.next = Math.max(this.next, now) + this.every;
		if (this.next - this.ahead > now)
			await sleep(this.next - this.ahead - now);
	}

	/** @param {number} ms */
	hold(ms) { this.next = Math.max(this.next, Date.now() + ms + this.ahead); }
}

export class Slack {
	/** @param {import('./config.js').Config} config */
	constructor(config) {
		this.config = config;
		this.second = 1000 / config.pace;
		/** @type {Map<string, Rate>} */
		this.rates = new Map();
		/** @type {Map<string, string>} */
		this.direct = new Map();
		this.team = '';
		const clientOptions = { slackApiUrl: config.apiUrl, timeout: 20000, retryConfig: { retries: 0 },
			rejectRateLimitedCalls: true };
		// The connection is taken up again for as long as it takes
		const receiver = new bolt.SocketModeReceiver({
			appToken: config.appToken, logLevel: bolt.LogLevel.ERROR, clientPingTimeout: 5000,
			installerOptions: { clientOptions: { ...clientOptions, rejectRateLimitedCalls: false,
				retryConfig: { forever: true, minTimeout: this.second, maxTimeout: 30 * this.second } } },
		});
		this.app = new bolt.App({
			receiver, clientOptions, logLevel: bolt.LogLevel.ERROR,
			authorize: async () => ({ botToken: config.botToken, botId: '', botUserId: '' }),
		});
		this.app.error(async (e) => console.error(`Slack: ${e.message}`));
	}

	async start() {
		for (let wait = 1; !this.team; wait = Math.min(wait * 2, 30))
			try {
				this.team = (await this.call('auth.test', {})).team_id;
			} catch (e) {
				console.error(`Slack cannot be reached: ${/** @type {Error} */ (e).message}`);
				await sleep(wait * this.second);
			}
		await this.app.start();
	}

	/** @param {string} method @param {Record<string, any>} args @returns {Promise<any>} */
	async call(method, args) {
		const inTurn = [[args.channel, method === 'chat.postMessage' && IN_CHANNEL], [method, rates[method]]]
			.filter(([, rate]) => rate).map(([key, rate]) => {
				if (!this.rates.has(key))
					this.rates.set(key, new Rate(rate, this.second));
				return /** @type {Rate} */ (this.rates.get(key));
			});
		for (;;) {
			for (const rate of inTurn)
				await rate.turn();
			try {
				return await this.app.client.apiCall(method, { ...args, token: this.config.botToken });
			} catch (error) {
				const e = /** @type {any} */ (error);
				if (e.code === 'slack_webapi_rate_limited_error') {
					inTurn.forEach((rate) => rate.hold(e.retryAfter * 1000));
					if (inTurn.length === 0)
						await sleep(e.retryAfter * 1000);
				} else if (e.code === 'slack_webapi_platform_error' && !passing.has(e.data.error) &&
					!(args.channel === this.config.channel && passingInChannel.has(e.data.error)))
					throw new Refused(`${method}: ${e.data.error} ${e.data.response_metadata?.messages?.join('; ') ?? ''}`);
				else
					throw e;
			}
		}
	}

	/** The conversation with a person. @param {string} user @returns {Promise<string>} */
	async conversation(user) {
		if (!this.direct.has(user))
			this.direct.set(user, (await this.call('conversations.open', { users: user })).channel.id);
		return /** @type {string} */ (this.direct.get(user));
	}

	/**
	 * Posts, and says where.
	 * @param {string} channel @param {string} nonce @param {{text: string, blocks: any[]}} content
	 * @returns {Promise<string>}
	 */
	async post(channel, nonce, content) {
		return (await this.call('chat.postMessage', { channel, ...content, unfurl_links: false, unfurl_media: false,
			metadata: { event_type: 'jit_access', event_payload: { nonce } } })).ts;
	}

	/**
	 * Where the message is that was posted with that nonce, since a time.
	 * @param {string} channel @param {string} nonce @param {number} since
	 * @returns {Promise<string | undefined>}
	 */
	async find(channel, nonce, since) {
		for (let cursor; cursor !== '';) {
			const page = await this.call('conversations.history', { channel, cursor, limit: 200, include_all_metadata: true,
				// clocks differ
				oldest: String(since / 1000 - 300) });
			const found = page.messages.find((/** @type {any} */ m) => m.metadata?.event_payload?.nonce === nonce);
			if (found)
				return found.ts;
			cursor = page.response_metadata?.next_cursor ?? '';
		}
	}

	/** Identity of whoever sent this. @param {any} body */
	identity(body) {
		return `slack:${body.user?.team_id ?? body.team?.id ?? body.team_id}/${body.user?.id ?? body.user_id}`;
	}
}
