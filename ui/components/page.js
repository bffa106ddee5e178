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

// Gradio opens a list as soon as it has the focus. Who comes by the Tab key is only passing: the arrow keys, typing or a click open it.
let isPassing = false;
const isList = (at) => at instanceof Element && at.matches('input[role=combobox]');
addEventListener('keydown', (event) => {
  isPassing = event.key === 'Tab';
  if (isPassing && isList(event.target)) event.stopImmediatePropagation();
}, true);
addEventListener('pointerdown', () => { isPassing = false; }, true);
addEventListener('focus', (event) => { if (isPassing && isList(event.target)) event.stopImmediatePropagation(); }, true);

// An empty gallery is a box with a label but no role, and a gallery's picture repeats its caption.
const EMPTY = 'div.empty[aria-label]:not([role])';
const REPEATS = '.gallery-item img[alt]:not([alt=""]), .thumbnail-item img[alt]:not([alt=""])';

function each(root, selector, act) {
  if (root.matches(selector)) act(root);
  root.querySelectorAll(selector).forEach(act);
}

function name(root) {
  each(root, EMPTY, (box) => box.setAttribute('role', 'img'));
  each(root, REPEATS, (picture) => {
    const caption = picture.closest('button')?.querySelector('.caption-label');
    if (caption && caption.textContent.trim() === picture.alt.trim()) picture.alt = '';
  });
}

// What has changed is named before anything else runs: a screen reader never meets what has no name yet.
new MutationObserver((changes) => {
  const changed = new Set();
  for (const { target, addedNodes } of changes) {
    const box = target.nodeType === Node.TEXT_NODE ? target.parentElement : target;
    changed.add(box?.closest('button') ?? null);
    addedNodes.forEach((node) => changed.add(node.nodeType === Node.ELEMENT_NODE ? node : null));
  }
  changed.delete(null);
  changed.forEach(name);
}).observe(document.body, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ['alt'] });
name(document.body);
