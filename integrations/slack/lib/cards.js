// What is shown of a request, and to whom: a function of what the database
// says of it now.  database.js sees to it that Slack has it so.

import { buttons, fields, fits, note, plain, section, stamp } from './text.js';

/**
 * A request, as jit.pending, jit.history or jit.refused has it.
 * @typedef {{status: string} & Record<string, any>} Request
 *
 * What is to be in Slack: for the channel, or a person.  What is told "once"
 * stays as it was.
 * @typedef {{kind: string, to: string, once: boolean, shows: string, text: string, blocks: any[]}} Wanted
 */

/** @type {Record<string, string>} */
const ENDED = { expired: 'has expired', revoked: 'was revoked', rejected: 'was rejected', canceled: 'was withdrawn',
	lapsed: 'has lapsed', gone: 'is not on record any more' };
/** @type {Record<string, string>} */
const WORDS = { pending: 'waits for approval', scheduled: 'is approved, to start later', active: 'is active', ...ENDED };

/** Whatever has another status may still change. @param {string} status */
export const isOver = (status) => Object.hasOwn(ENDED, status);

/** What isn't known here, as it is called. @param {string} name */
const called = (name) => name.replace(/[^A-Za-z0-9]+/g, ' ').slice(0, 60);

/** @param {Request} r */
const state = (r) => WORDS[r.status] ?? `is ${called(r.status)}`;

/** @param {string} database @param {Request} r @param {string} [rest] */
const title = (database, r, rest = state(r)) =>
	({ type: 'header', text: plain(`Request ${r.request} in ${database} ${rest}`, 150) });

/**
 * Somebody, the account they used, and what they said.
 * @param {string} name @param {string} [via] @param {string} [words]
 */
const by = (name, via, words) => name + (via ? `, via ${via}` : '') + (words ? `: ${words}` : '');

/** @param {Request} r */
const waits = (r) => [...r.waiting_for, ...r.waiting_for_more > 0 ? [`${r.waiting_for_more} more`] : []].join(', ');

/** @param {Request} r */
const times = (r) => r.status === 'pending' ? `Lapses ${stamp(r.lapses_at)}.`
	: r.starts_at ? `From ${stamp(r.starts_at)} to ${stamp(r.ends_at)}.`
	: r.ended_at ? `From ${stamp(r.activated_at)} to ${stamp(r.ended_at)}.`
	: r.expires_at ? `Until ${stamp(r.expires_at)}.`
	: r.decided_at ? `At ${stamp(r.decided_at)}.` : '';

/** @param {Request} r */
const details = (r) => [
	...r.access ? [section(r.access)] : [],
	...fields([
		['Asked by', r.requester &&
			by(r.requester + (r.login && r.login !== r.requester ? ` (login ${r.login})` : ''), r.via)],
		['For', r.grantee], ['For how long', r.duration], ['Risk', r.risk], ['Emergency', r.emergency && (r.verdict ?? 'not reviewed yet') || null], ['Ticket', r.ticket],
		['Step', r.step && `${r.step} of ${r.steps}, ${r.given} of ${r.needed} approvals`],
		['Waits for', r.waiting_for && (waits(r) || 'nobody who could decide')]]),
	...r.reason ? [section(`Reason: ${r.reason}`)] : [],
	...r.approved_by?.length ? [section(`Approved by ${r.approved_by.map((/** @type {string} */ name,
		/** @type {number} */ i) => by(name, r.approved_via?.[i], r.comments?.[i])).join('\n')}`)] : [],
	...r.decided_by ? [section(`Decided by ${by(r.decided_by, r.decided_via, r.comment)}`)]
		: r.comment ? [section(r.comment)] : [],
	...r.ended_by ? [section(`Ended or changed by ${r.ended_by}`)] : [],
	...r.start ? [note(`Asked for from ${stamp(r.start)}.`)] : [],
	...r.until ? [note(`Asked for until ${stamp(r.until)}.`)] : [],
	...times(r) ? [note(times(r))] : [],
];

/** @param {string} database @param {Request} r @param {boolean} mayDecide */
function card(database, r, mayDecide) {
	const value = [database, r.request, r.token];
	return [title(database, r), ...details(r), ...r.status !== 'pending' || !mayDecide ? []
		// nobody approves what they aren't shown
		: !fits(r.access) || r.statement ? [section('That is more than can be shown here. ' +
			`Log in to ${database}, look at SELECT * FROM jit_show(${r.request}); and decide there.`)]
		: r.direct ? [section('This step is decided in the database itself. ' +
			`Log in to ${database} and run:\nSELECT jit_approve(${r.request});`)]
		: [buttons(['approve', 'Approve', value, 'primary'], ['less', 'Approve for less…', value],
			['reject', 'Reject…', value, 'danger'])]];
}

/** How to ask again. @param {string} database @param {Request} r @param {string} label */
const again = (database, r, label) => [buttons(['extend', label, [database, r.request, r.token]]),
	section(`In psql: SELECT jit_extend(${r.request}, '1 hour', 'why');`)];

/**
 * @param {string} database
 * @param {Request} r
 * @param {object} at
 * @param {string} at.channel
 * @param {string[]} at.linked accounts
 * @param {string[]} at.deciders of them
 * @param {string[]} at.askers who is told of what became of it
 * @param {string[]} at.asked who has a message to decide already, and may be linked no more
 * @param {string[]} at.events that want more than the card: "expiring", and those of no name known here
 * @param {boolean} at.remind
 */
export function wanted(database, r, { channel, linked, deciders, askers, asked, events, remind }) {
	const name = `Request ${r.request}`;
	const text = `${name} ${state(r)}`;
	const pending = r.status === 'pending';
	/** @type {Wanted[]} */
	const all = [];
	/** @type {(kind: string, to: string, once: boolean, text: string, blocks: any[]) => void} */
	const want = (kind, to, once, text, blocks) => { all.push({ kind, to, once, shows: r.status, text, blocks }); };

	want('card', channel, false, text, card(database, r, true));
	for (const to of new Set([...asked, ...pending ? deciders : []]))
		want('ask', to, false, text,
			linked.includes(to) ? card(database, r, deciders.includes(to)) : [title(database, r)]);
	if (r.emergency)
		want('emergency', channel, true, `${name} is an emergency`, [
			{ type: 'section', text: { type: 'mrkdwn', text: `<!channel> *Somebody has broken the glass: request ${r.request}.*` } },
			title(database, r), ...details(r), section('Its review is decided in the database itself. ' +
				`Log in to ${database}, look at SELECT * FROM jit_show(${r.request}); and run SELECT jit_review(…);`)]);
	for (const event of events.filter((e) => e !== 'expiring' && e !== 'glass_broken')) {
		const words = `has an event: ${called(event)}`;
		want(`event ${event}`, channel, true, `${name} ${words}`, [title(database, r, words), ...details(r)]);
	}
	if (pending && r.waiting_for.length === 0 && r.waiting_for_more === 0)
		want('nobody', channel, true, `Nobody can decide on request ${r.request}`, [
			{ type: 'section', text: { type: 'mrkdwn',
				text: `<!channel> *Nobody can decide on request ${r.request}.* It lapses ${stamp(r.lapses_at)}.` } },
			section(`In ${database}, SELECT * FROM jit_show(${r.request}) says who would have to.`)]);
	else if (pending && remind)
		want('reminder', channel, true, `${name} still waits`, [title(database, r, 'still waits'),
			section(`It waits for ${waits(r)}.`), note(times(r))]);

	const given = r.approved_by?.length ? 'was approved' : WORDS.active;
	for (const to of pending || r.status === 'gone' ? [] : askers) {
		if (r.activated_at)
			want('decision', to, true, `${name} ${given}`, [title(database, r, given),
				...details({ ...r, ended_at: null, ended_by: null })]);
		if (isOver(r.status))
			want('end', to, true, text, [title(database, r), ...details(r), ...again(database, r, 'Ask again…')]);
		else if (r.status !== 'active')
			want(`is ${r.status}`, to, true, text, [title(database, r), ...details(r)]);
		else if (events.includes('expiring'))
			want(`expiring ${r.expires_at}`, to, true, `${name} ends soon`, [title(database, r, 'ends soon'),
				section(r.access), note(times(r)), ...again(database, r, 'Extend…')]);
	}
	return all;
}
