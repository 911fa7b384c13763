// Sends a file, and shows what the server says of it while it is read.

const element = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
let stop = null;

// Calls `take(event, data)` with each event of the stream of `response`.
async function events(response, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const all = (text + value).split("\n\n");
    text = all.pop();
    for (const one of all) {
      const field = (name) => one.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1];
      take(field("event"), JSON.parse(field("data")));
    }
  }
}

function show(kind, text) {
  element("state").dataset.state = kind;
  element("state").textContent = text;
}

async function send(content, type) {
  stop = new AbortController();
  element("make").textContent = "Stop";
  element("make").classList.add("stop");
  element("progress").max = content.size;
  element("progress").value = 0;
  show("running", "sending");
  const began = performance.now();
  try {
    const headers = { "content-type": type };
    const response = await fetch("api/import", { method: "POST", body: content, headers, signal: stop.signal });
    if (!response.ok) throw new Error(await response.text());
    await events(response, (event, data) => {
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      if (event === "progress") {
        element("progress").value = data.bytes;
        show("running", `${number.format(data.rows)} readings, ${seconds} s`);
      } else if (event === "done") {
        element("progress").value = content.size;
        show("done", `${number.format(data.rows)} readings stored in ${seconds} s`);
      } else {
        show("failed", `nothing was stored: ${data.reason}`);
      }
    });
  } catch (error) {
    show("failed", stop.signal.aborted ? "stopped: nothing was stored" : `nothing was stored: ${error.message}`);
  }
  stop = null;
  element("make").textContent = "Send 200,000 made-up ones";
  element("make").classList.remove("stop");
  await list();
}

function madeUp(count) {
  const stations = ["Bergen", "Cape Town", "Halifax", "Nazaré", "Port Stanley", "Reykjavík", "Valparaíso", "Yokohama"];
  const lines = ["station,at,celsius\n"];
  for (let nth = 0; nth < count; nth += 1) {
    const station = stations[nth % stations.length];
    const celsius = (8 + 7 * Math.sin(nth / 700 + station.length)).toFixed(1);
    lines.push(`${station},${new Date(1.7e12 + nth * 6e4).toISOString()},${celsius}\n`);
  }
  return new Blob(lines);
}

async function list() {
  const response = await fetch("api/stations");
  if (!response.ok) return;
  const stations = await response.json();
  if (stations.length === 0) return;
  element("stations").replaceChildren(...stations.map(({ station, readings, celsius }) => {
    const row = document.createElement("tr");
    for (const text of [station, number.format(readings), `${celsius.toFixed(1)} °C`]) row.insertCell().textContent = text;
    return row;
  }));
}

element("make").addEventListener("click", () => (stop ? stop.abort() : send(madeUp(200_000), "text/csv")));
element("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (file) send(file, file.name.endsWith(".csv") ? "text/csv" : "application/x-ndjson");
});
list();
