// A place in the room: what is said comes over a WebSocket, and the page comes back by itself when it breaks.

const HERE_AGAIN_MS = [250, 500, 1000, 2000, 5000];
const SERVICE_RESTART = 1012;
const SHOWN_MAX = 500;
const NEAR_END_PX = 80;

const element = (id) => document.getElementById(id);

let socket = null;
let attempts = 0;
let wanted = "";
let you = "";
let room = null;
let people = [];
// Until when what is told happened before the people above were counted.
let newest = 0;
// The number of the last that was heard in this room: who comes back is told the room's history once more.
let heard = 0;

function connect() {
  const address = new URL("api/chat", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  address.search = new URLSearchParams({ name: wanted });
  socket = new WebSocket(address);
  socket.onmessage = ({ data }) => hear(JSON.parse(data));
  socket.onclose = ({ code, reason }) => {
    // A new version of the app is there, and takes whoever comes. Otherwise something is broken: give it time.
    const wait = code === SERVICE_RESTART ? 0 : HERE_AGAIN_MS[Math.min(attempts, HERE_AGAIN_MS.length - 1)];
    attempts += 1;
    show("connecting", code === SERVICE_RESTART ? "a new version, coming back" : reason || "connection lost, coming back");
    setTimeout(connect, wait);
  };
}

const kinds = {
  welcome(word) {
    attempts = 0;
    if (room !== null && room !== word.room) note("a new version of the chat: this room knows nothing of what is above");
    if (room !== word.room) heard = 0;
    ({ room, you, people, newest } = word);
    show("connected", `here as ${you}`);
    showPeople();
  },
  joined({ number, name }) {
    if (number > newest) people.push(name);
    note(number === newest ? "you came in" : `${name} came in`);
    showPeople();
  },
  left({ number, name }) {
    if (number > newest) people = people.filter((other) => other !== name);
    note(`${name} left`);
    showPeople();
  },
  said({ name, text, at }) {
    const time = new Date(at * 1000);
    const item = make("li", { className: name === you ? "said own" : "said" });
    const head = make("p", { className: "by" });
    head.append(
      make("b", { textContent: name, style: `--hue: ${hue(name)}` }),
      make("time", { dateTime: time.toISOString(), textContent: time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) }),
    );
    item.append(head, make("p", { className: "text", textContent: text }));
    add(item);
  },
};

function hear(word) {
  if (word.number !== undefined) {
    if (word.number <= heard) return;
    heard = word.number;
  }
  kinds[word.type](word);
}

function note(text) {
  add(make("li", { className: "note", textContent: text }));
}

function add(item) {
  const log = element("log");
  // Whoever reads what was said before is left in peace.
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
  log.append(item);
  while (log.childElementCount > SHOWN_MAX) log.firstElementChild.remove();
  if (isAtEnd) log.scrollTop = log.scrollHeight;
}

function show(state, text) {
  element("state").dataset.state = state;
  element("state").textContent = text;
  // What is being written stays, and can be sent once somebody hears it.
  element("say").lastElementChild.disabled = state !== "connected";
}

function showPeople() {
  const items = people.map((name) => make("li", { textContent: name, style: `--hue: ${hue(name)}` }));
  element("people").replaceChildren(...items);
}

// A colour for each name.
function hue(name) {
  let hash = 2166136261;
  for (const char of name) hash = Math.imul(hash ^ char.codePointAt(0), 16777619);
  return ((hash >>> 10) % 24) * 15;
}

function make(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function enter(name) {
  wanted = name;
  sessionStorage.setItem("name", name);
  document.body.dataset.view = "room";
  connect();
}

element("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = element("name").value.trim();
  if (name) enter(name);
});

element("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket?.readyState !== WebSocket.OPEN) return;
  socket.send(element("text").value);
  element("text").value = "";
  element("log").scrollTop = element("log").scrollHeight;
});

// A tab that is loaded again is still the same person's.
const known = sessionStorage.getItem("name");
if (known) enter(known);
