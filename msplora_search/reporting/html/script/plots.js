// The figures: drawn anew by Plotly whenever colours, the legend or the pinned trial change.
const CONFIG = { displayModeBar: false, displaylogo: false, responsive: true, doubleClick: "reset+autosize" };
const FAINT = { other: 0.7, stopped: 0.6, band: 0.4 };
const ICONS = {
  circle: "M8 3a5 5 0 1 0 .01 0z", square: "M3 3h10v10H3z", diamond: "M8 1l7 7-7 7-7-7z",
  star: "M8 0l2.4 5.4 5.6.6-4.2 3.9 1.2 5.8L8 12.8l-5 2.9 1.2-5.8L0 6l5.6-.6z",
  "triangle-up": "M8 2l6 11H2z", "triangle-down": "M8 14l6-11H2z", pentagon: "M8 1l7 5-2.6 8.500H3.600L1 6z",
  x: "M3 3l10 10M13 3L3 13", bar: "M2 4h12v8H2z", line: "M0 8h16",
};
const plots = Object.entries(FIGURES).map(([name, figure]) => ({
  name, figure,
  place: document.getElementById(`${name}-figure`),
  hidden: new Set(figure.data.filter((trace) => trace.visible === "legendonly").map((trace) => trace.meta.legend)),
}));

function coloured(trace, hidden) {
  const { role, legend } = trace.meta, own = colour(role), open = trace.marker?.symbol?.includes("thin");
  const made = { ...trace, showlegend: false, visible: !hidden.has(legend), opacity: FAINT[role] ?? 1 };
  made.marker = { ...trace.marker, color: own, line: { color: open ? own : colour("ground"), width: open ? 1.5 : 0.5 } };
  if (trace.line || trace.mode?.includes("lines")) made.line = { ...trace.line, color: own };
  for (const error of ["error_x", "error_y"]) {
    if (trace[error]) made[error] = { type: "data", ...trace[error], color: trace.type === "bar" ? colour("ink") : own };
  }
  return made;
}

// The pinned or focused trial: a ring around its points, or its whole curve.
function highlight({ figure, name, hidden }) {
  const number = chosen.marked ?? chosen.pinned, x = [], y = [];
  for (const trace of name === "front" || name === "curves" ? figure.data : []) {
    trace.customdata.forEach((of, i) => {
      if (of === number && number !== null && !hidden.has(trace.meta.legend)) {
        x.push(trace.x[i]);
        y.push(trace.y[i]);
      }
    });
  }
  const ring = { symbol: "circle-open", size: 18, color: colour("ink"), line: { width: 2.5, color: colour("ink") } };
  const curve = { color: colour("ink"), size: 8 };
  return {
    type: "scatter", x, y, showlegend: false, hoverinfo: "skip", mode: name === "curves" ? "lines+markers" : "markers",
    marker: name === "curves" ? curve : ring, line: { color: colour("ink"), width: 3 },
  };
}

function layoutOf({ figure, place }) {
  const axis = { gridcolor: colour("line"), linecolor: colour("line"), zeroline: false, zerolinecolor: colour("soft"), automargin: true };
  const narrow = place.clientWidth < 500;
  return {
    ...figure.layout,
    xaxis: { ...axis, ...figure.layout.xaxis },
    yaxis: { ...axis, ...figure.layout.yaxis, title: { ...figure.layout.yaxis?.title, standoff: narrow ? 4 : 12 } },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, uirevision: "kept",
    font: { family: 'system-ui, "DejaVu Sans", sans-serif', size: narrow ? 11 : 13, color: colour("ink") },
    margin: { l: narrow ? 44 : 64, r: 12, t: 12, b: 48 },
    hovermode: "closest", hoverdistance: 24,
    hoverlabel: { align: "left", bgcolor: colour("raised"), bordercolor: colour("soft"), font: { color: colour("ink") } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
  };
}

function draw(plot) {
  const data = [...plot.figure.data.map((trace) => coloured(trace, plot.hidden)), highlight(plot)];
  return Plotly.react(plot.place, data, layoutOf(plot), CONFIG);
}

function drawLegend(plot) {
  const legend = document.getElementById(`${plot.name}-legend`);
  legend.replaceChildren(...[...plot.figure.data].reverse().map((trace) => {
    const { role, legend: word } = trace.meta;
    const toggle = () => {
      plot.hidden[plot.hidden.has(word) ? "delete" : "add"](word);
      button.setAttribute("aria-pressed", String(!plot.hidden.has(word)));
      draw(plot);
    };
    const button = element("button", { type: "button", "aria-pressed": String(!plot.hidden.has(word)), onclick: toggle },
      icon(trace, role), word);
    return button;
  }));
}

function icon(trace, role) {
  const symbol = trace.type === "bar" || trace.fill ? "bar" : trace.marker?.symbol ?? "line";
  const shape = symbol.replace(/-(open|thin)/g, ""), outlined = /open|thin/.test(symbol) || shape === "line";
  const dash = trace.line?.dash === "dash" ? "4 3" : trace.line?.dash === "dot" ? "2 2" : null;
  const line = trace.line?.shape || shape === "line"
    ? [drawn("path", { d: ICONS.line, "stroke-dasharray": dash, style: `stroke: var(--${role}); stroke-width: 2` })] : [];
  const style = outlined ? `fill: none; stroke: var(--${role}); stroke-width: 2` : `fill: var(--${role})`;
  const mark = shape === "line" ? [] : [drawn("path", { d: ICONS[shape], style })];
  return drawn("svg", { viewBox: "0 0 16 16", width: 14, height: 14, opacity: FAINT[role] ?? 1, "aria-hidden": "true" }, ...line, ...mark);
}

function startPlot(plot) {
  document.getElementById(plot.name).hidden = false;
  drawLegend(plot);
  draw(plot);
  const numberOf = (event) => event.points[0]?.customdata ?? null;
  plot.place.on("plotly_hover", (event) => show(numberOf(event)));
  plot.place.on("plotly_click", (event) => pin(numberOf(event)));
}

// Arrow keys walk over the visible points of the front figure, by rising cost.
function startKeys(plot) {
  const walked = () => plot.figure.data
    .filter((trace) => !plot.hidden.has(trace.meta.legend) && trace.meta.role !== "judged")
    .flatMap((trace) => trace.customdata.map((number, i) => ({ number, x: trace.x[i], y: trace.y[i] })))
    .sort((one, other) => one.x - other.x || one.y - other.y || one.number - other.number)
    .map((point) => point.number)
    .filter((number, i, all) => TRIALS.has(number) && all.indexOf(number) === i);
  const go = (to) => {
    const numbers = walked();
    if (!numbers.length) return;
    const last = numbers.length - 1, at = numbers.indexOf(chosen.marked ?? chosen.shown);
    const next = to === "first" ? 0 : to === "last" ? last : Math.min(last, Math.max(0, at + to));
    mark(numbers[next]);
  };
  const moves = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: "first", End: "last" };
  plot.place.addEventListener("keydown", (event) => {
    if (event.key in moves) go(moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") pin(chosen.marked ?? chosen.shown);
    else return;
    event.preventDefault();
  });
  plot.place.addEventListener("blur", () => {
    chosen.marked = null;
    draw(plot);
  });
}

function mark(number) {
  chosen.marked = number;
  choose(number, null); // walking on releases what was pinned
  plots.filter(({ name }) => name === "front").forEach(draw);
}
