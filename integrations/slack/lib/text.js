// What comes from the database is text to Slack, never markup: it goes into
// plain_text only, with the three characters escaped that Slack takes for
// control characters, and cut to what a block holds.  Nothing else may put it
// into a message; the one mrkdwn text, stamp(), has numbers and our own words.

/** @param {unknown} value @param {number} [most] @returns {{type: 'plain_text', text: string, emoji: boolean}} */
export function plain(value, most = 3000) {
	return { type: 'plain_text', text: escaped(String(value ?? ''), most) || '–', emoji: false };
}

/** @param {string} text @param {number} most */
export function escaped(text, most) {
	let out = '';
	// by characters: neither a surrogate pair nor an entity is cut
	for (const c of text) {
		const next = c === '&' ? '&amp;' : c === '<' ? '&lt;' : c === '>' ? '&gt;' : c === '\u0000' ? '' : c;
		if (out.length + next.length > most - 1)
			return out + '…';
		out += next;
	}
	return out;
}

/** Is it shown whole? @param {string} text */
export const fits = (text) => escaped(text, 6 * text.length + 1).length < 3000;

/** A time, as each reader's own clock has it. @param {string} time */
export function stamp(time) {
	const at = new Date(time);
	if (Number.isNaN(at.getTime()))
		return 'an unknown time';
	const iso = at.toISOString().replace('T', ' ').slice(0, 19);
	return `<!date^${Math.floor(at.getTime() / 1000)}^{date_short_pretty} {time_secs}|${iso} UTC>`;
}

/** @param {unknown} value */
export const section = (value) => ({ type: 'section', text: plain(value) });

/** @param {string} words our own, with stamps */
export const note = (words) => ({ type: 'context', elements: [{ type: 'mrkdwn', text: words }] });

/** Pairs of label and value; those without a value are left out. @param {[string, unknown][]} pairs */
export function fields(pairs) {
	const shown = pairs.filter(([, value]) => (value ?? '') !== '').slice(0, 10)
		.map(([label, value]) => plain(`${label}: ${value}`, 2000));
	return shown.length === 0 ? [] : [{ type: 'section', fields: shown }];
}

/** Buttons in a row. @param {[id: string, label: string, value: unknown[], style?: string][]} all */
export const buttons = (...all) => ({ type: 'actions', elements: all.map(([action_id, label, value, style]) => (
	{ type: 'button', action_id, text: plain(label, 75), value: JSON.stringify(value), ...style && { style } })) });
