// Every question that Gradio's client asks is answered, also one that crosses the end of the stream of answers: the server ends
// it once nothing is left to answer, and a question that came in the same moment counts on a stream that the client then closes.
// Its answer lies ready for the next stream, and any other question opens one.
(() => {
  const WAIT_MS = 1000;
  const atOnce = window.fetch;
  const unanswered = new Set();
  const early = new Set();
  let streams = 0;

  async function noteQuestion(answer) {
    const { event_id: id } = await answer.json();
    if (id && !early.delete(id)) unanswered.add(id);
  }

  function noteAnswers(lines) {
    for (const line of lines) {
      if (!line.includes('"process_completed"')) continue;
      const id = JSON.parse(line.slice(line.indexOf('{'))).event_id;
      if (!unanswered.delete(id)) early.add(id);
    }
  }

  function askAgain() {
    if (streams > 0 || unanswered.size === 0) return;
    unanswered.clear();
    document.getElementById('mg-ask-again')?.click();
  }

  async function follow(stream) {
    streams += 1;
    let rest = '';
    try {
      const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        const lines = (rest + part.value).split('\n');
        rest = lines.pop();
        noteAnswers(lines);
      }
    } finally {
      streams -= 1;
      setTimeout(askAgain, WAIT_MS);
    }
  }

  window.fetch = async (...asked) => {
    const answer = await atOnce(...asked);
    const address = String(asked[0]?.url ?? asked[0]);
    // What goes wrong here is the client's to tell: it reads the same answers.
    if (answer.ok && address.includes('/queue/join')) noteQuestion(answer.clone()).catch(() => {});
    if (answer.ok && address.includes('/queue/data')) follow(answer.clone()).catch(() => {});
    return answer;
  };
})();
