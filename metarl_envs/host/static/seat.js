// The page of a seat. It shows the text that the host sends, and buttons for the sentences that would do something: nothing
// else is known here, and nothing of a step is kept for the next one. Text only ever becomes text.

import { button, connect, element } from "./talk.js";

const KEYS = "1234567890abcdefghijklmnpqrstuvxyz"; // without o (open), w (write)
const $ = (id) => document.getElementById(id);
const SECTIONS = ["notice", "consent", "rules", "play"];

let welcome = null; // what the host said first
let isReady = false; // the reader has practised, or has played before
let now = null; // what is shown: the last moment, of the practice or of the run
let keys = new Map(); // what keys say now
let ends = 0; // when the time of this step is up, on the clock of this page

const send = connect(hear, connection);

// ------------------------------------------------------------------------------------------------- what is heard
function hear(message) {
  switch (message.kind) {
    case "welcome":
      welcome = message;
      if (isReady && !message.ready) send({ kind: "ready" }); // the host was started again
      isReady ||= message.ready;
      if (!isReady) begin();
      else if (!now) notice("One moment", "Your seat is kept.");
      break;
    case "practice":
      if (isReady) break;
      now = { ...message, step: -1, practice: true };
      showMoment();
      tellProblem(message.problem);
      break;
    case "lobby":
      notice("You are in", `Waiting for the others: ${message.here} of ${message.of} are here. Leave this page open.`);
      break;
    case "wait":
      if (!now || now.practice) notice("One moment", "It goes on as soon as the others have acted.");
      break;
    case "moment":
      isReady = true;
      now = message;
      ends = performance.now() + 1000 * message.left;
      showMoment();
      break;
    case "acted":
      isReady = true;
      if (message.text !== undefined) {
        now = message;
        ends = performance.now() + 1000 * message.left;
        showMoment();
      }
      if (now && now.step === message.step) rest("You have acted. Waiting for the others.");
      break;
    case "problem":
      if (now && now.step === message.step) {
        rest("");
        tellProblem(message.problem);
      }
      break;
    case "missed":
      if (now && now.step === message.step) rest("The time was up: you waited.");
      break;
    case "late":
      break; // the next moment is on its way
    case "over":
      forget();
      notice("The end", "That was all. Thank you for taking part. You can close this page.");
      break;
    case "failed":
      forget();
      notice("It has ended early", "The host had to stop. What you did is kept. You can close this page.");
      break;
  }
}

function connection(state, reason) {
  const told = {
    open: "",
    lost: "The connection is lost. Your seat is kept; trying again ...",
    ended: reason === "opened elsewhere" ? "This seat is open in another window now." : `The connection has ended: ${reason}.`,
  }[state];
  $("banner").textContent = told;
  $("banner").hidden = !told;
  if (state === "ended") {
    forget();
    if (reason === "there is no such link") notice("This link leads nowhere", "Look whether you have the whole link.");
    else notice("Closed", "Reload this page to come back.");
  }
  if (state === "lost" && now) rest("");
  if (state === "lost" && !welcome) notice("Connecting", "One moment ...");
}

function forget() {
  now = null;
  keys.clear();
  for (const id of ["news", "bench", "tiles", "deeds", "books", "choices", "text", "status", "left"]) $(id).replaceChildren();
  $("sentence").value = "";
}

// ------------------------------------------------------------------------------------------------- before it begins
function show(section) {
  for (const id of SECTIONS) $(id).hidden = id !== section;
}

function notice(title, text) {
  $("notice-title").textContent = title;
  $("notice-text").textContent = text;
  show("notice");
}

function begin() {
  $("consent-text").textContent = welcome.consent ?? "";
  $("rules-text").textContent = welcome.rules;
  $("rules-clock").textContent = `Each step lasts ${welcome.seconds} seconds at most. If you do nothing until then, you wait.`;
  $("rules-day").hidden = !welcome.day;
  $("practise").hidden = !welcome.practice;
  $("ready").hidden = Boolean(welcome.practice);
  show(welcome.agreed ? "rules" : "consent");
}

function sayReady() {
  isReady = true;
  forget();
  notice("You are in", "Waiting for the others.");
  send({ kind: "ready" });
}

$("agree").addEventListener("click", () => send({ kind: "agree" }) && show("rules"));
$("practise").addEventListener("click", () => send({ kind: "practise" }));
$("ready").addEventListener("click", sayReady);
$("begin").addEventListener("click", sayReady);

// ------------------------------------------------------------------------------------------------- a moment
function showMoment() {
  if (now.forgets) wipe();
  const seen = read(now.text);
  const choices = now.practice && !now.left ? [] : now.choices;
  show("play");
  $("play").classList.remove("rests");
  keys = new Map();
  $("status").textContent = seen.status;
  $("text").textContent = now.text;
  $("practising").hidden = !now.practice;
  if (now.practice) {
    $("practising-text").textContent = now.left
      ? `Practice, which does not count: ${now.left} steps left. Later, other things are hidden. `
      : "The practice is over. Later, other things are hidden. ";
  }
  const news = seen.news.map((line) => element("p", line.startsWith("You remember nothing") ? "dawn" : "", line));
  if (now.missed) news.unshift(element("p", "late", "The time of the last step was up: you waited."));
  $("news").replaceChildren(...news);
  showBench(seen);
  showTiles(seen, choices);
  showDeeds(choices);
  $("books").replaceChildren(...seen.books.map((book) => bookOf(book, choices)));
  $("choices").replaceChildren(...choices.map((choice) => button("", choice, () => press(choice))));
  tellProblem("");
  $("sentence").value = "";
  tick();
}

// At dawn not even what could be undone in the field is left.
function wipe() {
  const kept = now;
  forget();
  now = kept;
  const field = $("sentence");
  field.replaceWith(field.cloneNode());
  for (const details of document.querySelectorAll("details")) details.open = false;
}

// The parts of a text, line by line (see metarl_envs/boxes/view/words.py).
function read(text) {
  const seen = { status: "", things: [], hand: "", last: null, news: [], books: [] };
  for (const line of text.split("\n")) {
    let match;
    if ((match = line.match(/^You are (agent_\d+)\. (.*)$/))) seen.status = text.includes("\nIn sight: ") ? line : match[2];
    else if ((match = line.match(/^You have: (.*)\.$/)))
      seen.things = [...match[1].matchAll(/([a-z]+)(?: \(([^)]*)\))?(?:, |$)/g)].map((found) => [found[1], found[2] ?? ""]);
    else if ((match = line.match(/^In your hand: (.*)\.$/))) seen.hand = match[1];
    else if (line === "Your hand is empty.") seen.hand = "";
    else if ((match = line.match(/^Your last experiment: (\w+) with (\w+) makes (\w+)\.$/))) seen.last = match.slice(1);
    else if (line === "You have tried nothing yet.") seen.last = null;
    else if ((match = line.match(/^(\w+):$/))) seen.books.push({ title: match[1], lines: [] });
    else if (line.startsWith("  ") && seen.books.length) seen.books.at(-1).lines.push(line.trim());
    else seen.news.push(line);
  }
  return seen;
}

function colour(made, word) {
  let hash = 7;
  for (const letter of word) hash = (hash * 31 + letter.codePointAt(0)) % 360;
  made.style.setProperty("--hue", String((hash * 137) % 360));
  return made;
}

function chip(word) {
  return word === "nothing" ? element("span", "nothing", word) : colour(element("span", "chip", word), word);
}

function showBench(seen) {
  const hand = element("div", "slot");
  hand.append(element("span", "hint", "hand"), seen.hand ? chip(seen.hand) : element("span", "chip empty", "empty"));
  const last = element("div", "slot");
  last.append(element("span", "hint", "last"));
  if (seen.last) last.append(chip(seen.last[0]), "+", chip(seen.last[1]), "=", chip(seen.last[2]));
  else last.append(element("span", "hint", "no experiment yet"));
  $("bench").replaceChildren(hand, last);
}

function showTiles(seen, choices) {
  const said = new Map(); // by thing, the sentence that takes it
  const forced = new Map();
  for (const choice of choices) {
    let match;
    if ((match = choice.match(/^(?:take|combine \w+ with) (\w+)$/))) said.set(match[1], choice);
    else if ((match = choice.match(/^force (\w+)$/))) forced.set(match[1], choice);
  }
  const tiles = seen.things.map(([word, kind], k) => {
    const sentence = said.get(word);
    const tile = colour(button("tile", word, sentence && (() => say(sentence))), word);
    if (word === seen.hand) tile.classList.add("held");
    if (kind) tile.append(element("small", "", kind));
    const whole = element("div", "thing");
    whole.append(tile);
    if (sentence && k < KEYS.length) {
      keys.set(KEYS[k], sentence);
      tile.append(element("kbd", "", KEYS[k]));
    }
    if (forced.has(word)) whole.append(button("force", "force", () => say(forced.get(word))));
    return whole;
  });
  $("tiles").replaceChildren(...tiles);
}

function showDeeds(choices) {
  const deeds = choices.filter((choice) => /^(?:[a-z]+|[a-z]+ agent_\d+|put \d+)$/.test(choice));
  const symbol = (deed) => Number(deed.match(/^put (\d+)$/)?.[1] ?? 0);
  deeds.sort((a, b) => symbol(a) - symbol(b));
  deeds.sort((a, b) => (a === "wait") - (b === "wait"));
  $("deeds").replaceChildren(
    ...deeds.map((deed) => {
      const made = button("", deed, () => say(deed));
      if (deed === "wait") {
        keys.set(" ", deed);
        made.append(element("kbd", "", "space"));
      }
      return made;
    }),
  );
}

const OF_NOTES = ["note", "erase", "read"];
const NAMES = { note: "write", read: "open", look: "open", erase: "x" };

function bookOf(book, choices) {
  const own = book.title === "Notes";
  const by = new Map(); // by number, the sentences
  const pages = new Map();
  for (const choice of choices) {
    const match = choice.match(/^([a-z]+) (\d+)(?:: )?$/);
    if (!match || OF_NOTES.includes(match[1]) !== own) continue;
    const into = match[1] === "read" || match[1] === "look" ? pages : by;
    into.set(match[2], [...(into.get(match[2]) ?? []), choice]);
  }
  const made = element("section", "book");
  made.append(element("h2", "", own ? "Notebook" : book.title));
  for (const line of book.lines) made.append(entryOf(line, by, pages));
  return made;
}

function entryOf(line, by, pages) {
  const made = element("div", "entry");
  const entry = line.match(/^(\d+): (.*)$/);
  const page = line.match(/^page (\d+) \((\d+) to (\d+)\)/);
  const number = entry ? entry[1] : page ? page[1] : "";
  const sentences = (entry ? by : pages).get(number) ?? [];
  const isEmpty = entry && entry[2] === "empty";
  made.append(element("span", "number", entry ? number : ""), element("span", isEmpty ? "hint" : "", entry ? entry[2] : line));
  for (const sentence of [...sentences].sort().reverse()) {
    const verb = sentence.split(" ")[0];
    const pressed = button(verb === "erase" ? "small erase" : "small", NAMES[verb] ?? verb, () => press(sentence));
    pressed.title = sentence;
    const key = verb === "note" && isEmpty ? "w" : verb === "read" ? "o" : "";
    if (key && !keys.has(key)) {
      keys.set(key, sentence);
      pressed.append(element("kbd", "", key));
    }
    made.append(pressed);
  }
  return made;
}

function tellProblem(text) {
  $("problem").textContent = text ?? "";
  $("problem").hidden = !text;
}

// ------------------------------------------------------------------------------------------------- saying something
// A sentence that a button stands for; one that ends in a colon is begun in the field, for the reader to go on with.
function press(sentence) {
  if (!sentence.endsWith(": ")) return say(sentence);
  $("sentence").value = sentence;
  $("sentence").focus();
}

function say(sentence) {
  if (!now || $("play").classList.contains("rests")) return;
  if (now.practice) {
    send({ kind: "try", sentence });
    return;
  }
  if (send({ kind: "say", step: now.step, sentence })) rest("...");
}

// Nothing more can be said in this step; with "", one may say something again.
function rest(why) {
  $("play").classList.toggle("rests", Boolean(why));
  if (why) $("status").textContent = why;
  else if (now) $("status").textContent = read(now.text).status;
}

function tick() {
  const inTime = now && !now.practice;
  const left = inTime ? Math.max(0, ends - performance.now()) / 1000 : 0;
  $("clock").hidden = $("left").hidden = !inTime;
  if (!inTime) return;
  $("left").textContent = `${Math.ceil(left)} s`;
  $("clock-bar").style.width = `${Math.min(100, (100 * left) / now.seconds)}%`;
  $("clock").classList.toggle("soon", left < Math.min(5, now.seconds / 3));
}

setInterval(tick, 250);

$("speak").addEventListener("submit", (event) => {
  event.preventDefault();
  const sentence = $("sentence").value.trim();
  if (sentence) say(sentence);
});

addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLInputElement) return;
  if (event.key === " " && event.target instanceof HTMLElement && event.target.closest("button, summary")) return;
  const sentence = $("play").hidden ? undefined : keys.get(event.key);
  if (sentence === undefined) return;
  event.preventDefault();
  press(sentence);
});
