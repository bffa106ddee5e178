// Buttons of a scene's details: they name the scene that the details show, and what was found in it when they were drawn.
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-mend], button[data-make]');
  if (!button) return;
  const { scene, key } = button.closest('.mg-details').dataset;
  if (button.dataset.make) trigger('make', { scene, kind: button.dataset.make });
  else trigger('mend', { scene, key, finding: button.dataset.mend === 'all' ? -1 : Number(button.dataset.mend) });
});
