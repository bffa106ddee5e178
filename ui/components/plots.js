// Draws a list of plots with the page's one copy of Plotly. Follows plot_theme.js, which gives `themed`.
const root = element.querySelector('.mg-plots');

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
    await Plotly.react(area, plot.data, themed(plot.layout, document.body.classList.contains('dark')), { displaylogo: false, responsive: true, displayModeBar: false });
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
