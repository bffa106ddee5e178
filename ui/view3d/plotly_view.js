// Draws the room with Plotly inside a gr.HTML: a mesh where the scene has one, else points. The room is fetched once a scene;
// updates carry only overlays, colours, and which parts are lit, and the camera stays where the person put it.
// While a cloud turns, only as many points are drawn as the machine keeps up with; all come back when it rests.
const plot = element.querySelector('.mg-plot');
const note = element.querySelector('.mg-plot-note');
const count = element.querySelector('.mg-plot-count');
const bar = element.querySelector('.mg-room-bar');
const said = element.querySelector('.mg-room-said');
const cut = bar.querySelector('input[type=range]');
const backs = bar.querySelector('input[type=checkbox]');
const CAMERA_PX = 9, CLICK_PX = 5, POINT_PX = 6;
let cloudUrl = null;
let room = null;
let view = null;
let framed = null;
let hidden = null, only = null;

const BYTES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };
function typed({ dtype, bdata }) {
  const bytes = Uint8Array.from(atob(bdata), (letter) => letter.charCodeAt(0));
  return new BYTES[dtype](bytes.buffer);
}
const css = ([r, g, b]) => `rgb(${r},${g},${b})`;

// Corners as x, y, z; parts (points, or faces with i, j, k) with their middles and heights.
function unpack(got) {
  const corners = typed(got.corners), axes = [0, 1, 2].map((k) => {
    const values = new Float32Array(corners.length / 3);
    for (let n = 0; n < values.length; n++) values[n] = got.low[k] + got.step[k] * corners[3 * n + k];
    return values;
  });
  const faces = got.faces ? typed(got.faces) : null;
  const parts = faces ? faces.length / 3 : axes[0].length;
  const middles = new Float32Array(3 * parts), heights = new Float32Array(parts);
  for (let n = 0; n < parts; n++) {
    for (let k = 0; k < 3; k++) {
      const at = axes[k];
      const middle = faces ? (at[faces[3 * n]] + at[faces[3 * n + 1]] + at[faces[3 * n + 2]]) / 3 : at[n];
      middles[3 * n + k] = middle;
      heights[n] += middle * got.up[k];
    }
  }
  const palette = got.palette.map(css), colors = typed(got.colors);
  return { ...got, axes, faces, parts, middles, partHeights: heights, colors, corner_colors: faces ? Array.from(colors, (c) => palette[c]) : null,
           limits: [0, 1, 2].map((k) => [got.low[k], got.low[k] + 65535 * got.step[k]]) };
}

function eyeFrom(up) {
  const side = Math.abs(up[0]) < 0.8 ? [1, 0, 0] : [0, 1, 0];
  const other = [up[1] * side[2] - up[2] * side[1], up[2] * side[0] - up[0] * side[2], up[0] * side[1] - up[1] * side[0]];
  return [0, 1, 2].map((k) => 0.4 * side[k] + 0.7 * other[k] + 1.25 * up[k]);
}

const scene = () => plot._fullLayout?.scene?._scene;

function layout(isNew) {
  const isDark = document.body.classList.contains('dark');
  const [x, y, z] = eyeFrom(room.up);
  const [ux, uy, uz] = room.up;
  const axis = (k) => {
    const pad = 0.04 * Math.max(...room.limits.map(([low, high]) => high - low));
    return { visible: false, showspikes: false, autorange: false, range: [room.limits[k][0] - pad, room.limits[k][1] + pad] };
  };
  const usual = { up: { x: ux, y: uy, z: uz }, eye: { x, y, z }, center: { x: 0, y: 0, z: 0 } };
  return {
    uirevision: cloudUrl,
    margin: { l: 0, r: 0, t: 0, b: 0 },
    paper_bgcolor: 'rgba(0,0,0,0)',
    font: { color: isDark ? '#e5e7eb' : '#1f2937' },
    showlegend: true,
    hovermode: false,
    legend: { orientation: 'h', y: 0, itemsizing: 'constant', itemclick: false, itemdoubleclick: false },
    scene: { xaxis: axis(0), yaxis: axis(1), zaxis: axis(2), aspectmode: 'data', hovermode: false,
             camera: isNew || !scene() ? usual : scene().getCamera() },
  };
}

// Two pages show the same room: it travels once.
const clouds = window.mgClouds ??= new Map();
async function load(url) {
  if (!clouds.has(url)) {
    clouds.set(url, fetch(url).then(async (answer) => (answer.ok ? { room: unpack(await answer.json()) } : await answer.json())));
  }
  try {
    const loaded = await clouds.get(url);
    if (!loaded.room) clouds.delete(url);
    return loaded;
  } catch (error) {
    clouds.delete(url);
    return { error: 'The 3D view could not be loaded; is the app still running? Reload the page.' };
  }
}

function sayCount() {
  const say = (number) => Math.round(number).toLocaleString('en').replaceAll(',', '\u202f');
  count.textContent = !room.faces ? `${say(room.parts)} points`
    : room.of_faces > room.parts ? `${say(room.parts)} faces stand for a mesh of ${say(room.of_faces)}` : `${say(room.parts)} faces`;
}

const SLOW_MS = 70, QUICK_MS = 34, REST_MS = 250, LEAST = 1 / 40;
let share = 1 / 4;
let isTurning = false, hasMoved = false, restTimer = null;
const whole = new Map();

function thin() {
  for (const points of scene()?.glplot?.objects ?? []) {
    if (!points.vertexCount) continue;
    if (!whole.has(points)) whole.set(points, points.vertexCount);
    points.vertexCount = Math.max(6, Math.floor(whole.get(points) * share / 6) * 6);
  }
}

function rest() {
  clearTimeout(restTimer);
  isTurning = false;
  for (const [points, vertices] of whole) {
    points.vertexCount = vertices;
    points.dirty = true;
  }
  whole.clear();
}

function turn() {
  hasMoved = true;
  clearTimeout(restTimer);
  restTimer = setTimeout(rest, REST_MS);
  if (isTurning) return;
  isTurning = true;
  thin();
  let before = performance.now();
  const step = (now) => {
    if (!isTurning) return;
    if (hasMoved) {
      const took = now - before;
      if (took > SLOW_MS) share = Math.max(LEAST, share * 0.6);
      if (took < QUICK_MS) share = Math.min(1, share * 1.4);
      thin();
    }
    before = now;
    hasMoved = false;
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}
plot.addEventListener('mousemove', (event) => { if (event.buttons) turn(); }, true);
plot.addEventListener('touchmove', turn, { capture: true, passive: true });
plot.addEventListener('wheel', turn, { capture: true, passive: true });

// What is drawn of the room: for each part the number of the trace that it is in (0 = the room, 1.. = lit), or -1 where it is hidden.
function shares() {
  const of = new Int8Array(room.parts);
  for (const [n, { bits }] of view.lit.entries()) {
    const chosen = Uint8Array.from(atob(bits), (letter) => letter.charCodeAt(0));
    for (let k = 0; k < room.parts; k++) if (chosen[k >> 3] & (128 >> (k & 7))) of[k] = n + 1;
  }
  const limit = height();
  for (let k = 0; k < room.parts; k++) if (room.partHeights[k] > limit || hidden?.[k] || (only && !only[k])) of[k] = -1;
  return of;
}

function height() {
  const [low, high] = room.heights;
  return Number(cut.value) >= 100 ? Infinity : low + (high - low) * Number(cut.value) / 100;
}

const LIGHT = { ambient: 0.85, diffuse: 0.32, specular: 0.04, roughness: 0.9, fresnel: 0.05 };
function traces() {
  const of = room.of = shares();
  const paint = view.paint && { colors: typed(view.paint.colors), palette: view.paint.palette };
  const parts = [[], ...view.lit.map(() => [])];
  for (let k = 0; k < room.parts; k++) if (of[k] >= 0) parts[of[k]].push(k);
  return parts.map((chosen, n) => {
    const lit = n ? view.lit[n - 1] : null;
    const usual = { name: lit ? lit.name : 'room', hoverinfo: 'skip', showlegend: Boolean(lit) };
    return room.faces ? meshOf(chosen, usual, lit, paint) : pointsOf(chosen, usual, lit, paint);
  });
}

function meshOf(chosen, usual, lit, paint) {
  const [x, y, z] = room.axes;
  const [i, j, k] = [0, 1, 2].map((corner) => Uint32Array.from(chosen, (face) => room.faces[3 * face + corner]));
  // 256 texels, of which a byte's values meet the middles; Plotly takes 256 steps at most, so the last of 255 colours fills two.
  const scale = ({ palette }) => [...Array(255).keys()].map((n) => [n / 256, css(palette[Math.min(n, palette.length - 1)])]);
  const color = lit ? { color: lit.color } : paint
    ? { intensity: Float32Array.from(chosen, (face) => paint.colors[face]), intensitymode: 'cell', cmin: -0.5, cmax: 255.5, showscale: false,
        colorscale: [...scale(paint), [1, css(paint.palette.at(-1))]] }
    : { vertexcolor: room.corner_colors };
  return { type: 'mesh3d', x, y, z, i, j, k, flatshading: true, lighting: LIGHT,
           lightposition: { x: 1e4, y: 2e4, z: 3e4 }, ...usual, ...color,
           // One of its own for each way of colouring: what the last one left in an object of Plotly's would tint the next.
           uid: lit ? `lit ${lit.color}` : paint ? 'painted' : 'photo' };
}

function pointsOf(chosen, usual, lit, paint) {
  const [x, y, z] = room.axes.map((axis) => Float32Array.from(chosen, (n) => axis[n]));
  const { colors, palette } = paint ?? room, last = Math.max(palette.length - 1, 1);
  const steps = palette.length > 1 ? palette.map((one, n) => [n / last, css(one)]) : [[0, css(palette[0])], [1, css(palette[0])]];
  // Two triangles a point; Plotly makes its round markers of dozens, which no eye can tell apart at this size.
  const marker = lit ? { size: 3.4, color: lit.color }
    : { size: 2.6, color: Uint8Array.from(chosen, (n) => colors[n]), colorscale: steps, cmin: 0, cmax: last, showscale: false };
  return { type: 'scatter3d', mode: 'markers', x, y, z, marker: { symbol: 'square', ...marker }, ...usual };
}

// Walls are seen through from behind: what faces away from the eye is not drawn. Plotly switches that off at each drawing, so it is
// switched on where the faces are handed over.
function seeThrough() {
  for (const mesh of scene()?.glplot?.objects ?? []) {
    const faces = mesh.triangleVAO;
    if (!faces || faces.mgBind) continue;
    const { gl } = mesh;
    [faces.mgBind, faces.mgUnbind] = [faces.bind, faces.unbind];
    faces.bind = () => {
      faces.mgBind();
      if (!backs.checked) return;
      gl.enable(gl.CULL_FACE);
      // Plotly looks at its scene in a mirror: fronts come wound the other way round.
      gl.cullFace(gl.FRONT);
    };
    faces.unbind = () => { gl.disable(gl.CULL_FACE); faces.mgUnbind(); };
  }
}

async function draw() {
  if (!props.value || !plot.offsetWidth) return;
  while (!window.Plotly) await new Promise((resolve) => setTimeout(resolve, 50));
  view = { lit: [], cameras: [], framed: '', ...JSON.parse(props.value) };
  if (view.permalink) history.replaceState(null, '', view.permalink);
  const isNew = view.cloud_url !== cloudUrl;
  if (isNew) {
    note.textContent = 'Loading the room ...';
    const wanted = view.cloud_url;
    const loaded = await load(wanted);
    if (!loaded.room) {
      count.textContent = '';
      bar.hidden = true;
      note.textContent = loaded.error || 'The 3D view could not be loaded.';
      return;
    }
    room = { ...loaded.room };
    cloudUrl = wanted;
    [hidden, only, framed] = [null, null, view.framed];
    const [low, high, ceiling] = room.heights;
    cut.value = Math.round(100 * (ceiling - low) / Math.max(high - low, 1e-6));
    bar.hidden = false;
    backs.closest('label').hidden = !room.faces;
    sayCount();
    note.textContent = '';
  }
  if (view.paint && view.paint.colors && typed(view.paint.colors).length !== room.parts) view.paint = null;
  element.classList.remove('mg-asked');
  said.textContent = '';
  await show(isNew);
  if (framed !== view.framed) {
    framed = view.framed;
    zoom();
  }
}

async function show(isNew = false) {
  rest();
  const [low] = room.heights, limit = height();
  bar.querySelector('output').textContent = Number.isFinite(limit) ? `${(limit - low).toFixed(1)} m` : 'no height';
  for (const name of ['zoom', 'only', 'hide']) bar.querySelector(`[data-room=${name}]`).disabled = !view.lit.length;
  await Plotly.react(plot, [...traces(), ...view.traces], layout(isNew), {
    displaylogo: false,
    responsive: true,
    plotGlPixelRatio: Math.min(2, Math.max(1, window.devicePixelRatio)),
    modeBarButtons: [['resetCameraDefault3d']],
  });
  seeThrough();
  for (const object of scene()?.glplot?.objects ?? []) object.dirty = true;
}

// A matrix of WebGL times (x, y, z, w).
const times = (m, v) => [0, 1, 2, 3].map((row) => m[row] * v[0] + m[4 + row] * v[1] + m[8 + row] * v[2] + m[12 + row] * v[3]);

function inverse(m) {
  const rows = [0, 1, 2, 3].map((row) => [...[0, 1, 2, 3].map((column) => m[4 * column + row]), ...[0, 1, 2, 3].map((column) => Number(row === column))]);
  for (let k = 0; k < 4; k++) {
    const best = rows.slice(k).reduce((at, row, n) => (Math.abs(row[k]) > Math.abs(rows[at][k]) ? n + k : at), k);
    [rows[k], rows[best]] = [rows[best], rows[k]];
    rows[k] = rows[k].map((value) => value / rows[k][k]);
    for (let n = 0; n < 4; n++) if (n !== k) rows[n] = rows[n].map((value, c) => value - rows[n][k] * rows[k][c]);
  }
  return [0, 1, 2, 3].flatMap((column) => rows.map((row) => row[4 + column]));
}

function eyes() {
  const { glplot, dataScale } = scene(), { model, view: look, projection } = glplot.cameraParams;
  const box = glplot.canvas.getBoundingClientRect();
  const toScene = (p) => times(model, [...p.map((value, k) => value * dataScale[k]), 1]).slice(0, 3);
  const toScreen = (p) => {
    const [x, y, , w] = times(projection, times(look, [...toScene(p), 1]));
    return [box.left + (x / w + 1) / 2 * box.width, box.top + (1 - y / w) / 2 * box.height, w];
  };
  const back = [projection, look, model].map((m) => inverse(Array.from(m)));
  const toRoom = (x, y, depth) => {
    let at = [2 * (x - box.left) / box.width - 1, 1 - 2 * (y - box.top) / box.height, depth, 1];
    for (const m of back) at = times(m, at);
    return [0, 1, 2].map((k) => at[k] / at[3] / dataScale[k]);
  };
  return { toScene, toScreen, toRoom };
}

const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];

// What of the room is at a place of the window: asked here and not of Plotly, which knows only what the pointer has rested on.
function at(clientX, clientY) {
  const { toRoom, toScreen } = eyes();
  const from = toRoom(clientX, clientY, -1), along = minus(toRoom(clientX, clientY, 1), from);
  const [x, y, z] = room.axes;
  let nearest = Infinity, part = -1;
  if (room.faces) {
    // Möller and Trumbore (1997), without an array a face: a click is answered at once.
    const { faces, of } = room, isOneSided = backs.checked, [fx, fy, fz] = from, [dx, dy, dz] = along;
    for (let n = 0; n < room.parts; n++) {
      if (of[n] < 0) continue;
      const a = faces[3 * n], b = faces[3 * n + 1], c = faces[3 * n + 2], ax = x[a], ay = y[a], az = z[a];
      const ux = x[b] - ax, uy = y[b] - ay, uz = z[b] - az, vx = x[c] - ax, vy = y[c] - ay, vz = z[c] - az;
      const px = dy * vz - dz * vy, py = dz * vx - dx * vz, pz = dx * vy - dy * vx, size = ux * px + uy * py + uz * pz;
      if (isOneSided ? size <= 1e-12 : Math.abs(size) <= 1e-12) continue;
      const tx = fx - ax, ty = fy - ay, tz = fz - az, u = (tx * px + ty * py + tz * pz) / size;
      if (u < 0 || u > 1) continue;
      const qx = ty * uz - tz * uy, qy = tz * ux - tx * uz, qz = tx * uy - ty * ux, v = (dx * qx + dy * qy + dz * qz) / size;
      if (v < 0 || u + v > 1) continue;
      const far = (vx * qx + vy * qy + vz * qz) / size;
      if (far > 0 && far < nearest) { nearest = far; part = n; }
    }
  } else {
    for (let n = 0; n < room.parts; n++) {
      if (room.of[n] < 0) continue;
      const [sx, sy, w] = toScreen([x[n], y[n], z[n]]);
      if (w > 0 && w < nearest && Math.abs(sx - clientX) <= POINT_PX && Math.abs(sy - clientY) <= POINT_PX) { nearest = w; part = n; }
    }
  }
  if (part < 0) return null;
  return room.faces ? [0, 1, 2].map((k) => from[k] + nearest * along[k]) : [x[part], y[part], z[part]];
}

function cameraAt(clientX, clientY) {
  const { toScreen } = eyes();
  const near = view.cameras.map(({ name, at: place }) => {
    const [x, y] = toScreen(place);
    return { name, away: Math.hypot(x - clientX, y - clientY) };
  }).filter(({ away }) => away <= CAMERA_PX).sort((a, b) => a.away - b.away);
  return near.length ? near[0].name : '';
}

let pressed = null;
plot.addEventListener('pointerdown', (event) => { pressed = event.button === 0 ? [event.clientX, event.clientY] : null; }, true);
plot.addEventListener('pointerup', (event) => {
  const start = pressed;
  pressed = null;
  if (!start || !room || !scene() || event.target.closest('.modebar, .legend')) return;
  if (Math.hypot(event.clientX - start[0], event.clientY - start[1]) > CLICK_PX) return;
  const camera = cameraAt(...start), place = at(...start);
  if (!camera && !place) { said.textContent = 'Nothing is there: click the room itself.'; return; }
  said.textContent = camera ? `View ${camera}` : 'Looking …';
  element.classList.add('mg-asked');
  const [x, y, z] = place ?? view.cameras.find(({ name }) => name === camera).at;
  trigger('pick', { x, y, z, camera });
}, true);

function chosenOf() {
  const found = new Uint8Array(room.parts), chosen = Uint8Array.from(atob(view.lit[0].bits), (letter) => letter.charCodeAt(0));
  for (let k = 0; k < room.parts; k++) if (chosen[k >> 3] & (128 >> (k & 7))) found[k] = 1;
  return found;
}

// Brings the first lit part into the middle, seen from where one stands.
function zoom() {
  if (!view.lit.length) return;
  const { toScene } = eyes(), chosen = chosenOf();
  const places = [];
  for (let k = 0; k < room.parts; k++) if (chosen[k]) places.push(toScene([...room.middles.slice(3 * k, 3 * k + 3)]));
  if (!places.length) return;
  const center = [0, 1, 2].map((k) => places.reduce((sum, place) => sum + place[k], 0) / places.length);
  const radius = Math.max(0.06, ...places.map((place) => Math.hypot(...minus(place, center))));
  const camera = scene().getCamera(), away = minus(Object.values(camera.eye), Object.values(camera.center));
  const step = 3.2 * radius / Math.hypot(...away);
  const named = ([x, y, z]) => ({ x, y, z });
  scene().setViewport?.({ camera: { ...camera, center: named(center), eye: named(center.map((value, k) => value + step * away[k])) }, aspectratio: scene().fullSceneLayout.aspectratio });
  scene().saveLayout?.(plot.layout);
}

bar.addEventListener('click', async (event) => {
  const what = event.target.dataset.room;
  if (!what || !room) return;
  if (what === 'zoom') { zoom(); return; }
  if (what === 'all') {
    [hidden, only] = [null, null];
    cut.value = 100;
  } else if (what === 'only') only = chosenOf();
  else {
    const chosen = chosenOf();
    hidden = hidden ? hidden.map((value, k) => value | chosen[k]) : chosen;
  }
  await show();
});
cut.addEventListener('input', () => { if (room) redrawParts(); });
backs.addEventListener('change', () => { if (room) show(); });

let isShowing = false;
function redrawParts() {
  if (isShowing) return;
  isShowing = true;
  requestAnimationFrame(() => { isShowing = false; show(); });
}

plot.mgRoom = { at, cameraAt, eyes, cameras: () => JSON.stringify(view.cameras), parts: () => ({ parts: room.parts, drawn: room.of.filter((n) => n >= 0).length, lit: room.of.filter((n) => n > 0).length, isMesh: Boolean(room.faces) }) };

// One drawing at a time, and the next one takes the latest value: two at once would fetch the room twice.
let drawing = Promise.resolve();
let isQueued = false;
function redraw() {
  if (isQueued) return;
  isQueued = true;
  drawing = drawing.then(() => { isQueued = false; return draw(); }).catch((error) => console.error(error));
}

watch('value', redraw);
redraw();
// A view in a tab that is not open has no size: it is drawn when the tab opens.
let width = plot.offsetWidth;
new ResizeObserver(() => {
  if (plot.offsetWidth === width) return;
  const wasHidden = width === 0;
  width = plot.offsetWidth;
  if (wasHidden) redraw();
}).observe(plot);
new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ['class'] });
