// @ts-check
// Reads a QR code: by the camera, from an image, or as a pasted link. What was read is decided about here.
import {fill, h, icon} from '../base/dom.js';
import {readScanned} from '../core/otpauth.js';
import {Decoder, DecoderError} from '../part/decoder.js';
import {button, field, note, screen} from '../part/screen.js';

/** Longest side of what is decoded, pixels: larger finds nothing more, and costs more. */
const SIDE = 1024;
/** Images are tried at these, the largest first. */
const SIDES = [2048, 1024, 512];
const PAUSE = 120;
/** An image that takes longer is not tried again smaller. */
const LONG = 5000;

/** @param {any} app */
export default function scan(app) {
  const {t, say} = app.text;
  const told = h('div', {role: 'status'});
  const video = /** @type {HTMLVideoElement} */ (h('video', {muted: true, playsInline: true, 'aria-label': say('scan.view')}));
  const view = h('div', {class: 'finder', hidden: true}, video, h('div', {class: 'corners', 'aria-hidden': 'true'}));
  const aim = h('p', {class: 'muted center', hidden: true}, t('scan.aim'));
  const light = button([icon('light', 'icon small'), t('scan.light')], () => camera.light(), 'quiet wide');
  light.hidden = true;
  const file = /** @type {HTMLInputElement} */ (h('input', {type: 'file', accept: 'image/*', class: 'unseen', tabIndex: -1, 'aria-label': say('scan.image')}));
  const link = /** @type {HTMLInputElement} */ (h('input', {type: 'text', inputMode: 'url', autocomplete: 'off', spellcheck: false, maxLength: 4096}));
  const pasted = field({label: t('scan.link')}, link);
  const form = h('form', {class: 'stack', hidden: true, noValidate: true}, pasted, h('button', {class: 'button main wide', type: 'submit'}, t('common.goOn')));
  const begin = button([icon('scan', 'icon small'), t('scan.begin')], () => camera.begin(), 'main wide');
  const made = screen({text: app.text, title: t('scan.title'), back: '#/codes'}, begin, view, aim, told,
    h('div', {class: 'actions'},
      button([icon('image', 'icon small'), t('scan.image')], () => file.click(), 'wide'),
      button([icon('paste', 'icon small'), t('scan.paste')], () => paste(), 'wide'),
      h('a', {class: 'button link', href: '#/account'}, t('scan.typed')),
      light, file),
    form);
  const parts = new Parts();
  const camera = new Camera(app, {video, view, aim, begin, light, told}, read);

  /** @param {string} text @returns {Promise<boolean>} whether that was the end of it */
  async function read(text) {
    const found = readScanned(text, new URL('.', location.href).href);
    if (found.kind === 'migration') {
      const missing = parts.take(found);
      if (missing) {
        fill(told, note('ok', 'tick', t('scan.part', {n: found.size - missing, of: found.size})));
        return false;
      }
    }
    const done = ['enrollment', 'account', 'migration'].includes(found.kind);
    if (!done) {
      fill(told, note('warn', 'alarm', why(found)));
      return false;
    }
    // The address changes once the camera is off: some browsers ask anew otherwise.
    camera.end();
    if (found.kind === 'enrollment') {
      app.token.open(found.token);
      await app.router.update();
    } else {
      app.scanned = found.kind === 'account' ? {drafts: [found.draft], refused: []} : parts.all();
      await app.router.go('/account');
    }
    return true;
  }

  /** @param {import('../core/types').Scanned} found that leads nowhere */
  function why(found) {
    if (found.kind === 'elsewhere') return t('scan.elsewhere', {host: found.host});
    return found.kind === 'refused' ? [...t('scan.not'), ' ', ...t(`reasons.${found.reason}`)] : t('scan.unknown');
  }

  async function paste() {
    form.hidden = false;
    try {
      const text = (await navigator.clipboard.readText()).trim();
      if (text && await read(text)) return;
      link.value = text.slice(0, 4096);
    } catch {
      // Not allowed, or not there: the field takes it.
    }
    if (form.isConnected) link.focus();
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    pasted.wrong();
    if (link.value.trim()) read(link.value.trim());
    else pasted.wrong(...t('scan.empty'));
  });
  file.addEventListener('change', async () => {
    const [image] = file.files ?? [];
    file.value = '';
    if (!image) return;
    fill(told, h('p', {class: 'muted'}, t('scan.reading')));
    try {
      const text = await camera.decodeImage(image);
      if (!text) fill(told, note('warn', 'alarm', t('scan.nothing')));
      else await read(text);
    } catch (error) {
      fill(told, note('warn', 'alarm', error instanceof DecoderError ? t('scan.noDecoder') : t('scan.noImage')));
    }
  });
  made.onEnd(() => camera.end());
  // From within the app a tap on Scan has led here; who loads this address has not tapped anything.
  if (app.router.current.name) camera.begin();
  return made;
}

/** The parts of Google's export, which comes in several codes. */
class Parts {
  /** @type {Map<number, any>} */
  #there = new Map();
  #batch = 0;

  /** @param {any} part @returns {number} how many are missing */
  take(part) {
    if (part.batch !== this.#batch) this.#there.clear();
    this.#batch = part.batch;
    this.#there.set(part.index, part);
    return Math.max(0, part.size - this.#there.size);
  }

  all() {
    const parts = [...this.#there.values()].sort((one, other) => one.index - other.index);
    return {drafts: parts.flatMap((each) => each.drafts), refused: parts.flatMap((each) => each.refused)};
  }
}

/** The camera, asked for once a visit, and the decoder that looks at its pictures. */
class Camera {
  #app;
  #parts;
  #read;
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {Decoder | null} */
  #decoder = null;
  #timer = 0;
  #last = '';
  #asked = false;
  #over = false;
  #lit = false;
  #canvas = /** @type {HTMLCanvasElement} */ (h('canvas', null));

  /**
   * @param {any} app
   * @param {{video: HTMLVideoElement, view: HTMLElement, aim: HTMLElement, begin: HTMLElement, light: HTMLElement, told: HTMLElement}} parts
   * @param {(text: string) => Promise<boolean>} read
   */
  constructor(app, parts, read) {
    this.#app = app;
    this.#parts = parts;
    this.#read = read;
  }

  async begin() {
    if (this.#asked) return;
    this.#asked = true;
    const {video, view, aim, begin, light, told} = this.#parts;
    const {t} = this.#app.text;
    begin.hidden = true;
    this.#decoder ??= new Decoder();
    try {
      if (!navigator.mediaDevices) throw new DOMException('', 'NotFoundError');
      const stream = await navigator.mediaDevices.getUserMedia({audio: false, video: {facingMode: 'environment', width: {ideal: 1280}, height: {ideal: 720}}});
      if (this.#over) return stop(stream);
      this.#stream = stream;
      video.srcObject = stream;
      await video.play();
      view.hidden = aim.hidden = false;
      const [track] = stream.getVideoTracks();
      light.hidden = !/** @type {any} */ (track.getCapabilities?.())?.torch;
      this.#look();
    } catch (/** @type {any} */ error) {
      if (this.#over) return;
      const words = error?.name === 'NotAllowedError' ? `scan.refused${this.#app.ios ? 'Ios' : ''}` : 'scan.noCamera';
      fill(told, note('warn', 'alarm', t(words)));
    }
  }

  async light() {
    this.#lit = !this.#lit;
    const [track] = this.#stream?.getVideoTracks() ?? [];
    try {
      await track?.applyConstraints(/** @type {any} */ ({advanced: [{torch: this.#lit}]}));
    } catch {
      this.#parts.light.hidden = true;
    }
  }

  async #look() {
    const {video, told} = this.#parts;
    if (this.#over) return;
    try {
      const text = video.readyState >= 2 ? await this.#decode(video, video.videoWidth, video.videoHeight, SIDE) : '';
      // The same picture says the same again: once is enough.
      if (text && text !== this.#last && !this.#over) {
        this.#last = text;
        if (await this.#read(text)) return;
      }
    } catch {
      if (!this.#over) fill(told, note('warn', 'alarm', this.#app.text.t('scan.noDecoder')));
      return;
    }
    this.#timer = setTimeout(() => this.#look(), PAUSE);
  }

  /** @param {Blob} image @returns {Promise<string>} the text of its code, or '' */
  async decodeImage(image) {
    this.#decoder ??= new Decoder();
    const bitmap = await createImageBitmap(image);
    const begun = performance.now();
    try {
      for (const side of SIDES) {
        const text = await this.#decode(bitmap, bitmap.width, bitmap.height, side);
        if (text || performance.now() - begun > LONG) return text;
      }
      return '';
    } finally {
      bitmap.close();
    }
  }

  /** @param {CanvasImageSource} source @param {number} width @param {number} height @param {number} side */
  #decode(source, width, height, side) {
    const scale = Math.min(1, side / Math.max(width, height));
    this.#canvas.width = Math.max(1, Math.round(width * scale));
    this.#canvas.height = Math.max(1, Math.round(height * scale));
    const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext('2d', {willReadFrequently: true}));
    context.drawImage(source, 0, 0, this.#canvas.width, this.#canvas.height);
    return /** @type {Decoder} */ (this.#decoder).decode(context.getImageData(0, 0, this.#canvas.width, this.#canvas.height));
  }

  end() {
    this.#over = true;
    clearTimeout(this.#timer);
    stop(this.#stream);
    this.#stream = null;
    this.#parts.video.srcObject = null;
    this.#decoder?.end();
    this.#decoder = null;
  }
}

/** @param {MediaStream | null} stream */
function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
