// Every trial as a row: sorted by a header, filtered by the search box, chosen by click or key.
const number = (name, value, text) => ({ name, value, text });
const words = (name, value) => ({ name, value, text: value, words: true });
const lastOf = (trial) => trial.curve.at(-1) ?? { metric: null, metric_se: null, rung: null };
const COLUMNS = [
  number("trial", (t) => t.trial, (t) => String(t.trial)),
  words("kind", (t) => t.kind),
  words("ranks g/m/l in depth groups", (t) => t.label),
  ...(DATA.cost.is_params ? [] : [number(DATA.cost.column, (t) => t.cost, (t) => whole(t.cost))]),
  number("adapter params", (t) => t.adapter_params, (t) => whole(t.adapter_params)),
  number(DATA.metric, (t) => lastOf(t).metric, (t) => fixed(lastOf(t).metric)),
  number("± SE", (t) => lastOf(t).metric_se, (t) => fixed(lastOf(t).metric_se)),
  ...(DATA.examples.judging
    ? [number("judged", (t) => t.judged?.metric ?? null, (t) => fixed(t.judged?.metric)),
      number("judged ± SE", (t) => t.judged?.metric_se ?? null, (t) => fixed(t.judged?.metric_se))] : []),
  words("state", (t) => t.state),
  number("rung", (t) => lastOf(t).rung, (t) => (lastOf(t).rung === null ? "" : percent(lastOf(t).rung))),
  number("lr", (t) => t.learning_rate, (t) => rate(t.learning_rate)),
  number("seed", (t) => t.seed, (t) => String(t.seed)),
  ...(new Set(DATA.trials.map((t) => t.pyramid?.targets.join(" ") ?? "")).size > 1
    ? [words("targets", (t) => t.pyramid?.targets.join(" ") ?? "")] : []),
  number("steps", (t) => t.steps, (t) => whole(t.steps)),
  number("seconds", (t) => t.seconds, (t) => fixed(t.seconds, 1)),
  { ...words("reason", (t) => t.reason), long: true },
];
const table = { sorted: COLUMNS[0], down: false, rows: [], focused: null };

function startTable() {
  const [head, body] = document.getElementById("table").children;
  head.append(element("tr", {}, ...COLUMNS.map((column) => element("th", {
    scope: "col", class: column.words ? "words" : null, "aria-sort": column === table.sorted ? "ascending" : null,
  }, element("button", { type: "button", onclick: () => sortBy(column) }, column.name)))));
  table.rows = DATA.trials.map((trial) => {
    const cells = COLUMNS.map((column) => element("td", { class: column.long ? "words long" : column.words ? "words" : null }, column.text(trial)));
    const row = element("tr", { tabindex: "-1", "aria-selected": "false" }, ...cells);
    return { trial, row, text: cells.map((cell) => cell.textContent).join(" ").toLowerCase() };
  });
  body.addEventListener("click", (event) => chooseRow(rowOf(event.target)));
  body.addEventListener("focusin", (event) => reach(rowOf(event.target)));
  body.addEventListener("mouseover", (event) => show(rowOf(event.target)?.trial.trial));
  body.addEventListener("keydown", (event) => onRowKey(event, rowOf(event.target)));
  document.getElementById("search").addEventListener("input", filterRows);
  arrange();
  filterRows();
}

function rowOf(target) {
  const row = target.closest("tr");
  return table.rows.find((entry) => entry.row === row);
}

function sortBy(column) {
  table.down = table.sorted === column && !table.down;
  table.sorted = column;
  COLUMNS.forEach((of, i) => {
    const header = document.getElementById("table").tHead.rows[0].cells[i];
    if (of === column) header.setAttribute("aria-sort", table.down ? "descending" : "ascending");
    else header.removeAttribute("aria-sort");
  });
  arrange();
}

// What has no value stands last, whichever way the others are sorted.
function arrange() {
  const { sorted: { value, words: text }, down } = table;
  const missing = (entry) => value(entry.trial) === null || value(entry.trial) === "";
  const compare = (one, other) => {
    const [a, b] = [value(one.trial), value(other.trial)];
    return text ? String(a).localeCompare(String(b), "en", { numeric: true }) : a - b;
  };
  table.rows.sort((one, other) => missing(one) - missing(other)
    || (missing(one) ? 0 : (down ? -1 : 1) * compare(one, other)) || one.trial.trial - other.trial.trial);
  document.getElementById("table").tBodies[0].replaceChildren(...table.rows.map((entry) => entry.row));
}

function filterRows() {
  const wanted = document.getElementById("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const entry of table.rows) entry.row.hidden = !wanted.every((word) => entry.text.includes(word));
  const left = visibleRows();
  document.getElementById("count").textContent = `${left.length} of ${table.rows.length} trials`;
  if (!left.includes(table.focused)) reach(left[0]);
}

function visibleRows() {
  return table.rows.filter((entry) => !entry.row.hidden);
}

// One row at a time is in the order of the Tab key.
function reach(entry) {
  table.focused?.row.setAttribute("tabindex", "-1");
  table.focused = entry ?? null;
  entry?.row.setAttribute("tabindex", "0");
}

function onRowKey(event, entry) {
  const rows = visibleRows(), at = rows.indexOf(entry);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (event.key === "Enter" || event.key === " ") chooseRow(entry);
  else if (to === undefined) return;
  else if (rows[to]) {
    rows[to].row.focus();
    show(rows[to].trial.trial);
  }
  event.preventDefault();
}

function chooseRow(entry) {
  if (!entry) return;
  pin(entry.trial.trial);
  const panel = document.getElementById("panel"), { bottom } = panel.getBoundingClientRect();
  if (bottom < 0) panel.scrollIntoView({ block: "nearest" }); // on narrow screens it stands far above the table
}

function markRows() {
  for (const { trial, row } of table.rows) row.setAttribute("aria-selected", String(trial.trial === chosen.pinned));
}
