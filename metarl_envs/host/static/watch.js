// The live view: boxes as they stand, who is there, and what was missed.

import { button, connect, element } from "./talk.js";

const $ = (id) => document.getElementById(id);
let overview = null;
let chosen = 0;

const send = connect(hear, (state, reason) => {
  $("banner").textContent = state === "open" ? "" : state === "lost" ? "The connection is lost; trying again ..." : reason;
  $("banner").hidden = state === "open";
  if (state === "open" && chosen) send({ kind: "look", box: chosen });
});

function hear(message) {
  if (message.kind === "overview") {
    overview = message;
    showOverview();
  } else if (message.kind === "box" && message.box === chosen) {
    $("picture").src = `data:image/png;base64,${message.png}`;
    $("text").textContent = message.text;
  }
}

function choose(box) {
  chosen = box;
  send({ kind: "look", box });
  showOverview();
}

function showOverview() {
  $("boxes").replaceChildren(
    ...overview.steps.map((step, box) => button(box === chosen ? "main" : "", `box ${box}: step ${step}`, () => choose(box))),
  );
  const here = overview.people.filter((person) => person.box === chosen);
  const rows = overview.names.flatMap((name, seat) => {
    const people = here.filter((person) => person.seat === seat);
    return people.length ? people.map(rowOf) : [row([seat, name, "", "", ""])];
  });
  $("people").replaceChildren(...rows);
  const isAwaited = here.some((person) => person.awaited);
  $("lobby").replaceChildren(
    ...(isAwaited
      ? [element("span", "hint", "This box waits for those who are missing."),
         button("", "begin without them", () => send({ kind: "begin", box: chosen }))]
      : []),
  );
}

function rowOf(person) {
  const day = person.day === null ? "" : `, day ${person.day + 1}`;
  const state = person.over ? "is done" : !person.here ? "is away" : !person.ready ? "reads and practises"
    : person.asked ? "is thinking" : "is there";
  const made = row([person.seat, `person${day} ${state}`, person.steps, person.missed, person.malformed]);
  made.className = person.over ? "hint" : person.here ? "here" : "away";
  return made;
}

function row(cells) {
  const made = element("tr", "");
  made.append(...cells.map((cell) => element("td", "", String(cell))));
  return made;
}
