// Sends the files of a scene, a few at a time, each in a request of its own; when all are there, the import is asked for.
// The upload has a name that only this page knows. Stopped or failed, the server is told to delete what it has.
const root = element.querySelector('.mg-drop');
const find = (name) => element.querySelector(`.mg-drop-${name}`);
const MOST_BYTES = Number(root.dataset.maxMb) * 2 ** 20;
const MOST_FILES = Number(root.dataset.maxFiles);
const AT_ONCE = 3;
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
const megabytes = (bytes) => (bytes / 2 ** 20).toLocaleString('en', { maximumFractionDigits: bytes < 2 ** 20 ? 1 : 0 });
const LOST = 'The upload was cut off; is the app still running? Choose the files once more.';
let current = null;

function show(words) {
  find('progress').hidden = words === '';
  find('choose').hidden = words !== '';
  find('words').textContent = words;
}

function say(problem) {
  find('problem').textContent = problem;
  find('problem').hidden = problem === '';
}

// Folders give their files bit by bit.
async function walk(entry, above, found) {
  if (entry.name.startsWith('.') || found.length > MOST_FILES) return;
  if (entry.isFile) {
    found.push({ path: above + entry.name, file: await new Promise((take, fail) => entry.file(take, fail)) });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((take, fail) => reader.readEntries(take, fail));
    if (!some.length) return;
    for (const inner of some) await walk(inner, `${above}${entry.name}/`, found);
  }
}

async function listDropped(transfer) {
  // Asked for before anything is waited for: afterwards the browser has forgotten them.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...transfer.files];
  if (!entries.length) return listChosen(files);
  const found = [];
  for (const entry of entries) await walk(entry, '', found);
  return found;
}

function listChosen(files) {
  return [...files].map((file) => ({ path: file.webkitRelativePath || file.name, file })).filter(({ path }) => !/(^|\/)\./.test(path));
}

function send(run, { path, file }) {
  return new Promise((take, fail) => {
    const request = new XMLHttpRequest();
    const query = new URLSearchParams({ upload: run.id, path });
    request.open('POST', `maskgroup/scenes/upload?${query}`);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.upload.onprogress = (event) => { run.sent.set(path, event.loaded); tell(run); };
    request.onload = () => {
      run.requests.delete(request);
      if (request.status === 200) { run.sent.set(path, file.size); run.done += 1; tell(run); take(); return; }
      let why = LOST;
      try { why = JSON.parse(request.responseText).error || why; } catch (error) { /* no answer of ours */ }
      fail(new Error(why));
    };
    request.onerror = () => fail(new Error(LOST));
    request.onabort = () => fail(new Error(''));
    run.requests.add(request);
    request.send(file);
  });
}

function tell(run) {
  const sent = [...run.sent.values()].reduce((sum, part) => sum + part, 0);
  find('bar').value = run.bytes ? sent / run.bytes : 1;
  const files = run.files.length > 1 ? `, ${run.done} of ${run.files.length} files` : '';
  show(`Uploading: ${megabytes(sent)} of ${megabytes(run.bytes)} MB${files}`);
}

async function start(files) {
  if (current || !files.length) return;
  say('');
  const bytes = files.reduce((sum, { file }) => sum + file.size, 0);
  if (files.length > MOST_FILES) {
    say(`These are more than ${MOST_FILES.toLocaleString('en')} files, as many as an upload may have; pack the scene into a zip.`);
    return;
  }
  if (bytes > MOST_BYTES) {
    say(`These are ${megabytes(bytes)} MB, and an upload may have ${megabytes(MOST_BYTES)}; leave out views, or let whoever runs the app raise --max-upload-mb.`);
    return;
  }
  const run = { id: random(), files, bytes, done: 0, sent: new Map(), requests: new Set(), isStopped: false };
  current = run;
  tell(run);
  const waiting = [...files];
  const work = async () => { while (waiting.length && !run.isStopped) await send(run, waiting.shift()); };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    if (run.isStopped) throw new Error('');
    trigger('uploaded', { upload: run.id });
  } catch (error) {
    run.isStopped = true;
    say(error.message);
    trigger('dropped', { upload: run.id });
  } finally {
    current = null;
    run.requests.forEach((request) => request.abort());
    show('');
  }
}

root.addEventListener('dragover', (event) => { event.preventDefault(); root.classList.add('mg-over'); });
root.addEventListener('dragleave', (event) => { if (!root.contains(event.relatedTarget)) root.classList.remove('mg-over'); });
root.addEventListener('drop', async (event) => {
  event.preventDefault();
  root.classList.remove('mg-over');
  try { start(await listDropped(event.dataTransfer)); } catch (error) { say('These files cannot be read; choose them with the button instead.'); }
});
for (const kind of ['files', 'folder']) {
  find(`pick-${kind}`).addEventListener('click', () => find(kind).click());
  find(kind).addEventListener('change', (event) => { const files = listChosen(event.target.files); event.target.value = ''; start(files); });
}
find('stop').addEventListener('click', () => {
  if (!current) return;
  current.isStopped = true;
  current.requests.forEach((request) => request.abort());
});
// A drop that misses would leave the page and open the file.
for (const kind of ['dragover', 'drop']) addEventListener(kind, (event) => { if (element.offsetParent) event.preventDefault(); });
addEventListener('beforeunload', (event) => { if (current) event.preventDefault(); });
