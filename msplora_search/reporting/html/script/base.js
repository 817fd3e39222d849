// The data of the page, and how elements are made: texts are only ever set as text.
const { page: DATA, figures: FIGURES } = JSON.parse(document.getElementById("data").textContent);
const TRIALS = new Map(DATA.trials.map((trial) => [trial.trial, trial]));
const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function drawn(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(child))));
  return made;
}

function whole(value) {
  return value === null ? "" : value.toLocaleString("en-US");
}

function fixed(value, digits = 4) {
  return value === null || value === undefined ? "" : value.toFixed(digits);
}

function percent(share) {
  return `${Math.round(100 * share)}%`;
}

function rate(value) {
  return value === null ? "" : String(Number(value.toPrecision(4)));
}

function pointOf(trial) {
  return trial.point === null ? null : DATA.points[String(trial.point)];
}

function colour(role) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${role}`).trim();
}

// Which trial is shown: the pinned one, else what was hovered or focused last.
const chosen = { shown: null, pinned: null, listeners: [] };

function show(number) {
  if (chosen.pinned === null) choose(number, null);
}

function pin(number) {
  choose(number, number);
}

function release() {
  choose(chosen.shown, null);
}

function choose(number, pinned) {
  if (!TRIALS.has(number) || (chosen.shown === number && chosen.pinned === pinned)) return;
  chosen.shown = number;
  chosen.pinned = pinned;
  for (const listener of chosen.listeners) listener();
}
