// A click on a scene shows it without leaving the page; its address is that of the link, so that reload and back show it too.
element.addEventListener('click', (event) => {
  const link = event.target.closest('a[data-scene]');
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  if (location.search !== link.search) history.pushState(null, '', link.search);
  trigger('pick', { scene: link.dataset.scene });
});
