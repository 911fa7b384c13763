// Listens to the feed, and counts whether any event was lost or came twice.

const SHOWN_MAX = 100;
const AGAIN_MS = 1000;

const element = (id) => document.getElementById(id);
const figures = { heard: 0, "caught-up": 0, lost: 0, twice: 0 };

let source = null;
let timer = null;
// The id of the last event, for when the page opens a connection anew; and its number, to count by.
let lastId = null;
let lastNumber = null;
let isCatchingUp = false;

function plugIn() {
  const isFirst = lastId === null;
  isCatchingUp = !isFirst;
  source = new EventSource(isFirst ? "api/feed" : `api/feed?after=${lastId}`);
  source.onopen = () => show("connected");
  source.onmessage = hear;
  source.onerror = () => {
    // The browser connects again by itself, and says which event was the last; unless it was refused.
    isCatchingUp = lastId !== null;
    show("connecting", "connection lost, connecting again");
    if (source.readyState === EventSource.CLOSED) timer = setTimeout(plugIn, AGAIN_MS);
  };
  source.addEventListener("now", ({ data }) => {
    if (isCatchingUp && data !== "0") note(`${data} that you had missed`);
    isCatchingUp = false;
  });
  source.addEventListener("gap", ({ data }) => note(`${data} events are too long ago to be kept`));
  source.addEventListener("restart", () => {
    lastNumber = null;
    isCatchingUp = false;
    note("the feed began anew: the server was started again");
  });
}

function pullThePlug() {
  clearTimeout(timer);
  source.close();
  source = null;
  show("unplugged", "unplugged: events pass you by");
}

function hear({ data, lastEventId }) {
  const event = JSON.parse(data);
  lastId = lastEventId;
  if (lastNumber !== null) {
    if (event.number <= lastNumber) return count("twice", 1);
    count("lost", event.number - lastNumber - 1);
  }
  lastNumber = event.number;
  count("heard", 1);
  if (isCatchingUp) count("caught-up", 1);
  add(row(event));
}

function row({ number, at, ship, movement }) {
  const item = document.createElement("li");
  item.classList.toggle("caught-up", isCatchingUp);
  const name = Object.assign(document.createElement("b"), { textContent: ship });
  const time = new Date(at * 1000);
  const what = document.createElement("span");
  what.append(name, ` ${movement}`);
  item.append(
    Object.assign(document.createElement("span"), { className: "number", textContent: number }),
    what,
    Object.assign(document.createElement("time"), { dateTime: time.toISOString(), textContent: time.toLocaleTimeString() }),
  );
  return item;
}

function note(text) {
  add(Object.assign(document.createElement("li"), { className: "note", textContent: text }));
}

function add(item) {
  item.classList.add("fresh");
  const events = element("events");
  events.prepend(item);
  while (events.childElementCount > SHOWN_MAX) events.lastElementChild.remove();
}

function count(name, more) {
  figures[name] += more;
  element(name).textContent = figures[name];
  element(name).classList.toggle("bad", figures[name] > 0 && (name === "lost" || name === "twice"));
}

function show(state, text = state) {
  element("state").dataset.state = state;
  element("state").textContent = text;
  element("plug").textContent = state === "unplugged" ? "Plug in again" : "Pull the plug";
}

element("plug").addEventListener("click", () => {
  if (source) {
    pullThePlug();
  } else {
    show("connecting");
    plugIn();
  }
});

plugIn();
