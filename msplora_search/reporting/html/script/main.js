// Puts the parts together.
chosen.listeners.push(drawPanel, markRows, () => plots.forEach((plot) => plot.drawn && chosen.pinned !== plot.drawn.pinned && redraw(plot)));

function redraw(plot) {
  plot.drawn = { pinned: chosen.pinned };
  draw(plot);
}

startTable();
if (!FIGURES.front) document.getElementById("front-figure").replaceChildren("Nothing was measured yet.");
for (const plot of plots) {
  startPlot(plot);
  plot.drawn = { pinned: null };
  if (plot.name === "front") startKeys(plot);
}
document.addEventListener("keydown", (event) => event.key === "Escape" && chosen.pinned !== null && release());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach(draw));
choose(DATA.advised ?? DATA.trials[0]?.trial ?? null, null);
drawPanel();
