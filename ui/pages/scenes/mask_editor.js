// The editor of a view's masks. It draws what the server says the masks are, and sends what a person draws; every edit is made
// there, in the pixels of the photo, and kept there until it is saved: a reload finds it again.
const root = element.querySelector('.me');
const find = (name) => element.querySelector(`.me-${name}`);
const canvas = find('canvas');
const pen = canvas.getContext('2d');
const frame = find('frame');
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
const TOKEN = 'maskgroup-mask-edits';
const DIRTY = 'maskgroup-mask-edits-open:';
const LOST = 'The app does not answer; is it still running? Try again.';
const MOST_POINTS = 4000;
const CLOSE_PX = 10;
const LEAST_SHOWN = 800;
const PICKED = [255, 214, 10];
const ZOOMS = [1, 1.5, 2, 3, 4, 6];
const HINTS = {
  pick: 'Click a mask to pick it; hold Shift, or tap several in turn, to pick more.',
  brush: 'Draw a mask with the brush.',
  polygon: 'Click the corners of a mask; Enter, a double click or a click on the first corner closes it, Esc drops it.',
  point: 'Click on something: it becomes a mask.',
  box: 'Draw a box around something: it becomes a mask.',
  erase: 'Rub out masks; where one is picked, only that one.',
  split: 'Draw a line right across a mask, from outside to outside, to cut it in two.',
  move: 'Scroll or drag the picture.',
};
const KEYS = { p: 'pick', b: 'brush', g: 'polygon', c: 'point', x: 'box', e: 'erase', s: 'split', m: 'move' };
const token = takeToken();
const view = { scene: '', name: '', names: [], step: 0, width: 1, height: 1, colors: [], numbers: null, grain: 1, across: 1, versions: [], model: '',
               canUndo: false, canRedo: false, isChanged: false, photo: null };
const hand = { tool: 'pick', picked: new Set(), points: [], isDown: false, at: null, zoom: 0, dragged: null };
let overlay = null;
let waiting = 0;
let line = Promise.resolve();
let round = 0;
window.mgMasks = { view, hand, idle: () => line };

// One for all pages of a browser: what is edited in one is found in the other.
function takeToken() {
  try {
    const kept = localStorage.getItem(TOKEN);
    if (/^[0-9a-f]{32}$/.test(kept ?? '')) return kept;
    const made = random();
    localStorage.setItem(TOKEN, made);
    return made;
  } catch (error) { return random(); }
}

const dirtyKey = () => `${DIRTY}${view.scene}/${view.name}`;
function noteDirty() {
  try { if (view.isChanged) localStorage.setItem(dirtyKey(), '1'); else localStorage.removeItem(dirtyKey()); }
  catch (error) { /* no storage: only the warning of lost edits is lost */ }
}
function wasDirty() {
  try { return localStorage.getItem(dirtyKey()) !== null; } catch (error) { return false; }
}

function complain(problem) {
  find('problem').textContent = problem;
  find('problem').hidden = problem === '';
}

// One request after the other, in the order in which they were made.
function ask(name, request, take) {
  const asked = round;
  waiting += 1;
  frame.classList.add('me-late');
  line = line.then(async () => {
    if (asked !== round) return;
    let got;
    try { got = await server[name]({ token, scene: view.scene, view: view.name, ...(typeof request === 'function' ? request() : request) }); }
    catch (error) { got = { error: LOST }; }
    if (asked !== round) return;
    complain(got.error ?? '');
    if (!got.error) await take(got);
  }).finally(() => {
    waiting -= 1;
    frame.classList.toggle('me-late', waiting > 0);
    describe();
  });
  return line;
}

function change(request) {
  return ask('change_masks', () => ({ step: view.step, ...request }), takeMasks);
}

async function takeMasks(got) {
  const picture = await load(`data:image/png;base64,${got.numbers}`);
  Object.assign(view, { name: got.view, step: got.step, width: got.width, height: got.height, colors: got.colors,
                        canUndo: got.canUndo, canRedo: got.canRedo, isChanged: got.isChanged, versions: got.versions });
  const flat = document.createElement('canvas');
  flat.width = picture.naturalWidth;
  flat.height = picture.naturalHeight;
  const reader = flat.getContext('2d', { willReadFrequently: true });
  reader.drawImage(picture, 0, 0);
  const bytes = reader.getImageData(0, 0, flat.width, flat.height).data;
  view.numbers = new Uint16Array(flat.width * flat.height);
  for (let i = 0; i < view.numbers.length; i++) view.numbers[i] = bytes[4 * i] + 256 * bytes[4 * i + 1];
  // The numbers of masks are those of this step.
  hand.picked.clear();
  // Small views are drawn larger, so that outlines stay thin.
  view.grain = Math.max(1, Math.ceil(LEAST_SHOWN / flat.width));
  view.across = flat.width;
  const [width, height] = [flat.width * view.grain, flat.height * view.grain];
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  noteDirty();
  showVersions();
  paint();
  draw();
  fit();
}

function load(address) {
  return new Promise((take, fail) => {
    const picture = new Image();
    picture.onload = () => take(picture);
    picture.onerror = () => fail(new Error('no picture'));
    picture.src = address;
  });
}

// The masks as a picture of their own, to be laid over the photo.
function paint() {
  const { width, height } = canvas;
  const painted = new ImageData(width, height);
  const onlyLines = find('hide').checked;
  // For each row of the canvas and those beside it, where its numbers begin.
  const { grain, across, numbers } = view;
  const begin = (row) => Math.floor(row / grain) * across;
  const steps = Int32Array.from({ length: width }, (_, column) => Math.floor(column / grain));
  const line = grain > 1 ? 2 : 1;
  for (let row = 0; row < height; row++) {
    const [here, above, below] = [begin(row), begin(Math.max(0, row - line)), begin(Math.min(height - 1, row + line))];
    for (let column = 0; column < width; column++) {
      const number = numbers[here + steps[column]];
      if (!number) continue;
      const isEdge = numbers[above + steps[column]] !== number || numbers[below + steps[column]] !== number
        || numbers[here + steps[Math.max(0, column - line)]] !== number || numbers[here + steps[Math.min(width - 1, column + line)]] !== number;
      const isPicked = hand.picked.has(number);
      const [r, g, b] = isEdge ? (isPicked ? PICKED : [255, 255, 255]) : view.colors[number - 1];
      const i = 4 * (row * width + column);
      painted.data[i] = r; painted.data[i + 1] = g; painted.data[i + 2] = b;
      painted.data[i + 3] = isEdge ? 255 : isPicked ? 175 : onlyLines ? 0 : 105;
    }
  }
  overlay ??= document.createElement('canvas');
  overlay.width = width;
  overlay.height = height;
  overlay.getContext('2d').putImageData(painted, 0, 0);
}

function draw() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingEnabled = view.grain === 1;
  if (view.photo) pen.drawImage(view.photo, 0, 0, canvas.width, canvas.height);
  if (overlay) pen.drawImage(overlay, 0, 0);
  const points = hand.points;
  const scale = canvas.width / (canvas.clientWidth || canvas.width);
  pen.lineJoin = pen.lineCap = 'round';
  const isBrush = hand.tool === 'brush' || hand.tool === 'erase';
  if (points.length) {
    pen.beginPath();
    if (hand.tool === 'box') {
      const [[x0, y0], [x1, y1]] = [points[0], points[points.length - 1]];
      pen.rect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
    } else {
      points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      if (hand.tool === 'polygon' && hand.at) pen.lineTo(...hand.at);
      if (points.length === 1 && isBrush) pen.lineTo(points[0][0] + 0.01, points[0][1]);
    }
    if (isBrush) {
      pen.strokeStyle = hand.tool === 'erase' ? '#000a' : '#ffd60ab0';
      pen.lineWidth = 2 * radius();
      pen.stroke();
    } else {
      for (const [color, wide] of [['#000', 4], ['#ffd60a', 2]]) { pen.strokeStyle = color; pen.lineWidth = wide * scale; pen.stroke(); }
      if (hand.tool === 'polygon') {
        pen.fillStyle = '#ffd60a';
        points.forEach(([x, y]) => { pen.beginPath(); pen.arc(x, y, 4 * scale, 0, 7); pen.fill(); });
      }
    }
  }
  if (isBrush && hand.at) {
    pen.beginPath();
    pen.arc(...hand.at, radius(), 0, 7);
    for (const [color, wide] of [['#000', 3], ['#fff', 1.5]]) { pen.strokeStyle = color; pen.lineWidth = wide * scale; pen.stroke(); }
  }
}

// In pixels of the canvas.
const radius = () => Number(find('radius').value) * canvas.width / 800;

function fit() {
  const zoom = ZOOMS[hand.zoom];
  const most = frame.clientWidth || canvas.width;
  const high = parseFloat(getComputedStyle(frame).maxHeight) || 600;
  const width = Math.min(most, high * canvas.width / canvas.height);
  canvas.style.width = `${Math.floor(width * zoom)}px`;
  draw();
}

function describe() {
  const count = view.colors.length;
  const picked = hand.picked.size ? `, ${hand.picked.size} picked` : '';
  const kept = view.isChanged ? ' · not saved yet' : '';
  if (!find('said').dataset.keep) find('said').textContent = view.numbers ? `${count} mask${count === 1 ? '' : 's'}${picked}${kept}` : 'Opening …';
  const off = { undo: !view.canUndo, redo: !view.canRedo, save: !view.isChanged, discard: !view.isChanged, join: hand.picked.size < 2,
                pieces: hand.picked.size !== 1, remove: !hand.picked.size,
                before: view.names.indexOf(view.name) <= 0, after: view.names.indexOf(view.name) + 1 >= view.names.length,
                out: hand.zoom === 0, in: hand.zoom + 1 === ZOOMS.length };
  for (const button of root.querySelectorAll('[data-do]')) button.disabled = off[button.dataset.do] ?? false;
  for (const button of root.querySelectorAll('[data-tool]')) button.setAttribute('aria-pressed', String(button.dataset.tool === hand.tool));
  root.dataset.tool = hand.tool;
  const isDrawing = ['brush', 'polygon', 'point', 'box'].includes(hand.tool);
  for (const part of root.querySelectorAll('.me-only-drawing')) part.hidden = !isDrawing;
  for (const part of root.querySelectorAll('.me-only-brush')) part.hidden = hand.tool !== 'brush' && hand.tool !== 'erase';
  const by = hand.tool === 'point' || hand.tool === 'box' ? ` (${view.model || 'by surface and colour'})` : '';
  find('hint').textContent = HINTS[hand.tool] + by;
}

// What is said stays until the next edit.
function say(words) {
  find('said').dataset.keep = words ? '1' : '';
  find('said').textContent = words;
  describe();
}

function showVersions() {
  const list = find('version');
  list.replaceChildren(...view.versions.toReversed().map(({ number, saved, masks }) => {
    const option = document.createElement('option');
    option.value = number;
    option.textContent = `${number}${number === 1 ? ', as it was' : ''}: ${masks} masks, ${new Date(saved).toLocaleString()}`;
    return option;
  }));
  find('versions').hidden = view.versions.length === 0;
}

function choose(tool) {
  hand.tool = tool;
  drop();
  describe();
}

function drop() {
  hand.points = [];
  hand.isDown = false;
  draw();
}

// From the canvas's pixels, whose corners are whole, to the photo's, whose centres are.
const toPhoto = ([x, y]) => [x * view.width / canvas.width - 0.5, y * view.height / canvas.height - 0.5].map((v) => Math.round(v * 100) / 100);
const place = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
};
function numberAt([x, y]) {
  const [column, row] = [Math.floor(x), Math.floor(y)];
  const isInside = column >= 0 && row >= 0 && column < canvas.width && row < canvas.height;
  return isInside && view.numbers ? view.numbers[Math.floor(row / view.grain) * view.across + Math.floor(column / view.grain)] : 0;
}

const onlyPicked = () => (hand.picked.size === 1 ? [...hand.picked][0] : null);

function send(kind, extra) {
  let points = hand.points;
  while (points.length > MOST_POINTS) points = points.filter((_, i) => i % 2 === 0 || i + 1 === points.length);
  const wanted = kind === 'draw' && find('into').value === 'picked';
  if (wanted && onlyPicked() === null) { drop(); complain('Pick the one mask that is to grow first, or let it become a new mask.'); return; }
  const into = kind === 'erase' || wanted ? onlyPicked() : null;
  const request = { do: kind, points: points.map(toPhoto), radius: radius() * view.width / canvas.width, into, leavesOthers: find('leaves').checked, ...extra };
  // A number is one of this step; what goes into a new mask may follow another edit that is on its way.
  if (request.into !== null) request.step = view.step;
  say('');
  drop();
  change(request);
}

function pick(number, isMore) {
  if (!number) { if (!isMore) hand.picked.clear(); }
  else if (isMore && hand.picked.has(number)) hand.picked.delete(number);
  else { if (!isMore) hand.picked.clear(); hand.picked.add(number); }
  say('');
  paint();
  draw();
}

canvas.addEventListener('pointerdown', (event) => {
  if (event.button || !view.numbers) return;
  const at = place(event);
  if (hand.tool === 'move') { hand.dragged = [event.clientX + frame.scrollLeft, event.clientY + frame.scrollTop]; return; }
  event.preventDefault();
  frame.focus({ preventScroll: true });
  // A finger has no Shift: each tap adds or takes away.
  if (hand.tool === 'pick') { pick(numberAt(at), event.shiftKey || event.pointerType === 'touch'); return; }
  if (hand.tool === 'point') { hand.points = [at]; send('draw', { tool: 'point' }); return; }
  if (hand.tool === 'polygon') {
    const near = CLOSE_PX * canvas.width / canvas.clientWidth;
    const first = hand.points[0];
    if (hand.points.length > 2 && Math.hypot(at[0] - first[0], at[1] - first[1]) < near) { send('draw', { tool: 'polygon' }); return; }
    hand.points.push(at);
    draw();
    return;
  }
  try { canvas.setPointerCapture(event.pointerId); } catch (error) { /* a pointer that has gone already */ }
  hand.isDown = true;
  hand.points = [at];
  draw();
});
canvas.addEventListener('pointermove', (event) => {
  if (hand.tool === 'move') {
    if (hand.dragged && event.pointerType === 'mouse' && event.buttons) frame.scrollTo(hand.dragged[0] - event.clientX, hand.dragged[1] - event.clientY);
    return;
  }
  hand.at = place(event);
  if (hand.isDown) {
    const last = hand.points[hand.points.length - 1];
    if (hand.tool === 'box') hand.points = [hand.points[0], hand.at];
    else if (Math.hypot(hand.at[0] - last[0], hand.at[1] - last[1]) >= 1) hand.points.push(hand.at);
  }
  draw();
});
canvas.addEventListener('pointerup', () => {
  hand.dragged = null;
  if (!hand.isDown) return;
  hand.isDown = false;
  if (hand.tool === 'brush') send('draw', { tool: 'brush' });
  else if (hand.tool === 'erase') send('erase', { tool: 'brush' });
  else if (hand.tool === 'box') { if (hand.points.length === 2) send('draw', { tool: 'box' }); else drop(); }
  else if (hand.tool === 'split') cut();
});
canvas.addEventListener('pointercancel', drop);
canvas.addEventListener('pointerleave', () => { hand.at = null; draw(); });
canvas.addEventListener('dblclick', () => {
  // The second click of the two has set a corner where the first one has.
  if (hand.tool === 'polygon' && hand.points.length > 3) { hand.points.pop(); send('draw', { tool: 'polygon' }); }
});

// The picked mask, else the one that most of the line lies on.
function cut() {
  let own = onlyPicked();
  if (own === null) {
    const counts = new Map();
    const points = hand.points;
    for (let i = 1; i < points.length; i++) {
      const steps = Math.ceil(Math.hypot(points[i][0] - points[i - 1][0], points[i][1] - points[i - 1][1])) || 1;
      for (let k = 0; k <= steps; k++) {
        const number = numberAt([0, 1].map((axis) => points[i - 1][axis] + (points[i][axis] - points[i - 1][axis]) * k / steps));
        if (number) counts.set(number, (counts.get(number) ?? 0) + 1);
      }
    }
    own = [...counts].sort((one, other) => other[1] - one[1])[0]?.[0] ?? null;
  }
  if (own === null || hand.points.length < 2) { drop(); complain('Draw a line right across a mask.'); return; }
  send('split', { into: own });
}

const actions = {
  undo: () => { say(''); change({ do: 'undo' }); },
  redo: () => { say(''); change({ do: 'redo' }); },
  join: () => { say(''); change({ do: 'join', masks: [...hand.picked], step: view.step }); },
  remove: () => { say(''); change({ do: 'remove', masks: [...hand.picked], step: view.step }); },
  pieces: () => { say(''); change({ do: 'split', into: onlyPicked(), points: [], step: view.step }); },
  version: () => { say(''); change({ do: 'version', number: Number(find('version').value) }); },
  save: () => { ask('save_masks', {}, async (got) => { await takeMasks(got); say(got.said); trigger('changed', {}); }); },
  discard: () => { ask('close_view', {}, () => { view.isChanged = false; noteDirty(); open(view.scene, view.name); }); },
  before: () => go(-1),
  after: () => go(1),
  in: () => { hand.zoom += 1; fit(); describe(); },
  out: () => { hand.zoom -= 1; fit(); describe(); },
  fit: () => { hand.zoom = 0; fit(); describe(); },
};

function go(by) {
  const name = view.names[view.names.indexOf(view.name) + by];
  if (name !== undefined) move(view.scene, name);
}

function move(scene, name) {
  history.pushState(null, '', '?' + new URLSearchParams({ tab: 'scenes', scene, view: name }));
  open(scene, name);
}

function open(scene, name) {
  round += 1;
  const isOther = scene !== view.scene;
  Object.assign(view, { scene, name, numbers: null, photo: null, colors: [], versions: [], isChanged: false, canUndo: false, canRedo: false });
  if (isOther) view.names = [];
  hand.picked.clear();
  hand.zoom = 0;
  overlay = null;
  say('');
  complain('');
  drop();
  root.hidden = false;
  document.body.classList.add('mg-editing');
  find('scene').textContent = scene;
  find('back').href = '?' + new URLSearchParams({ tab: 'scenes', scene });
  find('fault').hidden = true;
  for (const part of ['work', 'places']) find(part).hidden = false;
  return ask('open_view', {}, async (got) => {
    if (got.fault) {
      find('fault').querySelector('span').textContent = got.fault;
      find('fault').hidden = false;
      for (const part of ['work', 'places']) find(part).hidden = true;
      return;
    }
    view.names = got.views;
    view.model = got.model;
    const list = find('view');
    if (list.options.length !== got.views.length || isOther) {
      list.replaceChildren(...got.views.map((one) => { const option = document.createElement('option'); option.value = option.textContent = one; return option; }));
    }
    list.value = got.view;
    view.name = got.view;
    const isLost = wasDirty() && !got.isChanged;
    const asked = round;
    const address = `maskgroup/scenes/photo?${new URLSearchParams({ scene, view: got.view })}`;
    await takeMasks(got);
    if (isLost) say('The app was started anew meanwhile: changes of this view that were not saved are gone.');
    load(address).then((photo) => { if (asked === round) { view.photo = photo; draw(); } }, () => complain('The photo cannot be shown; reload the page.'));
  });
}

function close() {
  round += 1;
  root.hidden = true;
  view.scene = '';
  document.body.classList.remove('mg-editing');
}

function readAddress() {
  const query = new URLSearchParams(location.search);
  if (query.get('tab') === 'scenes' && query.has('view') && query.get('scene')) {
    if (root.hidden || query.get('scene') !== view.scene || query.get('view') !== view.name) open(query.get('scene'), query.get('view'));
  } else if (!root.hidden && query.get('tab') === 'scenes') close();
}

root.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button?.dataset.tool) choose(button.dataset.tool);
  else if (button?.dataset.do) actions[button.dataset.do]();
});
find('view').addEventListener('change', (event) => move(view.scene, event.target.value));
find('hide').addEventListener('change', () => { if (view.numbers) { paint(); draw(); } });
find('radius').addEventListener('input', draw);
find('copy').addEventListener('click', () => { const { scene } = view; leave(); trigger('copy', { scene }); });
find('back').addEventListener('click', (event) => {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  leave();
});
function leave() {
  history.pushState(null, '', find('back').search);
  close();
  document.getElementById('mg-scene-details')?.scrollIntoView({ block: 'nearest' });
}

document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[data-edit]');
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  history.pushState(null, '', link.search);
  readAddress();
  scrollTo({ top: 0 });
});
addEventListener('popstate', readAddress);
addEventListener('resize', () => { if (!root.hidden && view.numbers) fit(); });
document.addEventListener('keydown', (event) => {
  if (root.hidden || !root.offsetParent || find('work').hidden) return;
  const at = event.target;
  if (['TEXTAREA', 'SELECT'].includes(at.tagName) || (at.tagName === 'INPUT' && !['checkbox', 'range'].includes(at.type))) return;
  const key = event.key.toLowerCase();
  const isCommand = event.ctrlKey || event.metaKey;
  if (event.altKey || (isCommand && !'zys'.includes(key))) return;
  let action = null;
  if (isCommand) action = { z: event.shiftKey ? 'redo' : 'undo', y: 'redo', s: 'save' }[key];
  else action = { z: 'undo', y: 'redo', w: 'save', j: 'join', k: 'pieces', delete: 'remove', ',': 'before', '.': 'after', '+': 'in', '-': 'out', 0: 'fit' }[key];
  if (action) {
    event.preventDefault();
    if (!event.repeat && !root.querySelector(`[data-do=${action}]`).disabled) actions[action]();
  } else if (!isCommand && KEYS[key] && !event.repeat) choose(KEYS[key]);
  else if (key === '[' || key === ']') { find('radius').value = Number(find('radius').value) + (key === ']' ? 2 : -2); draw(); }
  else if (key === 'h' && !event.repeat) find('hide').click();
  else if (key === 'escape') drop();
  else if (key === 'backspace' && hand.tool === 'polygon' && hand.points.length) { event.preventDefault(); hand.points.pop(); draw(); }
  else if (key === 'enter' && hand.tool === 'polygon' && hand.points.length > 2 && at.tagName !== 'BUTTON') { event.preventDefault(); send('draw', { tool: 'polygon' }); }
});
describe();
readAddress();
