"use strict";
// The explorer: one player for all cards; filters, order and colours are read from the page.

const { facets, samples } = JSON.parse(document.getElementById("samples").textContent);
const $ = (selector) => document.querySelector(selector);
const $$ = (selector) => [...document.querySelectorAll(selector)];

const cards = $$(".sample");
const points = new Map($$("#map-samples circle").map((point) => [Number(point.dataset.number), point]));
const audio = $("#player audio");
const form = $("#controls");
let order = cards.map((_, number) => number); // numbers of the cards shown, as they stand
let current = null;
let share = null; // of the sample where playing is to begin, once its length is known

// "Dvořák" and "dvorak" are one name, as they are in a model's vocabulary.
const plain = (text) =>
  text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
const collate = new Intl.Collator(undefined, { numeric: true }).compare;
const valuesOf = (number, facet) => samples[number].facets[facet] ?? [];

function element(tag, text, attributes = {}) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(text);
  return made;
}

// ---- filters and order

function counted(facet) {
  const counts = new Map();
  samples.forEach((sample) =>
    (sample.facets[facet] ?? []).forEach((value) => counts.set(value, (counts.get(value) ?? 0) + 1)),
  );
  return counts;
}

function buildControls() {
  const sort = $("#sort");
  sort.append(element("option", "Path", { value: "" }), element("option", "Length", { value: "=length" }));
  for (const [facet, name] of Object.entries(facets)) {
    const select = element("select", "", { name: facet });
    select.append(element("option", "any", { value: "" }));
    const counts = [...counted(facet)].sort(([one], [other]) => collate(one, other));
    counts.forEach(([value, count]) => select.append(element("option", `${value} (${count})`, { value })));
    const label = element("label", name);
    label.append(select);
    $("#filters").append(label);
    sort.append(element("option", name, { value: facet }));
  }
  form.hidden = false;
}

const filters = () => $$("#filters select").filter((select) => select.value !== "");
const texts = cards.map((card, number) => plain(`${card.textContent} ${samples[number].id}`));

function isWanted(number) {
  const words = plain($("#search").value).split(" ");
  return (
    filters().every((select) => valuesOf(number, select.name).includes(select.value)) &&
    words.every((word) => texts[number].includes(word))
  );
}

function sortKey() {
  const key = $("#sort").value;
  if (key === "") return () => 0;
  if (key === "=length") return (a, b) => samples[a].duration_s - samples[b].duration_s;
  const first = (number) => valuesOf(number, key)[0] ?? "\uffff"; // samples without a value come last
  return (a, b) => collate(first(a), first(b));
}

function arrange() {
  order = cards.map((_, number) => number).filter(isWanted).sort(sortKey());
  const wanted = new Set(order);
  cards.forEach((card, number) => (card.hidden = !wanted.has(number)));
  $("#cards").append(...order.map((number) => cards[number]));
  points.forEach((point, number) => point.classList.toggle("aside", !wanted.has(number)));
  $("#count").value = `${order.length} of ${cards.length}`;
}

function filterBy(facet, value) {
  const select = $$("#filters select").find((each) => each.name === facet);
  const found = [...(select?.options ?? [])].find((option) => option.value && plain(option.value) === plain(value));
  if (!found) {
    $("#count").value = `no sample of ${value} here`;
    return;
  }
  select.value = select.value === found.value ? "" : found.value;
  arrange();
}

// ---- colours of the map

function paint() {
  const facet = $("#colours select")?.value;
  if (facet === undefined) return;
  const ranked = [...counted(facet)].sort((one, other) => other[1] - one[1] || collate(one[0], other[0]));
  // The golden angle keeps neighbouring ranks apart, however many there are.
  const colours = new Map(ranked.map(([value], rank) => [value, `hsl(${(20 + rank * 137.5) % 360} 65% 52%)`]));
  points.forEach((point, number) => (point.style.fill = colours.get(valuesOf(number, facet)[0]) ?? ""));
  $("#legend").replaceChildren(
    ...ranked.slice(0, 12).map(([value]) => {
      const button = element("button", element("i", ""), { type: "button" });
      button.firstChild.style.background = colours.get(value);
      button.append(value);
      button.addEventListener("click", () => filterBy(facet, value));
      return button;
    }),
  );
}

function buildColours() {
  const label = $("#colours");
  if (!label || Object.keys(facets).length === 0) return;
  Object.entries(facets).forEach(([facet, name]) =>
    label.firstElementChild.append(element("option", name, { value: facet })),
  );
  label.hidden = false;
  label.addEventListener("change", paint);
  paint();
}

// ---- playing

function select(number, { focus = true } = {}) {
  if (number !== current) {
    cards[current]?.classList.remove("current", "playing");
    points.get(current)?.classList.remove("current");
    light(current, -1);
    current = number;
    share = null;
    const card = cards[number];
    card.classList.add("current");
    const point = points.get(number);
    point?.classList.add("current");
    point?.parentNode.append(point); // drawn last: nothing lies over it
    card.querySelector(".lyrics")?.setAttribute("open", "");
    audio.src = card.querySelector(".address").href;
    $("#playing").textContent = samples[number].title;
    $("#player").hidden = false;
  }
  cards[number].scrollIntoView({ block: "nearest" });
  if (focus) cards[number].querySelector(".play").focus({ preventScroll: true });
}

function play() {
  // Another choice before the sound has come ends this one: nothing has gone wrong then.
  audio.play().catch((error) => error.name === "AbortError" || tellTrouble());
}

function toggle(number) {
  const isOther = number !== current;
  select(number);
  if (isOther || audio.paused) play();
  else audio.pause();
}

function move(step) {
  const place = order.indexOf(current);
  const next = place < 0 ? order.at(step > 0 ? 0 : -1) : order[place + step];
  if (next === undefined) return;
  const wasPlaying = !audio.paused || audio.ended;
  select(next);
  if (wasPlaying) play();
}

function playFrom(number, from) {
  select(number);
  share = from;
  takePlace();
  play();
}

function takePlace() {
  if (share === null || !(audio.duration > 0)) return;
  audio.currentTime = share * audio.duration;
  share = null;
}

function tellTrouble() {
  $("#playing").textContent = `${samples[current].title}: the file is gone, or this browser cannot play its kind`;
}

// ---- what moves with the time

function light(number, time) {
  cards[number]?.querySelectorAll(".lyrics span").forEach((span) => {
    const isNow = span.dataset.from <= time && time < span.dataset.to;
    if (isNow && !span.classList.contains("now")) keepInSight(span);
    span.classList.toggle("now", isNow);
    span.classList.toggle("sung", span.dataset.to <= time);
  });
}

function keepInSight(span) {
  const box = span.closest("p");
  const above = span.offsetTop - box.scrollTop;
  if (above < 0 || above > box.clientHeight - 2 * span.offsetHeight) box.scrollTop = span.offsetTop - box.clientHeight / 3;
}

function follow() {
  if (current === null) return;
  const time = audio.currentTime;
  cards[current].querySelector(".head").style.left = `${(100 * time) / (audio.duration || Infinity)}%`;
  light(current, time);
  if (!audio.paused) requestAnimationFrame(follow);
}

// ---- wiring

audio.addEventListener("loadedmetadata", takePlace);
audio.addEventListener("play", () => (cards[current].classList.add("playing"), follow()));
audio.addEventListener("pause", () => cards[current].classList.remove("playing"));
audio.addEventListener("seeked", follow);
audio.addEventListener("timeupdate", () => audio.paused && follow());
audio.addEventListener("error", tellTrouble);
audio.addEventListener("ended", () => $("#on").checked && move(1));

$("#cards").addEventListener("click", (event) => {
  const number = Number(event.target.closest(".sample")?.dataset.number);
  const word = event.target.closest(".lyrics span");
  const drawn = event.target.closest(".picture");
  if (event.target.closest(".play")) toggle(number);
  else if (word) playFrom(number, word.dataset.from / samples[number].duration_s);
  else if (drawn) playFrom(number, event.offsetX / drawn.clientWidth);
});

$("#map-samples")?.addEventListener("click", (event) => {
  if (event.target.dataset.number === undefined) return;
  const number = Number(event.target.dataset.number);
  if (cards[number].hidden) form.reset(), arrange(); // a point that is filtered out is asked for
  if (number !== current || audio.paused) toggle(number);
});

$$(".map .label").forEach((label) =>
  label.addEventListener("click", () => filterBy(label.dataset.facet, label.dataset.value)),
);

form.addEventListener("input", arrange);
form.addEventListener("reset", () => setTimeout(arrange)); // after the fields have been emptied
form.addEventListener("submit", (event) => event.preventDefault());

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, audio")) return;
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (step) move(step);
  else if (event.key === " " && !event.target.closest("button, a, summary") && order.length) toggle(current ?? order[0]);
  else return;
  event.preventDefault();
});

buildControls();
buildColours();
arrange();
