// Draws a list of plots with the page's one copy of Plotly; colours of text and grid follow the theme.
const root = element.querySelector('.mg-plots');

function themed(layout) {
  const isDark = document.body.classList.contains('dark');
  const axis = { gridcolor: isDark ? '#3f3f46' : '#e5e7eb', zeroline: false, automargin: true };
  return {
    ...layout,
    xaxis: { ...axis, ...layout.xaxis },
    yaxis: { ...axis, ...layout.yaxis },
    margin: { l: 50, r: 15, t: 10, b: 45 },
    paper_bgcolor: 'rgba(0,0,0,0)',
    plot_bgcolor: 'rgba(0,0,0,0)',
    font: { color: isDark ? '#e5e7eb' : '#1f2937', family: 'system-ui, sans-serif' },
    legend: { orientation: 'h', y: 1.12 },
  };
}

async function draw() {
  if (!root.offsetWidth) return;
  while (!window.Plotly) await new Promise((resolve) => setTimeout(resolve, 50));
  const plots = props.value ? JSON.parse(props.value) : [];
  while (root.children.length > plots.length) root.lastChild.remove();
  // All boxes first: a plot takes the width of its box, and the boxes share rows.
  while (root.children.length < plots.length) {
    const box = document.createElement('figure');
    box.className = 'mg-figure';
    box.append(document.createElement('figcaption'), document.createElement('div'), document.createElement('small'));
    root.append(box);
  }
  for (const [i, plot] of plots.entries()) {
    const [title, area, hint] = root.children[i].children;
    title.textContent = plot.title;
    hint.textContent = plot.hint;
    await Plotly.react(area, plot.data, themed(plot.layout), { displaylogo: false, responsive: true, displayModeBar: false });
  }
}

watch('value', draw);
draw();
let width = root.offsetWidth;
new ResizeObserver(() => {
  if (root.offsetWidth === width) return;
  const wasHidden = width === 0;
  width = root.offsetWidth;
  if (wasHidden) draw();
}).observe(root);
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ['class'] });
