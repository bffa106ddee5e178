// The Review page: holds the next cards with their pictures, shows one at each key at once, and sends answers behind the scenes.
// An answer counts as saved when the server has said so; one that fails comes back as a card with a sentence why.
const AHEAD = 6;
const FEW = 6;
const root = element.querySelector('.rv') || element;
const find = (name) => element.querySelector('.' + name);
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, '0')).join('');
const session = random();
const state = { aim: null, cards: [], current: null, done: [], unsaved: 0, saved: 0, fetching: false, round: 0, paused: false,
                shownAt: 0, hint: true, swapped: false, empty: false, progress: null, queue: null, problem: '' };
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
      state.cards.push(...fresh);
      state.progress = got.progress;
      state.queue = got.queue;
      state.empty = !fresh.length;
      state.problem = '';
      fresh.forEach((card) => addresses(card).forEach(load));
      askHints(fresh);
    }
  } catch (error) {
    state.problem = 'The server does not answer; trying again.';
    setTimeout(fetchCards, 2000);
  } finally {
    if (round === state.round) state.fetching = false;
  }
  if (!state.current) await advance();
  else showStatus();
}

// Apart from the cards: the judge takes its time, and nobody should wait for it.
let asking = Promise.resolve();
function askHints(cards) {
  if (state.aim.blind) return;
  for (const card of cards) asking = asking.then(async () => {
    if (state.done.some((done) => done.pair === card.pair)) return;
    const got = await server.hints(request({ pairs: [card.pair] }));
    card.hint = got.hints ? got.hints[0] : '';
    if (state.current === card) showStatus();
  }).catch(() => { card.hint = ''; });
}

async function advance(since) {
  state.current = state.cards.shift() || null;
  state.swapped = false;
  if (state.current) await Promise.all(state.current.pictures.flatMap((side) => [load(side.crop), load(side.view)]));
  draw();
  state.shownAt = performance.now();
  if (since !== undefined) requestAnimationFrame(() => setTimeout(() => window.mgReview.latencies.push(performance.now() - since)));
  if (state.cards.length < FEW) fetchCards();
}

function draw() {
  const card = state.current;
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
  const { progress, queue, current } = state;
  const blind = state.aim && state.aim.blind;
  find('rv-hint').textContent = blind ? '' : !current ? '' : state.hint ? current.hint ?? 'The judge is being asked…' : '';
  if (progress) find('rv-progress').textContent =
    `Today ${progress.today} · in all ${progress.total} · ${progress.per_minute} a minute` + (queue && queue.left !== null ? ` · ${queue.left} left in this queue` : '');
  const saving = find('rv-saving');
  saving.textContent = state.problem || (state.paused ? 'Paused: everything is saved.' : state.unsaved ? `Saving ${state.unsaved}…` : state.saved ? `Saved ${state.saved}.` : '');
  saving.classList.toggle('rv-bad', Boolean(state.problem));
  root.dataset.unsaved = state.unsaved;
  root.dataset.saved = state.saved;
  element.querySelector('[data-do=undo]').disabled = !state.done.length;
  element.querySelector('[data-do=pause]').firstChild.textContent = state.paused ? 'Go on ' : 'Pause ';
}

function decide(decision, since) {
  const card = state.current;
  if (!card || state.paused) return;
  const pair = state.swapped ? [...card.pair.slice(2), ...card.pair.slice(0, 2)] : card.pair;
  const entry = { ...card, aim: state.aim };
  const sent = request({ avoid: [], pair, decision, seconds: (performance.now() - state.shownAt) / 1000,
                         saw_hint: Boolean(card.hint && state.hint && !state.aim.blind && !state.swapped) });
  state.done.push(entry);
  state.unsaved += 1;
  state.problem = '';
  entry.label = server.answer(sent).then((got) => {
    if (got.error) throw new Error(got.error);
    state.saved += 1;
    state.progress = got.progress;
    return got.label;
  }).catch((error) => {
    state.problem = `Not saved: ${error.message || 'the server does not answer'}. The pair comes again.`;
    state.done = state.done.filter((other) => other !== entry);
    state.cards.unshift(card);
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
  try {
    const got = await server.undo({ ...request({ avoid: [], label: number }), ...entry.aim, first: null });
    if (got.error) throw new Error(got.error);
    state.progress = got.progress;
    state.saved -= 1;
  } catch (error) {
    state.problem = `Not undone: ${error.message || 'the server does not answer'}`;
    state.done.push(entry);
    showStatus();
    return;
  }
  if (state.current) state.cards.unshift(state.current);
  const { label, aim, ...card } = entry;
  state.cards.unshift(card);
  // It may have been answered before the judge was asked.
  if (card.hint === undefined) askHints([card]);
  await advance();
}

function swap() {
  if (!state.current) return;
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
