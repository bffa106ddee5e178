// Draws the room with Plotly inside a gr.HTML. The cloud is fetched once a scene; updates carry only overlays,
// and at most a patch of its colours, and a constant uirevision keeps the camera where the person left it.
// While the room turns, only as many points are drawn as the machine keeps up with; all come back when it rests.
const plot = element.querySelector('.mg-plot');
const note = element.querySelector('.mg-plot-note');
const count = document.createElement('div');
count.className = 'mg-plot-count';
plot.after(count);
let cloudUrl = null;
let cloud = null;
let isBound = false;

function eyeFrom(up) {
  const side = Math.abs(up[0]) < 0.8 ? [1, 0, 0] : [0, 1, 0];
  const other = [up[1] * side[2] - up[2] * side[1], up[2] * side[0] - up[0] * side[2], up[0] * side[1] - up[1] * side[0]];
  return [0, 1, 2].map((k) => 0.45 * side[k] + 0.75 * other[k] + 1.35 * up[k]);
}

function layout() {
  const isDark = document.body.classList.contains('dark');
  const up = cloud.meta.up;
  const [x, y, z] = eyeFrom(up);
  const axis = { visible: false };
  return {
    uirevision: cloudUrl,
    margin: { l: 0, r: 0, t: 0, b: 0 },
    paper_bgcolor: 'rgba(0,0,0,0)',
    font: { color: isDark ? '#e5e7eb' : '#1f2937' },
    showlegend: true,
    legend: { orientation: 'h', y: 0, itemsizing: 'constant' },
    scene: {
      xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: 'data',
      camera: { up: { x: up[0], y: up[1], z: up[2] }, eye: { x, y, z } },
    },
  };
}

// Two pages show the same room: it travels once.
const clouds = window.mgClouds ??= new Map();
async function load(url) {
  if (!clouds.has(url)) {
    clouds.set(url, fetch(url).then(async (answer) => (answer.ok ? { cloud: await answer.json() } : await answer.json())));
  }
  try {
    const loaded = await clouds.get(url);
    if (!loaded.cloud) clouds.delete(url);
    return loaded;
  } catch (error) {
    clouds.delete(url);
    return { error: 'The 3D view could not be loaded; is the app still running? Reload the page.' };
  }
}

function sayCount() {
  const points = cloud.x.bdata.length * 3 / 16;
  const whole = cloud.meta.of_vertices;
  const say = (number) => Math.round(number).toLocaleString('en').replaceAll(',', '\u202f');
  count.textContent = whole > points ? `${say(points)} points stand for a mesh of ${say(whole)} vertices` : `${say(points)} points`;
}

const SLOW_MS = 70, QUICK_MS = 34, REST_MS = 250, LEAST = 1 / 40;
let share = 1 / 4;
let isTurning = false, hasMoved = false, restTimer = null;
const whole = new Map();

function thin() {
  for (const points of plot._fullLayout?.scene?._scene?.glplot?.objects ?? []) {
    if (!points.vertexCount) continue;
    if (!whole.has(points)) whole.set(points, points.vertexCount);
    points.vertexCount = Math.max(6, Math.floor(whole.get(points) * share / 6) * 6);
    points.drawPick = null; // nothing is picked while the room turns
  }
}

function rest() {
  clearTimeout(restTimer);
  isTurning = false;
  for (const [points, vertices] of whole) {
    points.vertexCount = vertices;
    delete points.drawPick;
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

async function draw() {
  if (!props.value || !plot.offsetWidth) return;
  while (!window.Plotly) await new Promise((resolve) => setTimeout(resolve, 50));
  const view = JSON.parse(props.value);
  if (view.permalink) history.replaceState(null, '', view.permalink);
  if (view.cloud_url !== cloudUrl) {
    note.textContent = 'Loading the room ...';
    const wanted = view.cloud_url;
    const loaded = await load(wanted);
    if (!loaded.cloud) {
      count.textContent = '';
      note.textContent = loaded.error || 'The 3D view could not be loaded.';
      return;
    }
    cloud = loaded.cloud;
    cloudUrl = wanted;
    sayCount();
    note.textContent = '';
  }
  const painted = view.paint ? { ...cloud, marker: { ...cloud.marker, ...view.paint } } : cloud;
  rest();
  await Plotly.react(plot, [painted, ...view.traces], layout(), {
    displaylogo: false,
    responsive: true,
    plotGlPixelRatio: Math.min(2, Math.max(1, window.devicePixelRatio)),
    modeBarButtons: [['resetCameraDefault3d']],
  });
  if (!isBound) {
    isBound = true;
    plot.on('plotly_click', (event) => {
      const point = event.points[0];
      trigger('pick', { x: point.x, y: point.y, z: point.z });
    });
  }
}

// One drawing at a time, and the next one takes the latest value: two at once would fetch the cloud twice.
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
