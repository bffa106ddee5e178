// Draws the plots of a report, which holds them as JSON, and again when the system's theme changes.
const plots = JSON.parse(document.getElementById('plots').textContent);
const dark = window.matchMedia('(prefers-color-scheme: dark)');

function draw() {
  for (const [i, plot] of plots.entries()) {
    const config = { displaylogo: false, responsive: true };
    Plotly.react(document.getElementById(`plot-${i}`), plot.data, themed(plot.layout, dark.matches), config);
  }
}

dark.addEventListener('change', draw);
draw();
