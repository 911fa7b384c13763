// Reads answers while they arrive.

const element = (id) => document.getElementById(id);

// Calls `take` with each piece of the answer at `url` when it arrives, until the answer ends or `signal` says stop.
// Stopping closes the stream, and the server ends what makes the answer.
async function read(url, signal, take) {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    take(value);
  }
}

// Makes `button` start `work` and, while it goes on, stop it.
function startAndStop(button, work) {
  const name = button.textContent;
  let stop = null;
  return async () => {
    if (stop) return stop.abort();
    stop = new AbortController();
    button.textContent = "Stop";
    button.classList.add("stop");
    await work(stop.signal);
    stop = null;
    button.textContent = name;
    button.classList.remove("stop");
  };
}

// Adds text to what stands there; a line of it is a paragraph.
function write(story, text) {
  const [first, ...lines] = text.split("\n");
  (story.lastElementChild ?? story.appendChild(document.createElement("p"))).append(first);
  for (const line of lines) story.appendChild(document.createElement("p")).append(line);
}

async function tell(signal) {
  const story = element("story");
  const told = element("told");
  // A character may arrive in two pieces: the decoder keeps the first.
  const decoder = new TextDecoder();
  const began = performance.now();
  let words = 0;
  let first = 0;
  const facts = (end) => {
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    told.textContent = words === 0 ? end : `${words} words in ${seconds} s, the first after ${first} ms${end}`;
  };
  story.textContent = "";
  story.dataset.state = "telling";
  told.textContent = "listening";
  try {
    await read(`api/story?${new URLSearchParams({ ship: element("ship").value })}`, signal, (piece) => {
      if (words === 0) first = Math.round(performance.now() - began);
      const text = decoder.decode(piece, { stream: true });
      words += text.split(/\s/).length - 1;
      write(story, text);
      facts("");
    });
    story.dataset.state = "ended";
    facts(", and that was all");
  } catch (error) {
    story.dataset.state = signal.aborted ? "stopped" : "failed";
    facts(signal.aborted ? ", stopped in the middle" : `: ${error.message}`);
  }
}

async function list(signal) {
  const listed = element("listed");
  const progress = element("progress");
  const began = performance.now();
  let rows = 0;
  let bytes = 0;
  const facts = (end) => {
    const seconds = (performance.now() - began) / 1000;
    const megabytes = bytes / 1e6;
    progress.value = rows;
    listed.textContent = `${rows.toLocaleString("en")} rows, ${megabytes.toFixed(1)} MB, ${(megabytes / seconds).toFixed(0)} MB/s${end}`;
  };
  try {
    await read(`api/rows?count=${progress.max}`, signal, (piece) => {
      bytes += piece.length;
      // Only counted: the page keeps no more of them than the server does.
      for (let at = piece.indexOf(10); at !== -1; at = piece.indexOf(10, at + 1)) rows += 1;
      facts("");
    });
    facts(", and that was all");
  } catch (error) {
    facts(signal.aborted ? ", stopped in the middle" : `: ${error.message}`);
  }
}

const tellOrStop = startAndStop(element("tell"), tell);
element("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  tellOrStop();
});
element("list").addEventListener("click", startAndStop(element("list"), list));
