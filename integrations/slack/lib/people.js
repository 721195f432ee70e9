// What people do: buttons, dialogs, /jit.  Whoever does it is taken by their
// Slack user, and the database says what they may; its answer is for them alone.

import { buttons, note, plain, section, stamp } from './text.js';
import { isAnswer, sentences } from './database.js';
import { sleep } from './slack.js';

const HELP = `/jit – ask for access
/jit status – what you have, what you asked for, and what waits for you
/jit revoke 17 why – end access now
/jit link – let this Slack account act for your database role
/jit help – this`;

const TABLES = `SELECT t.name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		CROSS JOIN LATERAL (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name) t
	WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND NOT c.relispartition
		AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'jit', current_user)
		AND position(lower($1) IN lower(n.nspname || '.' || c.relname)) > 0 AND octet_length(t.name) <= 70
	ORDER BY 1 LIMIT 100`;
const STATUS = `SELECT request, 'waits for ' || coalesce(nullif(array_to_string(waiting_for, ', '), ''),
		'nobody who could decide') AS state, requester, grantee, access, lapses_at AS at, NULL AS token
	FROM jit.pending WHERE kind = 'decision'
	UNION ALL SELECT request, 'is approved, and starts ' || to_char(starts_at, 'YYYY-MM-DD HH24:MI TZ'),
		requester, grantee, access, ends_at, NULL FROM jit.scheduled
	UNION ALL SELECT request, 'is ' || status, requester, grantee, access, expires_at, token
	FROM jit.history WHERE status NOT IN ('expired', 'revoked')
	ORDER BY 1 DESC LIMIT 12`;

/**
 * What is called for a person: of a request, with what a dialog has.
 * @type {Record<string, (request: any, v: any) => any[]>}
 */
const CALLS = {
	approve: (request, v) => ['SELECT jit_approve($1, $2, $3::interval)', request, v.comment, v.duration],
	reject: (request, v) => ['SELECT jit_reject($1, $2)', request, v.comment],
	revoke: (request, v) => ['SELECT jit_revoke($1, $2)', request, v.reason],
	extend: (request, v) => ['SELECT jit_extend($1, $2::interval, $3, $4)', request, v.duration, v.reason, v.ticket],
	ask: (_, v) => ['SELECT jit_request($1, $2::interval, $3, to_timestamp($4), $5)',
		[v.tables?.length && v.privileges?.length && `${v.privileges.join(', ')} ON ${v.tables.join(', ')}`, v.access]
			.filter(Boolean).join('; '), v.until ? null : v.duration, v.reason, v.until, v.ticket],
};

/**
 * @param {string} action_id @param {string} label @param {any} element
 * @param {{optional?: boolean, hint?: string, block_id?: string}} [more]
 */
const input = (action_id, label, element, { optional = false, hint, block_id = action_id } = {}) => ({ type: 'input',
	block_id, label: plain(label, 2000), optional, element: { action_id, ...element },
	...hint && { hint: plain(hint, 2000) } });
const line = { type: 'plain_text_input' };
const lines = { ...line, multiline: true };
const duration = input('duration', 'For how long', { ...line, initial_value: '1 hour' },
	{ optional: true, hint: 'Such as 30 min or 2 hours, or choose until when below' });
const ticket = input('ticket', 'Ticket', line, { optional: true });

/** @param {string} call @param {string} title @param {unknown[]} about @param {any[]} blocks @returns {any} */
const dialog = (call, title, about, blocks) => ({ type: 'modal', callback_id: call, title: plain(title, 24),
	submit: plain('Send', 24), close: plain('Cancel', 24), private_metadata: JSON.stringify(about), blocks });

/** @param {string} title @param {string} text @returns {any} */
const told = (title, text) => ({ type: 'modal', title: plain(title, 24),
	close: plain(title === 'Not done' ? 'Back' : 'Close', 24), blocks: [section(text)] });

/** By the button that opens it. @type {Record<string, (about: any[]) => any>} */
const DIALOGS = {
	less: (about) => dialog('approve', 'Approve for less', about, [section(`Request ${about[1]} in ${about[0]}`),
		input('duration', 'For at most', line, { hint: 'Such as 30 min' }),
		input('comment', 'Comment', lines, { optional: true })]),
	reject: (about) => dialog('reject', 'Reject', about, [section(`Request ${about[1]} in ${about[0]}`),
		input('comment', 'Why not', lines)]),
	extend: (about) => dialog('extend', 'Ask again', about, [section(`What request ${about[1]} in ${about[0]} was for`),
		{ ...duration, hint: plain('Such as 30 min or 2 hours', 2000) },
		input('reason', 'Reason', lines, { optional: true, hint: 'If empty, the one of that request' }), ticket]),
};

/** @param {string[]} names @param {string} database */
function askDialog(names, database) {
	const option = (/** @type {string} */ value) => ({ text: plain(value, 75), value });
	return dialog('ask', 'Ask for access', [database], [
		// reports the choice, as the list of tables depends on it
		{ ...input('database', 'Database', { type: 'static_select', options: names.slice(0, 100).map(option),
			initial_option: option(database) }), dispatch_action: true },
		input('tables', 'Tables', { type: 'multi_external_select', min_query_length: 0,
			placeholder: plain('Type to search', 150) }, { optional: true, block_id: `tables of ${database}` }),
		input('privileges', 'To do what with them', { type: 'multi_static_select', initial_options: [option('SELECT')],
			options: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'].map(option) }, { optional: true }),
		input('access', 'Or in the words of GRANT', line, { optional: true,
			hint: 'Such as SELECT (id, amount) ON hr.salary, or a role. Write names with their schema.' }),
		duration,
		input('until', 'Or until', { type: 'datetimepicker' }, { optional: true }),
		input('reason', 'Reason', lines, { hint: 'Whoever reads the channel reads it.' }),
		ticket,
	]);
}

/** @param {any} view @returns {Record<string, any>} */
const values = (view) => Object.fromEntries(Object.values(view.state.values).flatMap((block) =>
	Object.entries(/** @type {Record<string, any>} */ (block)).map(([id, v]) => [id, v.selected_options?.map(
		(/** @type {any} */ o) => o.value) ?? v.selected_option?.value ?? v.selected_date_time ?? v.value])));

/** What went wrong, in the database's words. @param {any} e */
function wrong(e) {
	if (isAnswer(e))
		return sentences(e);
	console.error(e);
	return 'The database, or Slack, cannot be reached now. Whether that was done, the request\'s card and /jit status ' +
		'will show once it can be; try again then.';
}

/**
 * @param {import('./slack.js').Slack} slack
 * @param {Map<string, import('./database.js').Database>} databases
 */
export function answer(slack, databases) {
	const { app } = slack;
	const names = [...databases.keys()];

	/** @param {string} name */
	const database = (name) => databases.get(name) ?? (() => {
		throw Object.assign(new Error(`There is no database ${name} here, but ${names.join(', ')}.`),
			{ code: '3D000', severity: 'ERROR' });
	})();

	/** What the database says to it. @param {any} body @param {string} call @param {any[]} about @param {any} v */
	async function act(body, call, [name, request, token = null], v) {
		const [sql, ...args] = CALLS[call](request, v);
		return (await database(name).actFor(slack.identity(body), token, sql, args.map((arg) => arg ?? null))).said;
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
		try {
			if (action_id === 'approve')
				await alone(respond, await act(body, 'approve', about, {}));
			else
				await open(body, DIALOGS[action_id](about));
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
		// whoever isn't linked learns of no table
		const { rows } = await Promise.resolve().then(() => database(block_id.replace(/^tables of /, ''))
			.actFor(slack.identity(body), null, TABLES, [value ?? ''])).catch((e) => {
			console.error(wrong(e));
			return { rows: [] };
		});
		await ack({ options: rows.map((r) => ({ text: plain(r.name, 75), value: r.name })) });
	});

	// a dialog is answered with what the database says; Slack waits three seconds
	app.view(/^(approve|reject|extend|ask)$/, async ({ ack, body, view }) => {
		const v = values(view);
		const about = JSON.parse(view.private_metadata);
		const result = act(body, view.callback_id, v.database ? [v.database] : about, v).then(
			(text) => told('Done', text), (e) => told('Not done', wrong(e)));
		const soon = await Promise.race([result, sleep(2300)]);
		if (soon)
			// from an error, back to what was typed
			return ack({ response_action: soon.title.text === 'Done' ? 'update' : 'push', view: soon });
		await ack({ response_action: 'update',
			view: told('Still at it', 'The database takes its time; what it says will be shown here.') });
		await slack.call('views.update', { view_id: view.id, view: await result });
	});

	/** @type {Record<string, (body: any, respond: any, args: string[]) => Promise<any>>} */
	const commands = {
		'': (body) => open(body, askDialog(names, names[0])),

		help: (_, respond) => alone(respond, HELP),

		async link(body, respond, [name = names[0]]) {
			const [{ code }] = await database(name).query('SELECT jit_offer_identity($1) AS code', [slack.identity(body)]);
			await alone(respond, `Log in to ${name} as yourself, and run this within ten minutes. ` +
				`Show it to nobody: it is for this Slack account.\n\nSELECT jit_link_identity('${code}');`);
		},

		async revoke(body, respond, args) {
			const name = databases.has(args[0]) ? /** @type {string} */ (args.shift()) : names[0];
			const [request, ...reason] = args;
			await alone(respond, /^[0-9]{1,9}$/.test(request ?? '')
				? await act(body, 'revoke', [name, Number(request)], { reason: reason.join(' ') || null })
				: `Say which request: /jit revoke ${names.length > 1 ? `${name} ` : ''}17 why`);
		},

		async status(body, respond) {
			const blocks = [];
			for (const name of names) {
				const rows = await database(name).actFor(slack.identity(body), null, STATUS, []).then((r) => r.rows, wrong);
				blocks.push(section(name), ...typeof rows === 'string' ? [section(rows)]
					: rows.length === 0 ? [section('Nothing is pending or active.')]
					: rows.flatMap((r) => [
						section(`Request ${r.request} ${r.state}; ${r.grantee}` +
							`${r.requester !== r.grantee ? `, asked by ${r.requester}` : ''}\n${r.access}`),
						note(`Until ${stamp(r.at)}`),
						...r.token ? [buttons(['extend', 'Extend…', [name, r.request, r.token]])] : []]));
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
