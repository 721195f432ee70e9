// What is shown of a request, and to whom: a function of what the database
// says of it now.  database.js sees to it that Slack has it so.

import { button, fields, fits, note, plain, section, stamp } from './text.js';

/**
 * A request, as jit.pending, jit.history or jit.refused has it.
 * @typedef {{status: string} & Record<string, any>} Request
 *
 * What is to be in Slack: for the channel, or a person.  What is told "once"
 * stays as it was.
 * @typedef {{kind: string, to: string, once: boolean, shows: string, text: string, blocks: any[]}} Wanted
 */

/** @type {Record<string, string>} */
const words = {
	pending: 'waits for approval', active: 'is active', expired: 'has expired', revoked: 'was revoked',
	rejected: 'was rejected', canceled: 'was withdrawn', lapsed: 'has lapsed', gone: 'is not on record any more',
};

/** @param {string} database @param {Request} r @param {string} [rest] */
const title = (database, r, rest) => ({ type: 'header',
	text: plain(`Request ${r.request} in ${database} ${rest ?? words[r.status] ?? r.status}`, 150) });

/** @param {Request} r */
const who = (r) => r.requester + (r.login && r.login !== r.requester ? ` (login ${r.login})` : '') + (r.via ? `, via ${r.via}` : '');

/** Who said what so far. @param {Request} r */
const said = (r) => (r.approved_by ?? []).map((/** @type {string} */ name, /** @type {number} */ i) =>
	name + (r.approved_via?.[i] ? `, via ${r.approved_via[i]}` : '') + (r.comments?.[i] ? `: ${r.comments[i]}` : '')).join('\n');

/** @param {Request} r */
const waits = (r) => [...r.waiting_for, ...r.waiting_for_more > 0 ? [`${r.waiting_for_more} more`] : []].join(', ');

/** @param {Request} r */
function times(r) {
	switch (r.status) {
		case 'pending': return `Lapses ${stamp(r.lapses_at)}.`;
		case 'active': return `Until ${stamp(r.expires_at)}.`;
		case 'expired':
		case 'revoked': return `From ${stamp(r.activated_at)} to ${stamp(r.ended_at)}.`;
		default: return r.decided_at ? `At ${stamp(r.decided_at)}.` : '';
	}
}

/** @param {Request} r */
const details = (r) => [
	...r.access ? [section(r.access)] : [],
	...fields([
		['Asked by', r.requester && who(r)], ['For', r.grantee], ['For how long', r.duration], ['Risk', r.risk], ['Ticket', r.ticket],
		['Step', r.step && `${r.step} of ${r.steps}, ${r.given} of ${r.needed} approvals`],
		['Waits for', r.waiting_for && (waits(r) || 'nobody who could decide')]]),
	...r.reason ? [section(`Reason: ${r.reason}`)] : [],
	...said(r) ? [section(`Approved by ${said(r)}`)] : [],
	...r.decided_by || r.comment ? [section([
		r.decided_by && `Decided by ${r.decided_by}${r.decided_via ? `, via ${r.decided_via}` : ''}`, r.comment].filter(Boolean).join(': '))] : [],
	...r.ended_by ? [section(`Ended or changed by ${r.ended_by}`)] : [],
	...r.until ? [note(`Asked for until ${stamp(r.until)}.`)] : [],
	...times(r) ? [note(times(r))] : [],
];

/** @param {string} database @param {Request} r @param {boolean} mayDecide */
function card(database, r, mayDecide) {
	const value = [database, r.request, r.token];
	const decide = r.status !== 'pending' || !mayDecide ? []
		// nobody approves what they aren't shown
		: !fits(r.access) ? [section('That is longer than can be shown here. ' +
			`Log in to ${database}, look at SELECT * FROM jit_show(${r.request}); and decide there.`)]
		: r.direct ? [section(`This step is decided in the database itself. Log in to ${database} and run:\nSELECT jit_approve(${r.request});`)]
		: [{ type: 'actions', elements: [button('approve', 'Approve', value, 'primary'),
			button('less', 'Approve for less…', value), button('reject', 'Reject…', value, 'danger')] }];
	return [title(database, r), ...details(r), ...decide];
}

/** @param {string} database @param {Request} r @param {string} label */
const again = (database, r, label) => ({ type: 'actions', elements: [button('extend', label, [database, r.request])] });

/** How to ask again, in psql. @param {Request} r */
const call = (r) => section(`In psql: SELECT jit_extend(${r.request}, '1 hour', 'why');`);

/**
 * @param {string} database
 * @param {Request} r
 * @param {{channel: string, linked: string[], deciders: string[], askers: string[], asked: string[], expiring: boolean, remind: boolean}} at
 *   asked: who has a message to decide already, and may be linked no more
 * @returns {Wanted[]}
 */
export function wanted(database, r, { channel, linked, deciders, askers, asked, expiring, remind }) {
	const name = `Request ${r.request}`;
	const text = `${name} ${words[r.status] ?? 'has changed'}`;
	/** @type {(kind: string, to: string, text: string, blocks: any[]) => Wanted} */
	const once = (kind, to, text, blocks) => ({ kind, to, once: true, shows: r.status, text, blocks });
	/** @type {Wanted[]} */
	const all = [{ kind: 'card', to: channel, once: false, shows: r.status, text, blocks: card(database, r, true) }];

	for (const to of new Set([...asked, ...r.status === 'pending' ? deciders : []]))
		all.push({ kind: 'ask', to, once: false, shows: r.status, text, blocks: linked.includes(to) ? card(database, r, deciders.includes(to)) : [title(database, r)] });

	if (r.status === 'pending') {
		if (r.waiting_for.length === 0 && r.waiting_for_more === 0)
			all.push(once('nobody', channel, `Nobody can decide on request ${r.request}`, [
				{ type: 'section', text: { type: 'mrkdwn',
					text: `<!channel> *Nobody can decide on request ${r.request}.* It lapses ${stamp(r.lapses_at)}.` } },
				section(`In ${database}, SELECT * FROM jit_show(${r.request}) says who would have to.`)]));
		else if (remind)
			all.push(once('reminder', channel, `${name} still waits`, [title(database, r, 'still waits'),
				section(`It waits for ${waits(r)}.`), note(times(r))]));
		return all;
	}
	for (const to of askers) {
		if (r.activated_at)
			all.push(once('decision', to, `${name} was approved`, [title(database, r, 'was approved'),
				...details({ ...r, status: 'active', ended_by: null })]));
		if (r.status === 'active' && expiring)
			all.push(once(`expiring ${r.expires_at}`, to, `${name} ends soon`, [title(database, r, 'ends soon'), section(r.access),
				note(times(r)), again(database, r, 'Extend…'), call(r)]));
		else if (r.status !== 'active' && r.status !== 'gone')
			all.push(once('end', to, text, [title(database, r), ...details(r), again(database, r, 'Ask again…'), call(r)]));
	}
	return all;
}
