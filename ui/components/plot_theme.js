// What all plots of a comparison look like, on the page and in the report: text, grid and ground follow the theme.
function themed(layout, isDark) {
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
