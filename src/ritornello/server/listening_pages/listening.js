// The listening test in the browser. The server holds the state: this page shows it, plays clips
// and sends what was heard and chosen, in order, again and again until the server has it.

const SCALES = [
  ["fidelity", "Fidelity", "How clean and lifelike is the sound?"],
  ["musicality", "Musicality", "How much does it make sense as music?"],
  ["overall", "Overall", "All in all, how good is it?"],
];
const SCORES = [[1, "Bad"], [2, "Poor"], [3, "Fair"], [4, "Good"], [5, "Excellent"]];
const PREFERENCES = [[1, "A", "is better"], [0, "=", "no preference"], [-1, "B", "is better"]];
const RETRY_MS = 1500;

const main = document.querySelector("#page");
const saved = document.querySelector("#saved");
const problem = document.querySelector("#problem");
const progress = document.querySelector("#progress");
const spoken = document.querySelector("#spoken");
const leave = document.querySelector("#leave");

let test; // the outline of the test
let state = null; // this listener's pages, as the server last told them, with what was sent since
let number = 0; // the page shown; state.pages.length is the end
let players = [];
let active = 0; // the scale that number keys rate

const memory = () => `ritornello-listening-${test.id}`;
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ---- talking to the server

class Refused extends Error {}

async function call(method, path, body) {
  const response = await fetch(path, {
    method,
    keepalive: true, // a vote on its way arrives even when the page is closed
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body ? JSON.stringify(body) : undefined,
  });
  if (response.ok) return response.json();
  if (response.status >= 500) throw new Error(`the server answered ${response.status}`);
  const told = await response.json().catch(() => ({}));
  throw new Refused(told.error || `the server answered ${response.status}`);
}

let sending = Promise.resolve();
let waiting = 0;
let sent = 0; // how often anything was sent, to tell an answer that was overtaken

function send(path, body) {
  waiting += 1;
  sent += 1;
  tell();
  sending = sending.then(async () => {
    for (;;) {
      try {
        await call("PUT", `/api/listeners/${body.code}/pages/${path}`, body.words);
        problem.hidden = true;
        break;
      } catch (error) {
        if (error instanceof Refused) {
          complain(error.message);
          break;
        }
        complain("Not saved: the test's server does not answer. Trying again …");
        await wait(RETRY_MS);
      }
    }
    waiting -= 1;
    tell();
  });
}

function complain(message) {
  problem.textContent = message;
  problem.hidden = false;
}

function tell() {
  const pages = state ? state.pages : [];
  progress.hidden = leave.hidden = !state;
  progress.max = Math.max(1, pages.length);
  progress.value = pages.filter(finished).length;
  const place = number < pages.length ? `${number + 1} of ${pages.length}` : "";
  const kept = main.querySelector("[data-text=kept]");
  if (kept) {
    kept.textContent = waiting
      ? "Saving your last answers …"
      : "That was all of it. Your answers are kept; you may close this page.";
  }
  saved.textContent = state ? [place, waiting ? "saving …" : "saved"].filter(Boolean).join(" · ") : "";
}

// ---- where we are

const scalesOf = (page) => (page.kind === "rate" ? SCALES.map(([key]) => key) : ["preference"]);
const finished = (page) => scalesOf(page).every((scale) => scale in page.votes);
const heard = (page) => page.clips.every((clip) => page.heard.includes(clip));

function firstUnfinished() {
  const index = state.pages.findIndex((page) => !finished(page));
  return index < 0 ? state.pages.length : index;
}

async function resume(code) {
  state = await call("GET", `/api/listeners/${encodeURIComponent(code)}`);
  localStorage.setItem(memory(), state.code);
  show(firstUnfinished());
}

function forget() {
  const code = state && state.code;
  localStorage.removeItem(memory());
  state = null;
  welcome();
  if (code) main.querySelector("#code").value = code;
}

// Another tab may have gone on: take over what the server has, without touching what plays here.
async function catchUp() {
  if (!state || waiting || document.visibilityState !== "visible") return;
  const before = sent;
  try {
    const fresh = await call("GET", `/api/listeners/${state.code}`);
    if (state && before === sent && fresh.code === state.code) {
      state = fresh;
      refresh();
    }
  } catch {
    // The next vote will say so.
  }
}

// ---- players

class Player {
  constructor(place, clip, onHeard) {
    this.place = place;
    this.onHeard = onHeard;
    place.append(document.querySelector("#player").content.cloneNode(true));
    place.querySelector(".name").textContent = place.dataset.label;
    this.button = place.querySelector(".play");
    this.line = place.querySelector(".place");
    this.line.setAttribute("aria-label", `Place in ${place.dataset.label}`);
    this.told = place.querySelector(".told");
    this.audio = new Audio();
    this.audio.preload = "auto";
    this.audio.src = `/clips/${clip}.wav`;
    this.button.addEventListener("click", () => this.toggle());
    this.line.addEventListener("input", () => this.seek());
    for (const event of ["timeupdate", "ended", "pause", "play", "loadedmetadata"]) {
      this.audio.addEventListener(event, () => this.update());
    }
    this.audio.addEventListener("error", () => complain("This clip could not be loaded. Reload the page."));
    this.update();
  }

  toggle() {
    if (this.audio.paused) this.play();
    else this.audio.pause();
  }

  play() {
    for (const other of players) if (other !== this) other.audio.pause();
    this.audio.play().catch((error) => {
      if (error.name !== "AbortError") complain(`The browser does not play: ${error.message}`);
    });
  }

  seek() {
    if (this.audio.duration) this.audio.currentTime = (this.line.value / 1000) * this.audio.duration;
  }

  // Seconds of the clip that have sounded; the same second twice counts once.
  listened() {
    const ranges = this.audio.played;
    let seconds = 0;
    for (let index = 0; index < ranges.length; index += 1) seconds += ranges.end(index) - ranges.start(index);
    return seconds;
  }

  update() {
    const { duration, currentTime, paused } = this.audio;
    this.place.classList.toggle("playing", !paused);
    this.button.setAttribute("aria-label", `${paused ? "Play" : "Pause"} ${this.place.dataset.label}`);
    if (duration) this.line.value = (1000 * currentTime) / duration;
    if (this.onHeard) this.onHeard(this);
  }

  stop() {
    this.onHeard = null;
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
  }
}

// ---- pages

function fill(name) {
  for (const player of players) player.stop();
  players = [];
  main.replaceChildren(document.querySelector(`template#${name}`).content.cloneNode(true));
  spoken.textContent = "";
  window.scrollTo(0, 0);
  tell();
}

function welcome() {
  fill("welcome");
  const minutes = Math.max(1, Math.round((test.ratings * (test.seconds + 5) + test.pairs * (2 * test.seconds + 4)) / 60));
  const parts = [`rate ${test.ratings} short clips`];
  if (test.pairs) parts.push(`compare ${test.pairs} pairs`);
  main.querySelector("[data-text=outline]").textContent =
    `You will ${parts.join(" and ")}, in about ${minutes} minutes. You can stop and go on later; every answer is kept at once.`;
  players = [new Player(main.querySelector("[data-player]"), "volume", null)];
  main.querySelector("#begin").addEventListener("submit", (event) => {
    event.preventDefault();
    const button = event.submitter || event.target.querySelector("button");
    enter(button, async () => (await call("POST", "/api/listeners", { name: event.target.name.value })).code);
  });
  main.querySelector("#continue").addEventListener("submit", (event) => {
    event.preventDefault();
    const button = event.target.querySelector("button");
    enter(button, async () => event.target.code.value.trim().toLowerCase());
  });
}

// The button rests while the server is asked, so that a double click makes one listener.
async function enter(button, codeOf) {
  if (button.disabled) return;
  button.disabled = true;
  try {
    await resume(await codeOf());
    problem.hidden = true;
  } catch (error) {
    complain(error instanceof Refused ? error.message : "The test's server does not answer.");
    button.disabled = false;
  }
}

function show(index) {
  number = index;
  active = 0;
  if (index >= state.pages.length) {
    done();
    return;
  }
  const page = state.pages[index];
  fill(page.kind);
  const at = index;
  const scales = main.querySelector(".scales");
  if (page.kind === "rate") {
    for (const [key, name, question] of SCALES) scales.append(scale(key, name, question, SCORES));
  } else {
    scales.append(scale("preference", "Your choice", "", PREFERENCES));
  }
  players = [...main.querySelectorAll("[data-player]")].map(
    (place, side) => new Player(place, page.clips[side], (player) => noteHeard(at, side, player)),
  );
  main.querySelector(".back").addEventListener("click", () => show(number - 1));
  main.querySelector(".next").addEventListener("click", next);
  refresh();
  main.focus({ preventScroll: true });
}

function done() {
  fill("done");
  main.querySelector("[data-text=code]").textContent = state.code;
  main.querySelector(".back").addEventListener("click", () => show(number - 1));
  main.querySelector(".other").addEventListener("click", forget);
}

function next() {
  if (finished(state.pages[number])) show(number + 1);
}

function scale(key, name, question, choices) {
  const group = document.createElement("fieldset");
  group.dataset.scale = key;
  group.className = key;
  const legend = document.createElement("legend");
  const title = document.createElement("b");
  title.textContent = name;
  const asked = document.createElement("span");
  asked.textContent = question ? ` ${question}` : "";
  legend.append(title, asked);
  const row = document.createElement("div");
  row.className = "choices";
  for (const [value, big, small] of choices.map((c) => (c.length === 2 ? [c[0], String(c[0]), c[1]] : c))) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, { type: "radio", name: key, value: String(value) });
    input.setAttribute("aria-label", `${name}: ${big} ${small}`);
    input.addEventListener("change", () => vote(key, value));
    const face = document.createElement("span");
    face.append(Object.assign(document.createElement("b"), { textContent: big }));
    face.append(Object.assign(document.createElement("small"), { textContent: small }));
    label.append(input, face);
    row.append(label);
  }
  group.append(legend, row);
  group.addEventListener("focusin", () => {
    active = [...group.parentNode.children].indexOf(group);
    refresh();
  });
  return group;
}

// Bring the controls of the page shown in line with the state.
function refresh() {
  tell();
  const page = state.pages[number];
  if (!page) return;
  const open = heard(page);
  main.querySelectorAll("fieldset").forEach((group, index) => {
    group.disabled = !open;
    group.classList.toggle("active", index === active && page.kind === "rate");
    for (const input of group.querySelectorAll("input")) {
      input.checked = page.votes[group.dataset.scale] === Number(input.value);
    }
  });
  main.querySelector(".back").disabled = number === 0;
  main.querySelector(".next").disabled = !finished(page);
  players.forEach((player, side) => {
    const left = Math.ceil(test.listened_share * test.seconds - player.listened());
    const known = page.heard.includes(page.clips[side]);
    const told = known ? "heard" : player.listened() > 0 ? `${Math.max(1, left)} s to go` : "listen first";
    if (player.told.textContent !== told) player.told.textContent = told;
  });
}

function noteHeard(index, side, player) {
  const page = state.pages[index];
  const clip = page.clips[side];
  const seconds = player.listened();
  if (!page.heard.includes(clip) && seconds >= test.listened_share * test.seconds) {
    page.heard.push(clip);
    if (heard(page)) spoken.textContent = "Heard. You can answer now.";
    send(`${index}/heard`, { code: state.code, words: { clip, seconds } });
  }
  if (index === number && players.length) refresh();
}

function vote(key, value) {
  const page = state.pages[number];
  if (!heard(page) || page.votes[key] === value) return;
  page.votes[key] = value;
  send(`${number}/vote`, { code: state.code, words: { scale: key, value } });
  const groups = scalesOf(page);
  const open = groups.findIndex((scale) => !(scale in page.votes));
  active = open >= 0 ? open : groups.indexOf(key);
  refresh();
}

// ---- keys

function onKey(event) {
  const page = state && state.pages[number];
  const at = event.target;
  const typing = at.matches("input:not([type=radio]):not([type=range])");
  if (!page || event.ctrlKey || event.metaKey || event.altKey || typing) return;
  const key = event.key.toLowerCase();
  const choice = "12345".indexOf(key);
  if (key === " " && at.matches("button")) return; // pressing it is what the space bar does there
  if (key === " " && !event.repeat) space(page);
  else if (key === "a" && page.kind === "pair") players[0].toggle();
  else if (key === "b" && page.kind === "pair") players[1].toggle();
  else if (choice >= 0 && !event.repeat) choose(page, choice);
  else if (key === "enter" && !at.matches("button")) next();
  else if (key === "backspace" && number > 0) show(number - 1);
  else return;
  event.preventDefault();
}

function choose(page, choice) {
  if (page.kind === "rate") vote(SCALES[active][0], SCORES[choice][0]);
  else if (choice < PREFERENCES.length) vote("preference", PREFERENCES[choice][0]);
}

// On a page with two clips space goes from one to the other, beginning with A.
function space(page) {
  if (page.kind === "rate") players[0].toggle();
  else if (!players[0].audio.paused) players[1].play();
  else if (!players[1].audio.paused) players[0].play();
  else (page.heard.includes(page.clips[0]) && !page.heard.includes(page.clips[1]) ? players[1] : players[0]).play();
}

// ---- begin

document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", catchUp);
window.addEventListener("focus", catchUp);
window.addEventListener("beforeunload", (event) => {
  if (waiting) event.preventDefault();
});
leave.addEventListener("click", forget);

try {
  test = await call("GET", "/api/test");
  const code = localStorage.getItem(memory());
  if (code) {
    await resume(code).catch((error) => {
      if (!(error instanceof Refused)) throw error;
      forget();
    });
  } else welcome();
} catch {
  complain("The test's server does not answer. Reload this page once it runs again.");
}
