// Shows messages as they are sent: asks each second while somebody looks. Text nodes alone.
const EVERY = 1000;
const COPIED = 2000;
const CODE = /\b\d{6,8}\b/;
const token = new URLSearchParams(location.search).get('token') ?? '';
const [list, empty, state] = ['messages', 'empty', 'state'].map((id) => document.getElementById(id));
const time = new Intl.DateTimeFormat(undefined, {timeStyle: 'medium'});
const CHANNELS = {SMS: 'Text message', VOICE: 'Call'};
let seen = 0;
let first = true;
let asking = false;

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** The text with its code marked. */
function marked(text) {
  const found = CODE.exec(text);
  if (!found) return [text];
  return [text.slice(0, found.index), make('mark', '', found[0]), text.slice(found.index + found[0].length)];
}

function copyButton(text) {
  const code = CODE.exec(text)?.[0];
  const label = code ? 'Copy code' : 'Copy';
  const made = make('button', '', label);
  made.type = 'button';
  made.addEventListener('click', async () => {
    const done = await navigator.clipboard.writeText(code ?? text).then(() => true, () => false);
    made.textContent = done ? 'Copied' : 'Not copied';
    setTimeout(() => { made.textContent = label; }, COPIED);
  });
  return made;
}

function shown({time: sent, to, channel, body}) {
  const when = make('time', '', time.format(new Date(sent)));
  when.dateTime = sent;
  return make('li', first ? '' : 'new',
    make('div', '',
      make('p', 'told', make('span', 'to', make('bdi', '', to)), make('span', '', CHANNELS[channel] ?? channel), when),
      make('p', 'body', ...marked(body))),
    copyButton(body));
}

async function ask() {
  if (document.hidden || asking) return;
  asking = true;
  try {
    await take();
  } finally {
    asking = false;
  }
}

async function take() {
  const answer = await fetch(`/dev/messages/list?token=${encodeURIComponent(token)}&after=${seen}`, {cache: 'no-store'});
  if (!answer.ok) throw new Error(String(answer.status));
  const {messages} = await answer.json();
  seen = messages[0]?.position ?? seen;
  list.prepend(...messages.map(shown));
  while (list.children.length > 100) list.lastElementChild.remove();
  empty.hidden = list.children.length > 0;
  first = false;
}

async function go() {
  try {
    await ask();
    state.textContent = 'Live';
    state.className = '';
  } catch {
    // Started anew it has another token, and another link.
    state.textContent = 'The service is away: use the link of its next start';
    state.className = 'lost';
  }
  setTimeout(go, EVERY);
}
document.addEventListener('visibilitychange', () => { ask().catch(() => {}); });
go();
