// The Review page: holds the next cards with their pictures, shows one at each key at once, and sends answers behind the scenes.
// An answer counts as saved when the server has said so. Until then the browser keeps it, also through a reload or a crash, and
// sends it again; it has an id of its own, so the server stores it once. One that the server refuses is listed with the reason.
const AHEAD = 6;
const FEW = 6;
const root = element.querySelector('.rv') || element;
const find = (name) => element.querySelector('.' + name);
const random = (bytes) => Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (b) => b.toString(16).padStart(2, '0')).join('');
// Not crypto.randomUUID, which pages have only on this machine or over https.
const uuid = () => random(16).replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
const SESSION = 'maskgroup-review-session';
const session = takeSession();
const state = { aim: null, cards: [], current: null, drawn: null, done: [], unsaved: 0, saved: 0, fetching: false, round: 0, paused: false,
                shownAt: 0, hint: true, swapped: false, empty: false, progress: null, queue: null, problem: '', failure: '', failedAt: 0 };
const FAILURE_MS = 5000;
const RETRY_MS = 1000;
const SLOWEST_RETRY_MS = 10000;
const MOST_TRIES = 5;
const pictures = new Map();
window.mgReview = { latencies: [], state };

const key = (pair) => {
  const sides = [pair.slice(0, 2).join(':'), pair.slice(2).join(':')];
  return sides.sort().join('|');
};

// The name under which leases are held goes from this page to its reload, and to no other page.
function takeSession() {
  let kept = null;
  try { kept = sessionStorage.getItem(SESSION); sessionStorage.removeItem(SESSION); } catch (error) { /* no storage: a fresh one */ }
  window.addEventListener('pagehide', () => { try { sessionStorage.setItem(SESSION, session); } catch (error) { /* as above */ } });
  return kept || random(16);
}

// What is on its way to the server: { id, kind: 'answer' or 'undo', body, words, at, tries, refused }.
const SHELF = 'maskgroup-review-unsent:';
const outbox = { waiting: [], refused: [], isSending: false, wait: RETRY_MS, silent: false, count: 0, wake: null };
window.mgReview.outbox = outbox;
const shelfKey = (entry) => `${SHELF}${entry.at}-${entry.id}`;

// One key for each, so that two tabs of one browser never write over each other's.
function keep(entry) {
  const { id, kind, body, words, at, tries, refused } = entry;
  try { localStorage.setItem(shelfKey(entry), JSON.stringify({ id, kind, body, words, at, tries, refused })); entry.isKept = true; }
  catch (error) { entry.isKept = false; }
}

function forget(entry) {
  try { localStorage.removeItem(shelfKey(entry)); } catch (error) { /* it was never kept */ }
  outbox.waiting = outbox.waiting.filter((other) => other !== entry);
  outbox.refused = outbox.refused.filter((other) => other !== entry);
}

function isOnShelf(entry) {
  try { return localStorage.getItem(shelfKey(entry)) !== null; } catch (error) { return true; }
}

// What an earlier load of this page, or another tab, has left.
function takeFromShelf() {
  let keys = [];
  try { keys = Object.keys(localStorage).filter((name) => name.startsWith(SHELF)).sort(); } catch (error) { return; }
  for (const name of keys) {
    try {
      const entry = JSON.parse(localStorage.getItem(name));
      if (!['answer', 'undo'].includes(entry.kind) || shelfKey(entry) !== name || typeof entry.body !== 'object') throw new Error(name);
      (entry.refused ? outbox.refused : outbox.waiting).push({ ...entry, isOld: true, isKept: true });
    } catch (error) { localStorage.removeItem(name); }
  }
}

function post(kind, body, words) {
  outbox.count += 1;
  const at = `${String(Date.now()).padStart(15, '0')}${String(outbox.count % 10000).padStart(4, '0')}`;
  const entry = { id: body.id, kind, body, words, at, tries: 0, refused: '' };
  entry.settled = new Promise((go) => { entry.settle = go; });
  keep(entry);
  outbox.waiting.push(entry);
  send();
  return entry;
}

// In the order of the keys, one at a time: an answer before what takes it back.
async function send() {
  if (outbox.isSending) return;
  outbox.isSending = true;
  while (outbox.waiting.length) {
    const entry = outbox.waiting[0];
    // Another tab has sent it.
    if (entry.isOld && !isOnShelf(entry)) { outbox.waiting.shift(); continue; }
    let got = null;
    entry.isOut = true;
    entry.tries += 1;
    keep(entry);
    try { got = await server[entry.kind](entry.body); } catch (error) { got = null; }
    entry.isOut = false;
    const isHeard = Boolean(got) && typeof got === 'object' && ('error' in got || 'label' in got);
    outbox.silent = !isHeard;
    if (isHeard) entry.heard = (entry.heard || 0) + 1;
    if (isHeard && 'label' in got) {
      outbox.wait = RETRY_MS;
      forget(entry);
      state.progress = got.progress;
      state.saved += entry.kind === 'answer' ? 1 : -1;
      if (entry.settle) entry.settle(got.label);
    } else if (isHeard && (!got.again || entry.heard >= MOST_TRIES)) refuse(entry, got.error);
    else {
      if (entry.onLate) entry.onLate();
      showStatus();
      await new Promise((go) => { outbox.wake = go; setTimeout(go, outbox.wait); });
      outbox.wait = Math.min(2 * outbox.wait, SLOWEST_RETRY_MS);
    }
    showStatus();
  }
  outbox.isSending = false;
  showStatus();
}

function refuse(entry, why) {
  outbox.waiting = outbox.waiting.filter((other) => other !== entry);
  const undone = outbox.waiting.find((other) => other.body.undoes === entry.id);
  if (entry.settle) entry.settle(null);
  state.done = state.done.filter((other) => other.sent !== entry);
  // It was to be taken back anyway.
  if (undone) { forget(entry); forget(undone); if (undone.settle) undone.settle(null); return; }
  entry.refused = String(why);
  entry.heard = 0;
  outbox.refused.push(entry);
  keep(entry);
}

function tryAgain(entry) {
  outbox.refused = outbox.refused.filter((other) => other !== entry);
  Object.assign(entry, { refused: '', heard: 0, isOld: false });
  keep(entry);
  outbox.waiting.push(entry);
  send();
  showStatus();
}

function drop(entry) {
  forget(entry);
  showStatus();
}

function showRefused() {
  const list = find('rv-refused');
  list.hidden = !outbox.refused.length;
  list.replaceChildren(...outbox.refused.map((entry) => {
    const line = document.createElement('li');
    const button = (words, act) => Object.assign(document.createElement('button'), { type: 'button', textContent: words, onclick: () => act(entry) });
    line.append(`Not saved: ${entry.words}. ${entry.refused} `, button('Try again', tryAgain), button('Drop it', drop));
    return line;
  }));
}

function load(address) {
  if (!pictures.has(address)) {
    const image = new Image();
    image.src = address;
    pictures.set(address, image.decode().catch(() => undefined));
    if (pictures.size > 120) pictures.delete(pictures.keys().next().value);
  }
  return pictures.get(address);
}

const addresses = (card) => [...card.pictures.flatMap((side) => [side.crop, side.view, side.alone]), ...card.cycle];

const request = (more) => ({ ...state.aim, first: null, session, ...more });

function isVisible() { return root.isConnected && root.offsetParent !== null; }

async function fetchCards() {
  if (state.fetching || !state.aim || state.paused || state.empty) return;
  state.fetching = true;
  const round = state.round;
  // Pairs on their way to the database are not there yet, those undone should come back by hand only, and a refused answer waits in
  // its list.
  const unsent = [...outbox.waiting, ...outbox.refused].filter((entry) => entry.kind === 'answer' && entry.body.scene === state.aim.scene).slice(-300);
  const avoid = [...new Map([...state.cards, ...(state.current ? [state.current] : []), ...state.done.slice(-40),
    ...unsent.map((entry) => entry.body)].map((card) => [key(card.pair), card.pair])).values()];
  const first = state.aim.first && !state.isFirstGone && !state.done.length && !state.current ? state.aim.first : null;
  try {
    const got = await server.next_cards(request({ avoid, first, count: AHEAD }));
    if (round !== state.round) return;
    if (got.error && first) {
      // The address names a pair that is not there now: the others are.
      fail(got.error);
      state.isFirstGone = true;
      setTimeout(fetchCards);
    } else if (got.error) { state.problem = got.error; state.empty = true; }
    else {
      const known = new Set(avoid.map(key));
      const fresh = got.cards.filter((card) => !known.has(key(card.pair)));
      for (const card of fresh) card.aim = state.aim;
      state.cards.push(...fresh);
      state.progress = got.progress;
      state.queue = got.queue;
      state.stale = got.stale;
      state.empty = !fresh.length;
      state.problem = '';
      fresh.forEach((card) => addresses(card).forEach(load));
      askHints();
    }
  } catch (error) {
    if (round !== state.round) return;
    state.problem = 'The server does not answer; trying again.';
    setTimeout(fetchCards, 2000);
  } finally {
    if (round === state.round) state.fetching = false;
  }
  if (!state.current) await advance();
  else showStatus();
}

// Apart from the cards: the judge takes its time, and nobody should wait for it. One at a time, the card on the screen first.
let isAsking = false;
async function askHints() {
  if (isAsking) return;
  isAsking = true;
  for (;;) {
    const card = [state.current, ...state.cards].find((held) => held && held.hint === undefined);
    if (!card || state.aim.blind) break;
    try {
      const got = await server.hints(request({ pairs: [card.pair] }));
      card.hint = got.hints ? got.hints[0] : '';
      card.verdict = got.verdicts ? got.verdicts[0] : null;
    } catch (error) { card.hint = ''; }
    if (state.drawn === card) showStatus();
  }
  isAsking = false;
}

async function advance(since) {
  const card = state.cards.shift() || null;
  state.current = card;
  state.swapped = false;
  if (card) {
    find('rv-pair').classList.add('rv-late');
    await Promise.all(card.pictures.flatMap((side) => [load(side.crop), load(side.view)]));
    // While its pictures came another card may have taken its place.
    if (state.current !== card) return;
  }
  draw();
  state.shownAt = performance.now();
  if (since !== undefined) requestAnimationFrame(() => setTimeout(() => window.mgReview.latencies.push(performance.now() - since)));
  if (state.cards.length < FEW) fetchCards();
}

// Only what is on the screen can be decided: until its pictures are there, the card before it still is.
const isOnScreen = () => Boolean(state.current) && state.drawn === state.current;

function draw() {
  const card = state.current;
  state.drawn = card;
  find('rv-pair').classList.remove('rv-late');
  find('rv-pair').style.visibility = card ? 'visible' : 'hidden';
  root.dataset.pair = card ? key(card.pair) : '';
  for (const name of ['same', 'different', 'unsure', 'skip', 'swap', 'zoom']) element.querySelector(`[data-do=${name}]`).disabled = !card || state.paused;
  if (card) {
    const order = state.swapped ? [1, 0] : [0, 1];
    ['rv-a', 'rv-b'].forEach((side, place) => {
      const shown = card.pictures[order[place]];
      find(side).querySelector('.rv-crop').src = shown.crop;
      const view = find(side).querySelector('.rv-view');
      view.src = shown.view;
      view.dataset.alone = shown.alone;
      view.dataset.whole = shown.view;
      find(side).querySelector('figcaption').textContent = card.names[order[place]];
    });
    find('rv-link').href = card.link;
    find('rv-why').textContent = card.reason;
    const cycle = find('rv-cycle');
    cycle.hidden = !card.cycle.length;
    cycle.replaceChildren(...card.cycle.flatMap((address, place) => {
      const image = Object.assign(document.createElement('img'), { src: address, alt: `mask ${place + 1} of the contradiction` });
      return [image, document.createTextNode(place + 1 < card.cycle.length ? '=' : '≠ the first')];
    }));
  } else {
    find('rv-cycle').hidden = true;
    find('rv-why').textContent = state.problem || (state.empty && state.queue
      ? `Nothing left in this queue (${state.queue.words}). Choose another one above.` : 'Loading the next pair…');
  }
  showStatus();
}

function showStatus() {
  const { progress, queue, drawn } = state;
  const blind = state.aim && state.aim.blind;
  find('rv-hint').textContent = blind ? '' : !drawn ? '' : state.hint ? drawn.hint ?? 'The judge is being asked…' : '';
  if (progress) find('rv-progress').textContent =
    `Today ${progress.today} · in all ${progress.total} · ${progress.per_minute} a minute` + (queue && queue.left !== null ? ` · ${queue.left} left in this queue` : '')
    + (state.stale ? ` · ${state.stale} stale labels (their masks are not there now)` : '');
  const saving = find('rv-saving');
  state.unsaved = outbox.waiting.length;
  const some = state.unsaved === 1 ? '1 answer is not sent yet' : `${state.unsaved} answers are not sent yet`;
  const isKept = outbox.waiting.every((entry) => entry.isKept);
  const unsent = state.unsaved && outbox.silent
    ? `${some}: the server does not answer. ${isKept ? 'This browser keeps them' : 'Leave this page open'}; they are sent again by themselves.` : '';
  const problem = [unsent, state.failure, unsent ? '' : state.problem].filter(Boolean).join(' ');
  saving.textContent = problem || (state.unsaved ? `Saving ${state.unsaved}…` : state.paused ? 'Paused: everything is saved.' : state.saved > 0 ? `Saved ${state.saved}.` : '');
  showRefused();
  saving.classList.toggle('rv-bad', Boolean(problem));
  root.dataset.unsaved = state.unsaved;
  root.dataset.saved = state.saved;
  element.querySelector('[data-do=undo]').disabled = !state.done.length;
  element.querySelector('[data-do=pause]').firstChild.textContent = state.paused ? 'Go on ' : 'Pause ';
}

function fail(words) {
  state.failure = words;
  state.failedAt = performance.now();
}

// False where the page shows another scene by now: its answers carry that scene.
function putBack(card) {
  if (card.aim.scene !== state.aim.scene) return false;
  state.cards = [card, ...state.cards.filter((other) => key(other.pair) !== key(card.pair))];
  return true;
}

function decide(decision, since) {
  const card = state.current;
  if (!isOnScreen() || state.paused) return;
  const pair = state.swapped ? [...card.pair.slice(2), ...card.pair.slice(0, 2)] : card.pair;
  const { scene, queue, only } = card.aim;
  // An undone card may come from a queue chosen before: it is no pair of the random queue for being answered in it.
  const aim = { ...state.aim, scene, queue, only };
  const isHintSeen = Boolean(card.hint && state.hint && !state.aim.blind && !state.swapped);
  const entry = { ...card, saidAs: aim };
  const body = request({ ...aim, first: null, avoid: [], pair, token: card.token, decision, id: uuid(),
                         seconds: (performance.now() - state.shownAt) / 1000, saw: isHintSeen ? card.verdict ?? null : null });
  state.done.push(entry);
  // Fast hands would wipe out a sentence that nobody has read.
  if (performance.now() - state.failedAt > FAILURE_MS) state.failure = '';
  entry.sent = post('answer', body, `"${decision}" for ${card.names.join(' and ')} of scene ${scene}`);
  entry.label = entry.sent.settled;
  showStatus();
  advance(since);
}

async function undo() {
  const entry = state.done.pop();
  if (!entry) return;
  const { label, saidAs, sent, ...card } = entry;
  if (outbox.waiting.includes(sent) && !sent.isOut && !sent.tries) {
    // It never left this browser.
    forget(sent);
    sent.settle(null);
  } else {
    const taking = post('undo', { ...saidAs, first: null, avoid: [], session, id: uuid(), undoes: sent.id }, `taking back ${sent.words}`);
    // Nobody waits for a server that is silent: it is told in the order of the keys once it answers.
    if (!outbox.silent) await Promise.race([taking.settled, new Promise((go) => { taking.onLate = go; })]);
    if (outbox.refused.includes(taking)) { showStatus(); return; }
  }
  if (card.aim.scene === state.aim.scene && state.current) state.cards.unshift(state.current);
  if (!putBack(card)) { showStatus(); return; }
  const drawn = advance();
  // It may have been answered before the judge was asked.
  askHints();
  await drawn;
}

function swap() {
  if (!isOnScreen()) return;
  state.swapped = !state.swapped;
  draw();
}

// Where it does not arrive, the leases run out.
async function giveBack(pairs) {
  try { await server.pause(request({ avoid: pairs })); } catch (error) { /* as said */ }
}

function pause() {
  state.paused = !state.paused;
  root.classList.toggle('rv-paused', state.paused);
  if (state.paused) {
    const held = [...state.cards, ...(state.current ? [state.current] : [])].map((card) => card.pair);
    giveBack(held);
  } else {
    // Others may have had these pairs meanwhile.
    state.cards = []; state.current = null; state.empty = false; state.fetching = false; state.round += 1;
    fetchCards();
  }
  draw();
}

const actions = {
  same: (t) => decide('same', t), different: (t) => decide('different', t), unsure: (t) => decide('unsure', t), skip: (t) => decide('skip', t),
  undo, swap, pause,
  zoom: () => find('rv-pair').classList.toggle('rv-big'),
  hint: () => { state.hint = !state.hint; showStatus(); },
  help: () => { if (help.open) help.close(); else { listKeys(); help.showModal(); } },
};
const help = find('rv-help');

// The keys that somebody has chosen: { action: key } in this browser. What does not fit, as from an older page, counts for nothing.
const KEYS = 'maskgroup-review-keys';
const USUAL_KEYS = { same: 's', different: 'd', unsure: 'u', skip: 'k', undo: 'z', swap: 'x', zoom: 'f', hint: 'j', pause: 'p', help: '?' };
const KEY_WORDS = { same: 'same object', different: 'different objects', unsure: 'not sure', skip: 'skip the pair', undo: 'take the last one back',
                    swap: 'swap sides', zoom: 'the whole views large', hint: "the judge's hint", pause: 'pause', help: 'this help' };
const isKey = (name) => typeof name === 'string' && [...name].length === 1 && name.trim() === name && name === name.toLowerCase();
let keyOf = readKeys();
let wanting = null;

function readKeys() {
  let kept = null;
  try { kept = JSON.parse(localStorage.getItem(KEYS)); } catch (error) { /* no storage, or not ours */ }
  if (!kept || typeof kept !== 'object') return { ...USUAL_KEYS };
  const found = Object.fromEntries(Object.keys(USUAL_KEYS).map((action) => [action, kept[action]]));
  const all = Object.values(found);
  return all.every(isKey) && new Set(all).size === all.length ? found : { ...USUAL_KEYS };
}

function takeKeys(chosen) {
  keyOf = chosen;
  try { localStorage.setItem(KEYS, JSON.stringify(keyOf)); } catch (error) { /* they hold until the page is left */ }
  showKeys();
}

function showKeys() {
  for (const [action, name] of Object.entries(keyOf)) {
    element.querySelector(`.rv-bar [data-do=${action}] kbd`).textContent = name.toUpperCase();
  }
}

function listKeys() {
  wanting = null;
  find('rv-keys').replaceChildren(...Object.entries(keyOf).map(([action, name]) => {
    const line = document.createElement('li');
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: name.toUpperCase() });
    button.dataset.key = action;
    button.setAttribute('aria-label', `${KEY_WORDS[action]}: ${name.toUpperCase()}; choose another key`);
    button.setAttribute('aria-pressed', 'false');
    line.append(KEY_WORDS[action], button);
    return line;
  }));
}

function wantKey(action) {
  listKeys();
  wanting = action;
  const button = find('rv-keys').querySelector(`[data-key=${action}]`);
  button.setAttribute('aria-pressed', 'true');
  button.focus();
  find('rv-keys-said').textContent = `Press the key for "${KEY_WORDS[action]}", or Esc to leave it as it is.`;
}

function takeKey(event) {
  const name = event.key.toLowerCase(), action = wanting;
  if (['Tab', 'Shift', 'AltGraph', 'CapsLock'].includes(event.key)) return;
  event.preventDefault();
  const taken = Object.keys(keyOf).find((other) => other !== action && keyOf[other] === name);
  const say = (words) => { find('rv-keys-said').textContent = words; };
  if (event.key === 'Escape') say('Left as it is.');
  else if (!isKey(name)) return say('Only letters, digits and signs can be keys here; press another one.');
  else if (taken) return say(`${name.toUpperCase()} already means "${KEY_WORDS[taken]}"; press another one.`);
  else {
    takeKeys({ ...keyOf, [action]: name });
    say(`${name.toUpperCase()} now means "${KEY_WORDS[action]}".`);
  }
  listKeys();
  find('rv-keys').querySelector(`[data-key=${action}]`).focus();
}

find('rv-keys').addEventListener('click', (event) => { if (event.target.dataset.key) wantKey(event.target.dataset.key); });
find('rv-keys-usual').addEventListener('click', () => { takeKeys({ ...USUAL_KEYS }); listKeys(); find('rv-keys-said').textContent = 'The usual keys are back.'; });
find('rv-close').addEventListener('click', () => help.close());
// A click beside it closes it too, and Esc while a key is awaited ends only that.
help.addEventListener('click', (event) => { if (event.target === help) help.close(); });
help.addEventListener('cancel', (event) => { if (wanting) event.preventDefault(); });
help.addEventListener('close', () => { wanting = null; find('rv-keys-said').textContent = ''; });
showKeys();

function onKey(event) {
  if (!root.isConnected) { document.removeEventListener('keydown', onKey); return; }
  const at = event.target;
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !isVisible()) return;
  if (wanting) { takeKey(event); return; }
  if (['INPUT', 'TEXTAREA', 'SELECT'].includes(at.tagName) || at.isContentEditable) return;
  const name = Object.keys(keyOf).find((action) => keyOf[action] === event.key.toLowerCase());
  // Nothing is decided behind the help.
  if (!name || (help.open && name !== 'help')) return;
  event.preventDefault();
  actions[name](performance.now());
}
document.addEventListener('keydown', onKey);
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-do]');
  if (button) actions[button.dataset.do](performance.now());
});

// Pointing at or tapping a small view shows it large; holding it shows the mask alone.
const over = find('rv-over');
for (const small of element.querySelectorAll('.rv-small')) {
  const view = small.querySelector('.rv-view');
  let holding = null;
  let opened = false;
  const show = (address) => { over.querySelector('img').src = address; over.hidden = false; };
  const hide = () => { over.hidden = true; clearTimeout(holding); };
  small.addEventListener('pointerenter', (event) => { if (event.pointerType === 'mouse') show(view.dataset.whole); });
  small.addEventListener('pointerleave', (event) => { if (event.pointerType === 'mouse') hide(); });
  small.addEventListener('pointerdown', (event) => {
    event.preventDefault();
    opened = !over.hidden && event.pointerType !== 'mouse';
    holding = setTimeout(() => show(view.dataset.alone), event.pointerType === 'mouse' ? 0 : 350);
  });
  small.addEventListener('pointerup', (event) => {
    clearTimeout(holding);
    if (event.pointerType === 'mouse') show(view.dataset.whole);
    else if (opened || over.querySelector('img').src.includes('kind=alone') && !over.hidden) hide();
    else show(view.dataset.whole);
  });
  small.addEventListener('contextmenu', (event) => event.preventDefault());
}
document.addEventListener('pointerdown', (event) => { if (!event.target.closest || !event.target.closest('.rv-small')) over.hidden = true; });

window.addEventListener('beforeunload', (event) => { if (outbox.waiting.some((entry) => !entry.isKept)) event.preventDefault(); });
window.addEventListener('online', () => { if (outbox.wake) outbox.wake(); });

function takeAim() {
  const aim = props.value;
  if (!aim || !aim.scene || JSON.stringify(aim) === JSON.stringify(state.aim)) return;
  const before = state.cards.concat(state.current ? [state.current] : []);
  if (state.aim && before.length) giveBack(before.map((card) => card.pair));
  Object.assign(state, { aim, cards: [], current: null, done: state.aim && aim.scene === state.aim.scene ? state.done : [], empty: false,
                         fetching: false, round: state.round + 1, problem: '', paused: false, isFirstGone: false });
  root.classList.remove('rv-paused');
  draw();
  fetchCards();
}
watch('value', takeAim);
takeFromShelf();
showRefused();
send();
takeAim();
// A queue that was empty may have filled: labels of others, answers of the judge.
setInterval(() => { if (isVisible() && !state.current && state.aim && !state.paused) { state.empty = false; fetchCards(); } }, 3000);
