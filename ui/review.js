// The Review page: holds the next cards with their pictures, shows one at each key at once, and sends answers behind the scenes.
// An answer counts as saved when the server has said so; one that fails comes back as a card with a sentence why.
const AHEAD = 6;
const FEW = 6;
const root = element.querySelector('.rv') || element;
const find = (name) => element.querySelector('.' + name);
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, '0')).join('');
const session = random();
const state = { aim: null, cards: [], current: null, drawn: null, done: [], unsaved: 0, saved: 0, fetching: false, round: 0, paused: false,
                shownAt: 0, hint: true, swapped: false, empty: false, progress: null, queue: null, problem: '', failure: '', failedAt: 0 };
const FAILURE_MS = 5000;
const pictures = new Map();
window.mgReview = { latencies: [], state };

const key = (pair) => {
  const sides = [pair.slice(0, 2).join(':'), pair.slice(2).join(':')];
  return sides.sort().join('|');
};

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
  // Pairs on their way to the database are not there yet, and those undone should come back by hand only.
  const avoid = [...new Map([...state.cards, ...(state.current ? [state.current] : []), ...state.done.slice(-40)].map(
    (card) => [key(card.pair), card.pair])).values()];
  const first = state.aim.first && !state.done.length && !state.current ? state.aim.first : null;
  try {
    const got = await server.next_cards(request({ avoid, first, count: AHEAD }));
    if (round !== state.round) return;
    if (got.error) { state.problem = got.error; state.empty = true; }
    else {
      const known = new Set(avoid.map(key));
      const fresh = got.cards.filter((card) => !known.has(key(card.pair)));
      for (const card of fresh) card.aim = state.aim;
      state.cards.push(...fresh);
      state.progress = got.progress;
      state.queue = got.queue;
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
    `Today ${progress.today} · in all ${progress.total} · ${progress.per_minute} a minute` + (queue && queue.left !== null ? ` · ${queue.left} left in this queue` : '');
  const saving = find('rv-saving');
  const problem = [state.failure, state.problem].filter(Boolean).join(' ');
  saving.textContent = problem || (state.paused ? 'Paused: everything is saved.' : state.unsaved ? `Saving ${state.unsaved}…` : state.saved ? `Saved ${state.saved}.` : '');
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
  const entry = { ...card, saidAs: aim };
  const sent = request({ ...aim, first: null, avoid: [], pair, decision, seconds: (performance.now() - state.shownAt) / 1000,
                         saw_hint: Boolean(card.hint && state.hint && !state.aim.blind && !state.swapped) });
  state.done.push(entry);
  state.unsaved += 1;
  // Fast hands would wipe out a sentence that nobody has read.
  if (performance.now() - state.failedAt > FAILURE_MS) state.failure = '';
  entry.label = server.answer(sent).then((got) => {
    if (got.error) throw new Error(got.error);
    state.saved += 1;
    state.progress = got.progress;
    return got.label;
  }).catch((error) => {
    state.done = state.done.filter((other) => other !== entry);
    const isShown = state.current && key(state.current.pair) === key(card.pair);
    const isBack = isShown || putBack(card);
    fail(`Not saved: ${error.message || 'the server does not answer'}. ` +
      (isBack ? 'The pair comes again.' : `It was a pair of the scene ${scene}.`));
    if (isBack) askHints();
    if (!state.current) advance();
    return null;
  }).finally(() => { state.unsaved -= 1; showStatus(); });
  advance(since);
}

async function undo() {
  const entry = state.done.pop();
  if (!entry) return;
  const number = await entry.label;
  if (number === null) return;
  const { label, saidAs, ...card } = entry;
  try {
    const got = await server.undo(request({ ...saidAs, first: null, avoid: [], label: number }));
    if (got.error) throw new Error(got.error);
    state.progress = got.progress;
    state.saved -= 1;
  } catch (error) {
    fail(`Not undone: ${error.message || 'the server does not answer'}`);
    if (card.aim.scene === state.aim.scene) state.done.push(entry);
    showStatus();
    return;
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

function pause() {
  state.paused = !state.paused;
  root.classList.toggle('rv-paused', state.paused);
  if (state.paused) {
    const held = [...state.cards, ...(state.current ? [state.current] : [])].map((card) => card.pair);
    server.pause(request({ avoid: held }));
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
  help: () => { find('rv-help').hidden = !find('rv-help').hidden; },
};
const keys = { s: 'same', d: 'different', u: 'unsure', k: 'skip', z: 'undo', x: 'swap', f: 'zoom', j: 'hint', p: 'pause', '?': 'help' };

function onKey(event) {
  if (!root.isConnected) { document.removeEventListener('keydown', onKey); return; }
  const at = event.target;
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !isVisible()) return;
  if (['INPUT', 'TEXTAREA', 'SELECT'].includes(at.tagName) || at.isContentEditable) return;
  const name = keys[event.key.toLowerCase()];
  if (!name) return;
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

window.addEventListener('beforeunload', (event) => { if (state.unsaved) event.preventDefault(); });

function takeAim() {
  const aim = props.value;
  if (!aim || !aim.scene || JSON.stringify(aim) === JSON.stringify(state.aim)) return;
  const before = state.cards.concat(state.current ? [state.current] : []);
  if (state.aim && before.length) server.pause(request({ avoid: before.map((card) => card.pair) }));
  Object.assign(state, { aim, cards: [], current: null, done: state.aim && aim.scene === state.aim.scene ? state.done : [], empty: false,
                         fetching: false, round: state.round + 1, problem: '', paused: false });
  root.classList.remove('rv-paused');
  draw();
  fetchCards();
}
watch('value', takeAim);
takeAim();
// A queue that was empty may have filled: labels of others, answers of the judge.
setInterval(() => { if (isVisible() && !state.current && state.aim && !state.paused) { state.empty = false; fetchCards(); } }, 3000);
