// @ts-check
// Words of the product in the chosen language, plurals and times by Intl; foreign values stand in <bdi>.
import {bdi, h} from './dom.js';

const HOLE = /\{(\w+)\}/;

/**
 * Words of one language. A text is a string with holes `{name}` and **strong** parts, or an object of plural
 * forms chosen by `n`: `{one: '{n} device', other: '{n} devices'}`.
 */
export class Text {
  /**
   * @param {string} language such as `de`, of which words there are
   * @param {Record<string, Record<string, any>>} words by screen, then by name
   * @param {string} locale such as `de-CH`: how numbers and times are written
   */
  constructor(language, words, locale = language) {
    this.language = language;
    this.locale = locale;
    /** Of the language: both that there are run from left to right. */
    this.direction = 'ltr';
    this.words = words;
    this.plural = new Intl.PluralRules(language);
    this.t = this.t.bind(this);
    this.say = this.say.bind(this);
  }

  /**
   * The nodes of a text, with each value in its own <bdi>. A value that is a node stands as it is.
   * @param {string} key `screen.name`
   * @param {Record<string, any>} [values]
   * @returns {Node[]}
   */
  t(key, values = {}) {
    return this.#of(key, values).split('**').flatMap((part, index) => {
      const nodes = filled(part, values);
      return index % 2 ? [h('strong', null, ...nodes)] : nodes;
    });
  }

  /**
   * A text as a plain string: for titles, `aria-label` and what is spoken.
   * @param {string} key `screen.name`
   * @param {Record<string, any>} [values]
   */
  say(key, values = {}) {
    const parts = this.#of(key, values).replaceAll('**', '').split(HOLE);
    return parts.map((part, index) => (index % 2 ? isolated(values[part]) : part)).join('');
  }

  /** @param {string} key */
  has(key) { return this.#find(key) !== undefined; }

  /**
   * A moment, such as `14:32`, `yesterday 14:32` or `3 March 2026`.
   * @param {number | Date} when milliseconds since 1970, or a date
   * @param {number} [now] milliseconds since 1970
   */
  when(when, now = Date.now()) {
    const date = new Date(when);
    const time = new Intl.DateTimeFormat(this.locale, {timeStyle: 'short'}).format(date);
    const days = Math.round((midnight(date) - midnight(new Date(now))) / 864e5);
    if (days === 0) return time;
    if (Math.abs(days) === 1) {
      return `${new Intl.RelativeTimeFormat(this.locale, {numeric: 'auto'}).format(days, 'day')} ${time}`;
    }
    return this.date(date);
  }

  /**
   * A day, such as `3 March 2026`.
   * @param {number | Date} when
   */
  date(when) { return new Intl.DateTimeFormat(this.locale, {dateStyle: 'long'}).format(new Date(when)); }

  /**
   * How long ago in whole days: `today`, `3 days ago`.
   * @param {number | Date} when
   * @param {number} [now]
   */
  ago(when, now = Date.now()) {
    const days = Math.round((midnight(new Date(when)) - midnight(new Date(now))) / 864e5);
    return new Intl.RelativeTimeFormat(this.locale, {numeric: 'auto'}).format(days, 'day');
  }

  /**
   * A span as minutes and seconds, `1:12`.
   * @param {number} seconds
   */
  span(seconds) {
    const whole = Math.max(0, Math.ceil(seconds));
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
  }

  /**
   * A span in its largest unit, `2 min`.
   * @param {number} seconds
   */
  minutes(seconds) {
    const [n, unit] = seconds < 60 ? [seconds, 'second'] : seconds < 5400 ? [seconds / 60, 'minute'] : [seconds / 3600, 'hour'];
    return new Intl.NumberFormat(this.locale, {style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: 0}).format(n);
  }

  /** @param {string} key */
  #find(key) {
    const [screen, name] = key.split('.');
    return this.words[screen]?.[name];
  }

  /**
   * @param {string} key
   * @param {Record<string, any>} values
   * @returns {string}
   */
  #of(key, values) {
    const found = this.#find(key);
    if (found === undefined) throw new RangeError(`no text ${key}`);
    return typeof found === 'string' ? found : found[this.plural.select(values.n)] ?? found.other;
  }
}

/**
 * @param {string} text
 * @param {Record<string, any>} values
 * @returns {Node[]}
 */
function filled(text, values) {
  return text.split(HOLE).map((part, index) => {
    if (index % 2 === 0) return document.createTextNode(part);
    const value = values[part];
    return value instanceof Node ? value : bdi(value);
  });
}

/** First-strong isolates do in a string what <bdi> does in the page. @param {unknown} value */
const isolated = (value) => `\u2068${String(value ?? '').replace(/[\u2066-\u2069\u202a-\u202e]/g, '')}\u2069`;

/** @param {Date} date */
const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

/**
 * The language that a browser asks for among those there are, English otherwise.
 * @param {readonly string[]} wanted such as `navigator.languages`
 * @param {string[]} there
 */
export function choose(wanted, there) {
  const found = wanted.find((each) => there.includes(each.split('-')[0]));
  return {language: found?.split('-')[0] ?? 'en', locale: found ?? 'en'};
}
