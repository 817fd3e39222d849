// Of a page that is served: asks whether there is a newer one, and takes it where the reader is.
const LIVE = JSON.parse(document.getElementById("live").textContent);
const STATE = document.getElementById("state"), SAID = STATE.textContent;
const CALM = 1500, RETRY = 5000;
const following = { version: LIVE.version, last: LIVE.last, acted: 0, leaving: false };

function pause(time) {
  return new Promise((resolve) => setTimeout(resolve, time));
}

async function follow() {
  while (!following.last && !following.leaving) {
    try {
      const answer = await fetch(`/version?after=${following.version}`, { cache: "no-store" });
      Object.assign(following, await answer.json());
      STATE.textContent = SAID;
      takeNewer();
    } catch {
      if (following.leaving) return;
      following.version = LIVE.version;
      STATE.textContent = `${SAID} That was so when this page was last served; it is served no more.`;
      await pause(RETRY);
    }
  }
}

// Nobody loses what they are typing, pointing at or marking; a page in the background waits, but for the last one.
function takeNewer() {
  const busy = document.hidden || Date.now() - following.acted < CALM || !getSelection().isCollapsed;
  if (following.leaving || following.version === LIVE.version || (busy && !following.last)) return;
  following.leaving = true;
  history.scrollRestoration = "manual";
  history.replaceState({ place: placeOfReader() }, "");
  location.reload();
}

function placeOfReader() {
  return {
    top: scrollY, rows: rowsOfTable().scrollTop, focus: document.activeElement?.id ?? "",
    open: [...document.querySelectorAll("details")].map((of) => of.open),
    search: document.getElementById("search").value, sorted: table.sorted.name, down: table.down,
    shown: chosen.shown, pinned: chosen.pinned,
    plots: plots.map(({ name, hidden, place }) => ({ name, hidden: [...hidden], zoom: zoomOf(place) })),
  };
}

function zoomOf(place) {
  return ["xaxis", "yaxis"].map((axis) => [axis, place.layout?.[axis]])
    .filter(([, of]) => of?.autorange === false).map(([axis, of]) => [axis, of.range]);
}

function backTo(place) {
  document.querySelectorAll("details").forEach((of, i) => (of.open = place.open[i] ?? false));
  document.getElementById("search").value = place.search;
  filterRows();
  const column = COLUMNS.find(({ name }) => name === place.sorted);
  if (column) {
    table.sorted = null;
    sortBy(column);
    if (place.down) sortBy(column);
  }
  for (const { name, hidden, zoom } of place.plots) {
    const plot = plots.find((of) => of.name === name);
    if (!plot || (!zoom.length && hidden.join() === [...plot.hidden].join())) continue;
    plot.hidden = new Set(hidden);
    for (const [axis, range] of zoom) plot.figure.layout[axis] = { ...plot.figure.layout[axis], range, autorange: false };
    drawLegend(plot);
    draw(plot);
  }
  choose(place.shown, null);
  if (place.pinned !== null) pin(place.pinned);
  addEventListener("load", () => {
    if (place.focus) document.getElementById(place.focus)?.focus({ preventScroll: true });
    rowsOfTable().scrollTop = place.rows;
    scrollTo({ top: place.top, behavior: "instant" });
    history.scrollRestoration = "auto";
  });
}

function rowsOfTable() {
  return document.querySelector("#trials .scroll");
}

for (const name of ["pointermove", "pointerdown", "keydown", "wheel", "touchmove"]) {
  addEventListener(name, () => (following.acted = Date.now()), { passive: true });
}
if (history.state?.place) {
  backTo(history.state.place);
  history.replaceState(null, "");
}
document.addEventListener("visibilitychange", takeNewer);
setInterval(takeNewer, CALM / 3);
follow();
