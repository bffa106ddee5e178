// What all pages share in the browser: an address for each, and names for what Gradio draws without one.

const FIRST = 'judge';
const addresses = new Map();
const tabOf = (place) => new URLSearchParams(place.search).get('tab') || FIRST;

// A click on a tab writes the page's address, so that a reload opens it again. A page keeps what its address said, such as
// the two masks of the Judge page, while another is open.
document.addEventListener('click', (event) => {
  const wanted = event.target.closest?.('[role=tab][data-tab-id]')?.dataset.tabId;
  const left = tabOf(location);
  if (!wanted || wanted === left) return;
  addresses.set(left, location.search);
  history.pushState(null, '', `${location.pathname}${addresses.get(wanted) ?? (wanted === FIRST ? '' : `?tab=${wanted}`)}`);
}, true);

addEventListener('popstate', () => document.querySelector(`[role=tab][data-tab-id="${CSS.escape(tabOf(location))}"]`)?.click());

// An empty gallery is a box with a label but no role, and a gallery's picture repeats its caption.
function name() {
  for (const box of document.querySelectorAll('div.empty[aria-label]:not([role])')) box.setAttribute('role', 'img');
  for (const picture of document.querySelectorAll('.gallery-item img[alt]:not([alt=""]), .thumbnail-item img[alt]:not([alt=""])')) {
    const caption = picture.closest('button')?.querySelector('.caption-label');
    if (caption && caption.textContent.trim() === picture.alt.trim()) picture.alt = '';
  }
}

let isAsked = false;
new MutationObserver(() => {
  if (isAsked) return;
  isAsked = true;
  setTimeout(() => { isAsked = false; name(); }, 200);
}).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ['alt'] });
name();
