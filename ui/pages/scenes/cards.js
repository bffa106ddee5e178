// Back and forward show the scene of the address that they lead to; `links.js` writes these addresses.
addEventListener('popstate', () => {
  const query = new URLSearchParams(location.search);
  if (query.get('tab') === 'scenes') trigger('pick', { scene: query.get('scene') ?? '' });
});
