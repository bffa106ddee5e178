// The page's head: on a first visit a line that offers the tour, never again once it was seen or declined; and what the words mean.
const SEEN = 'maskgroup-tour';
const STEPS = [
  ['Judge', 'Click a mask in each of two views. A model says whether both are one object, and how sure it is; you say whether it is right.'],
  ['Review', 'Pairs come one after the other, those first that change most. One key answers each: S is the same, D is different.'],
  ['3D grouping', 'All masks of a scene become objects. Click one in the room, in a view or in the list; merge what belongs together.'],
  ['Retrain', 'The model learns from your answers. It replaces the one in use only if it does better on pairs that it has never seen.'],
  ['Compare', 'Two models side by side on the same pairs: what changed, in pictures and in figures.'],
];
const line = element.querySelector('.mg-new'), tour = element.querySelector('.mg-tour'), words = element.querySelector('.mg-words');
let step = 0;

function isSeen() {
  try { return localStorage.getItem(SEEN) !== null; } catch (error) { return true; }
}

function finish() {
  try { localStorage.setItem(SEEN, 'seen'); } catch (error) { /* it is offered again */ }
  line.hidden = true;
  tour.close();
}

function show() {
  const [title, text] = STEPS[step];
  tour.querySelector('.mg-step').textContent = `${step + 1} of ${STEPS.length}`;
  tour.querySelector('h2').textContent = title;
  tour.querySelector('.mg-step-words').textContent = text;
  tour.querySelector('[data-go="-1"]').disabled = step === 0;
  tour.querySelector('[data-go="1"]').textContent = step + 1 < STEPS.length ? 'Next' : 'Done';
}

element.addEventListener('click', (event) => {
  const { open, go, done, close } = event.target.dataset;
  if (open === 'tour') { step = 0; show(); tour.showModal(); }
  else if (open === 'words') words.showModal();
  else if (go && step + Number(go) === STEPS.length) finish();
  else if (go) { step += Number(go); show(); }
  else if (done !== undefined) finish();
  else if (close !== undefined) words.close();
});
tour.addEventListener('close', () => { if (!line.hidden) finish(); });
line.hidden = isSeen();
