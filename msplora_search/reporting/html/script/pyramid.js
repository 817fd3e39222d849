// A pyramid over the layers: the global rank across all, and each depth group with its mid and layer rank.
const STRIP = { width: 340, left: 48, row: 34, gap: 6 };

function strip(pyramid, layers) {
  const step = (STRIP.width - STRIP.left - 2) / layers;
  const groups = pyramid.groups, all = [{ start: 0, stop: layers }];
  const ranks = [pyramid.global_rank, ...groups.flatMap((g) => [g.mid_rank, g.layer_rank])];
  const most = Math.max(1, ...ranks);
  const rows = [
    ["global", all.map((g) => ({ ...g, rank: pyramid.global_rank }))],
    ["mid", groups.map((g) => ({ ...g, rank: g.mid_rank }))],
    ["layer", groups.map((g) => ({ ...g, rank: g.layer_rank, cells: true }))],
  ];
  const height = rows.length * (STRIP.row + STRIP.gap) + 16;
  const made = rows.flatMap(([level, bars], i) => {
    const top = i * (STRIP.row + STRIP.gap);
    return [label(level, STRIP.left - 6, top + STRIP.row / 2 + 4, "end"),
      ...bars.flatMap((bar) => barOf(level, bar, top, step, most))];
  });
  const every = Math.ceil(layers / 12);
  for (let layer = 0; layer < layers; layer += every) {
    made.push(label(String(layer), STRIP.left + (layer + 0.5) * step, height - 3, "middle", 10));
  }
  const said = [`global rank ${pyramid.global_rank}`, ...groups.map(groupLine)].join("; ");
  return drawn("svg", { viewBox: `0 0 ${STRIP.width} ${height}`, role: "img", "aria-label": said, class: "strip" }, ...made);
}

// A bar as high as its rank, against the highest of the pyramid; a level without a rank is a dashed outline.
function barOf(level, { start, stop, rank, cells }, top, step, most) {
  const x = STRIP.left + start * step + 1, width = (stop - start) * step - 2;
  const middle = x + width / 2, text = String(rank), fits = 7 * text.length + 2 <= width;
  const outline = { x, y: top, width, height: STRIP.row, rx: 2 };
  const frame = `fill: none; stroke: var(--line); stroke-width: 1.2;${rank ? "" : " stroke-dasharray: 3 2"}`;
  const high = rank ? Math.max(4, (STRIP.row * rank) / most) : 0;
  const made = [drawn("rect", { ...outline, style: frame })];
  for (let layer = start; high && layer < (cells ? stop : start + 1); layer += 1) {
    const left = cells ? STRIP.left + layer * step + 1 : x;
    made.push(drawn("rect", { x: left, y: top + STRIP.row - high, width: cells ? Math.max(1, step - 2) : width,
      height: high, rx: 2, style: `fill: var(--${level})`, "fill-opacity": 0.55 }));
  }
  if (fits) made.push(label(text, middle, top + STRIP.row / 2 + 4, "middle"));
  return made;
}

function label(text, x, y, anchor, size = 12) {
  return drawn("text", { x, y, "text-anchor": anchor, "font-size": size, style: "fill: var(--ink)" }, text);
}

function groupLine({ start, stop, mid_rank: mid, layer_rank: layer }) {
  const where = stop - start === 1 ? `layer ${start}` : `layers ${start} to ${stop - 1}`;
  return `${where}: mid rank ${mid}, layer rank ${layer}`;
}

// A trial's metric at each rung, as a line.
function curveOf(trial) {
  const at = trial.curve.filter((evaluation) => evaluation.metric !== null), width = 340, height = 84;
  const values = at.map((evaluation) => evaluation.metric), low = Math.min(...values), high = Math.max(...values);
  const x = (evaluation) => 28 + evaluation.rung * (width - 62);
  const y = (evaluation) => (high > low ? 58 - (36 * (evaluation.metric - low)) / (high - low) : 40);
  const path = at.map((evaluation, i) => `${i ? "L" : "M"}${x(evaluation)} ${y(evaluation)}`).join("");
  const said = at.map((evaluation) => `${fixed(evaluation.metric)} at ${percent(evaluation.rung)}`).join(", ");
  const sparse = (i) => at.length <= 5 || i === 0 || i === at.length - 1;
  return drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `curve: ${said}`, class: "curve" },
    drawn("path", { d: path, style: "fill: none; stroke: var(--front); stroke-width: 2" }),
    ...at.flatMap((evaluation, i) => [
      drawn("circle", { cx: x(evaluation), cy: y(evaluation), r: 3.5, style: "fill: var(--front)" }),
      ...(sparse(i) ? [label(fixed(evaluation.metric, 3), x(evaluation), y(evaluation) - 8, "middle", 11),
        label(percent(evaluation.rung), x(evaluation), height - 4, "middle", 10)] : []),
    ]));
}
