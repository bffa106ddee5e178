// Draws the room with Plotly inside a gr.HTML. The cloud is fetched once a scene; updates carry only overlays,
// and at most a patch of its colours, and a constant uirevision keeps the camera where the person left it.
const plot = element.querySelector('.mg-plot');
const note = element.querySelector('.mg-plot-note');
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

async function draw() {
  if (!props.value || !plot.offsetWidth) return;
  while (!window.Plotly) await new Promise((resolve) => setTimeout(resolve, 50));
  const view = JSON.parse(props.value);
  if (view.permalink) history.replaceState(null, '', view.permalink);
  if (view.cloud_url !== cloudUrl) {
    note.textContent = 'Loading the room ...';
    const wanted = view.cloud_url;
    const answer = await fetch(wanted);
    if (!answer.ok) {
      note.textContent = answer.status === 404 ? 'This scene has no mesh, depth or poses, so there is no 3D view.' : 'The 3D view could not be loaded.';
      return;
    }
    cloud = await answer.json();
    cloudUrl = wanted;
    note.textContent = '';
  }
  const painted = view.paint ? { ...cloud, marker: { ...cloud.marker, ...view.paint } } : cloud;
  await Plotly.react(plot, [painted, ...view.traces], layout(), { displaylogo: false, responsive: true, modeBarButtons: [['resetCameraDefault3d']] });
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
