// What people do: buttons, dialogs, /jit.  Whoever does it is taken by their
// Slack user, and the database says what they may; its answer is for them alone.

import { button, note, plain, section, stamp } from './text.js';
import { sentences } from './database.js';

/** @typedef {import('./database.js').Database} Database */

const HELP = `/jit – ask for access
/jit status – what you have, what you asked for, and what waits for you
/jit revoke 17 why – end access now
/jit link – let this Slack account act for your database role
/jit help – this`;

/** @param {string} action_id @param {string} label @param {any} element @param {{optional?: boolean, hint?: string, block_id?: string}} [more] */
const input = (action_id, label, element, { optional = false, hint, block_id = action_id } = {}) =>
	({ type: 'input', block_id, label: plain(label, 2000), optional, element: { action_id, ...element }, ...hint ? { hint: plain(hint, 2000) } : {} });
const line = (/** @type {string} */ initial_value = '') => ({ type: 'plain_text_input', ...initial_value ? { initial_value } : {} });
const lines = { type: 'plain_text_input', multiline: true };

/** @param {string} callback_id @param {string} title @param {unknown} about @param {any[]} blocks @returns {any} */
const dialog = (callback_id, title, about, blocks) => ({ type: 'modal', callback_id, title: plain(title, 24),
	submit: plain('Send', 24), close: plain('Cancel', 24),
	private_metadata: JSON.stringify(about), blocks });

/** @param {string} title @param {string} text @returns {any} */
const told = (title, text) => ({ type: 'modal', title: plain(title, 24),
	close: plain(title === 'Not done' ? 'Back' : 'Close', 24), blocks: [section(text)] });

const duration = input('duration', 'For how long', line('1 hour'), { optional: true, hint: 'Such as 30 min or 2 hours, or choose until when below' });
const comment = (/** @type {boolean} */ optional) => input('comment', optional ? 'Comment' : 'Why not', lines, { optional });

/** @param {string[]} names @param {string} database */
function askDialog(names, database) {
	const option = (/** @type {string} */ value) => ({ text: plain(value, 75), value });
	const list = names.slice(0, 100).map(option);
	return dialog('ask', 'Ask for access', [database], [
		// reports the choice, as the list of tables depends on it
		{ ...input('database', 'Database', { type: 'static_select', options: list, initial_option: option(database) }), dispatch_action: true },
		input('tables', 'Tables', { type: 'multi_external_select', min_query_length: 0,
			placeholder: plain('Type to search', 150) }, { optional: true, block_id: `tables of ${database}` }),
		input('privileges', 'To do what with them', { type: 'multi_static_select', initial_options: [option('SELECT')],
			options: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'].map(option) }, { optional: true }),
		input('access', 'Or in the words of GRANT', line(), { optional: true,
			hint: 'Such as SELECT (id, amount) ON hr.salary, or a role. Write names with their schema.' }),
		duration,
		input('until', 'Or until', { type: 'datetimepicker' }, { optional: true }),
		input('reason', 'Reason', lines, { hint: 'Whoever reads the channel reads it.' }),
		input('ticket', 'Ticket', line(), { optional: true }),
	]);
}

/** @param {any} view @returns {Record<string, any>} */
function values(view) {
	/** @type {Record<string, any>} */
	const found = {};
	for (const block of Object.values(view.state.values))
		for (const [id, v] of Object.entries(/** @type {Record<string, any>} */ (block)))
			found[id] = v.selected_options?.map((/** @type {any} */ o) => o.value) ?? v.selected_option?.value ?? v.selected_date_time ?? v.value ?? null;
	return found;
}

/**
 * @param {import('./slack.js').Slack} slack
 * @param {Map<string, Database>} databases
 */
export function answer(slack, databases) {
	const { app } = slack;
	const names = [...databases.keys()];

	/** @param {string} name @returns {Database} */
	function database(name) {
		const found = databases.get(name);
		if (!found)
			throw new Error(`There is no database ${name} here, but ${names.join(', ')}.`);
		return found;
	}

	/** What went wrong, in the database's words. @param {unknown} error */
	function wrong(error) {
		const e = /** @type {any} */ (error);
		if (/^[0-9A-Z]{5}$/.test(e.code ?? '') && e.severity)
			return sentences(e);
		if (!e.code && e.message.startsWith('There is no'))
			return e.message;
		console.error(e);
		return 'The database cannot be reached now. Whether that was done, the request\'s card and /jit status will show once it can be; try again then.';
	}

	/** For whoever acted alone. @param {any} respond @param {string} text @param {any[]} [blocks] */
	const alone = (respond, text, blocks = [section(text)]) =>
		respond({ response_type: 'ephemeral', replace_original: false, text: 'jit_access', blocks });

	/** @param {any} body @param {any} view */
	const open = (body, view) => slack.call('views.open', { trigger_id: body.trigger_id, view });

	app.action(/^(approve|less|reject|extend)$/, async ({ ack, action, body, respond }) => {
		await ack();
		const { action_id, value } = /** @type {any} */ (action);
		const about = JSON.parse(value);
		const [name, request, token] = about;
		try {
			if (action_id === 'approve') {
				const { notices } = await database(name).actFor(slack.identity(body), token, 'SELECT jit_approve($1)', [request]);
				await alone(respond, notices.join('\n') || `You have approved request ${request}.`);
			} else if (action_id === 'less')
				await open(body, dialog('less', 'Approve for less', about, [section(`Request ${request} in ${name}`),
					input('duration', 'For at most', line(), { hint: 'Such as 30 min' }), comment(true)]));
			else if (action_id === 'reject')
				await open(body, dialog('reject', 'Reject', about, [section(`Request ${request} in ${name}`), comment(false)]));
			else
				await open(body, dialog('extend', 'Ask again', about, [section(`What request ${request} in ${name} was for`), duration,
					input('reason', 'Reason', lines, { optional: true, hint: 'If empty, the one of that request' }), input('ticket', 'Ticket', line(), { optional: true })]));
		} catch (e) {
			await alone(respond, wrong(e));
		}
	});

	app.action('database', async ({ ack, action, body }) => {
		await ack();
		const { view } = /** @type {any} */ (body);
		await slack.call('views.update', { view_id: view.id, hash: view.hash,
			view: askDialog(names, /** @type {any} */ (action).selected_option.value) });
	});

	app.options('tables', async ({ ack, body, payload }) => {
		const { block_id, value } = /** @type {any} */ (payload);
		/** @type {any[]} */
		let rows = [];
		try {
			// whoever isn't linked learns of no table
			rows = (await database(block_id.replace(/^tables of /, '')).actFor(slack.identity(body), null,
				`SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
				WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'jit', current_user)
					AND position(lower($1) IN lower(n.nspname || '.' || c.relname)) > 0
					AND octet_length(quote_ident(n.nspname) || '.' || quote_ident(c.relname)) <= 70
				ORDER BY 1 LIMIT 100`, [value ?? ''])).rows;
		} catch (e) {
			console.error(wrong(e));
		}
		await ack({ options: rows.map((r) => ({ text: plain(r.name, 75), value: r.name })) });
	});

	/**
	 * Answers a dialog with what the database says; Slack waits three seconds.
	 * @param {any} args @param {(about: any[], v: Record<string, any>, identity: string) => Promise<string>} act
	 */
	async function submitted({ ack, body, view }, act) {
		const result = act(JSON.parse(view.private_metadata), values(view), slack.identity(body)).then(
			(text) => ({ text, failed: false }), (e) => ({ text: wrong(e), failed: true }));
		const soon = await Promise.race([result, new Promise((done) => setTimeout(() => done(null), 2300))]);
		if (soon)
			// from an error, back to what was typed
			return ack(soon.failed ? { response_action: 'push', view: told('Not done', soon.text) }
				: { response_action: 'update', view: told('Done', soon.text) });
		await ack({ response_action: 'update', view: told('Still at it', 'The database takes its time; what it says will be shown here.') });
		const { text, failed } = await result;
		await slack.call('views.update', { view_id: view.id, view: told(failed ? 'Not done' : 'Done', text) });
	}

	app.view('less', (args) => submitted(args, async ([name, request, token], v, identity) =>
		(await database(name).actFor(identity, token, 'SELECT jit_approve($1, $2, $3::interval)', [request, v.comment, v.duration]))
			.notices.join('\n') || `You have approved request ${request}.`));

	app.view('reject', (args) => submitted(args, async ([name, request, token], v, identity) => {
		await database(name).actFor(identity, token, 'SELECT jit_reject($1, $2)', [request, v.comment]);
		return `You have rejected request ${request}.`;
	}));

	app.view('extend', (args) => submitted(args, async ([name, request], v, identity) => {
		const { rows, notices } = await database(name).actFor(identity, null, 'SELECT jit_extend($1, $2::interval, $3, $4) AS request',
			[request, v.duration, v.reason, v.ticket]);
		return notices.join('\n') || `That is request ${rows[0].request}.`;
	}));

	app.view('ask', (args) => submitted(args, async (_, v, identity) => {
		const chosen = v.tables?.length && v.privileges?.length && `${v.privileges.join(', ')} ON ${v.tables.join(', ')}`;
		const access = [chosen, v.access].filter(Boolean).join('; ');
		const { rows, notices } = await database(v.database).actFor(identity, null,
			'SELECT jit_request($1, $2::interval, $3, to_timestamp($4), $5) AS request',
			[access, v.until ? null : v.duration, v.reason, v.until, v.ticket]);
		return notices.join('\n') || `That is request ${rows[0].request}.`;
	}));

	/** @type {Record<string, (body: any, respond: any, args: string[]) => Promise<any>>} */
	const commands = {
		'': (body) => open(body, askDialog(names, names[0])),

		help: (_, respond) => alone(respond, HELP),

		async link(body, respond, [name = names[0]]) {
			const [{ code }] = await database(name).query('SELECT jit_offer_identity($1) AS code', [slack.identity(body)]);
			await alone(respond, `Log in to ${name} as yourself, and run this within ten minutes. Show it to nobody: it is for this Slack account.\n\n` +
				`SELECT jit_link_identity('${code}');`);
		},

		async revoke(body, respond, args) {
			const name = databases.has(args[0]) ? /** @type {string} */ (args.shift()) : names[0];
			const [request, ...reason] = args;
			if (!/^[0-9]{1,9}$/.test(request ?? ''))
				return alone(respond, `Say which request: /jit revoke ${names.length > 1 ? `${name} ` : ''}17 why`);
			const { notices } = await database(name).actFor(slack.identity(body), null, 'SELECT jit_revoke($1, $2)', [Number(request), reason.join(' ') || null]);
			await alone(respond, [`Access of request ${request} in ${name} has ended.`, ...notices].join('\n'));
		},

		async status(body, respond) {
			const blocks = [];
			for (const name of names) {
				blocks.push(section(name));
				try {
					const { rows } = await database(name).actFor(slack.identity(body), null,
						`SELECT request, 'waits for ' || coalesce(nullif(array_to_string(waiting_for, ', '), ''), 'nobody who could decide') AS state,
							requester, grantee, access, lapses_at AS at
						FROM jit.pending WHERE kind = 'decision'
						UNION ALL SELECT request, 'active', requester, grantee, access, expires_at FROM jit.history WHERE status = 'active'
						ORDER BY 1 DESC LIMIT 12`, []);
					for (const r of rows)
						blocks.push(section(`Request ${r.request}, ${r.state}; ${r.grantee}${r.requester !== r.grantee ? `, asked by ${r.requester}` : ''}\n${r.access}`),
							note(`Until ${stamp(r.at)}`),
							...r.state === 'active' ? [{ type: 'actions', elements: [button('extend', 'Extend…', [name, r.request])] }] : []);
					if (rows.length === 0)
						blocks.push(section('Nothing is pending or active.'));
				} catch (e) {
					blocks.push(section(wrong(e)));
				}
			}
			await alone(respond, '', blocks.slice(0, 50));
		},
	};

	app.command(/.*/, async ({ ack, command, body, respond }) => {
		await ack();
		const [word, ...args] = command.text.trim().split(/\s+/);
		try {
			await (Object.hasOwn(commands, word) ? commands[word] : commands.help)(body, respond, args);
		} catch (e) {
			await alone(respond, wrong(e));
		}
	});
}
