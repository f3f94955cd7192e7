// The security page's list of events, while it is open. What is told is a type and a time.

const list = document.getElementById('events');
const format = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
let source;

function date(time) {
  const seconds = Number(time.dataset.time);
  time.dateTime = new Date(seconds * 1000).toISOString();
  time.textContent = format.format(seconds * 1000);
}

function add({ data, lastEventId }) {
  if (Number(lastEventId) <= Number(list.dataset.last)) return;
  list.dataset.last = lastEventId;
  const told = JSON.parse(data);
  const item = document.createElement('li');
  const type = document.createElement('code');
  const time = document.createElement('time');
  type.textContent = told.type;
  time.dataset.time = told.time;
  date(time);
  item.append(type, ' ', time);
  list.prepend(item);
}

function watch() {
  source?.close();
  if (document.hidden) return;
  source = new EventSource('/security/events');
  source.onmessage = add;
}

list.querySelectorAll('time').forEach(date);
document.addEventListener('visibilitychange', watch);
watch();
