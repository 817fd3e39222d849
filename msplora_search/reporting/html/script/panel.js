// The panel of the chosen trial: its pyramid, figures, curve, and the command that exports it.
function drawPanel() {
  const trial = TRIALS.get(chosen.shown), detail = document.getElementById("detail");
  const again = detail.contains(document.activeElement) ? document.activeElement.id : "";
  if (!trial) {
    detail.replaceChildren(element("p", {}, "No trial yet."));
    return;
  }
  const point = pointOf(trial), pinned = chosen.pinned !== null;
  const button = element("button", { type: "button", id: "pin", "aria-pressed": String(pinned),
    onclick: () => (pinned ? release() : pin(trial.trial)) }, pinned ? "Release" : "Pin");
  detail.replaceChildren(
    element("header", {}, element("h3", { id: "chosen", "aria-live": "polite" }, `Trial ${trial.trial}${pinned ? ", pinned" : ""}`), button),
    element("ul", { class: "tags" }, ...tags(trial, point).map((tag) => element("li", {}, tag))),
    ...(trial.pyramid ? pyramidParts(trial) : []),
    ...ending(trial, point),
    figuresOf(trial, point),
    ...(trial.curve.length > 1 ? [curveOf(trial)] : []),
  );
  if (again) document.getElementById(again)?.focus();
}

function tags(trial, point) {
  const on = point && DATA.front.includes(point.trial) ? ["on the front"] : [];
  const confirmed = confirmedOf(trial)?.on_front ? ["on the confirmed front"] : [];
  const advised = point && point.trial === DATA.advised ? ["advised"] : [];
  return [...advised, ...on, ...confirmed, trial.kind, trial.state === "pruned" ? "stopped early" : trial.state];
}

function pyramidParts({ pyramid, label: words }) {
  return [
    element("p", {}, element("strong", {}, words)),
    strip(pyramid, Math.max(DATA.layers, ...pyramid.groups.map((g) => g.stop))),
    element("ul", { class: "groups" }, element("li", {}, `all layers: global rank ${pyramid.global_rank}`),
      ...pyramid.groups.map((g) => element("li", {}, groupLine(g)))),
  ];
}

function figuresOf(trial, point) {
  const rows = [["adapter parameters", whole(trial.adapter_params)], ["trainable in all", whole(trial.trainable_params)]];
  if (!DATA.cost.is_params) rows.unshift([DATA.cost.axis, whole(trial.cost)]);
  if (trial.served) rows.push(["as PEFT", trial.served]);
  const last = trial.curve.at(-1);
  if (point) {
    rows.push([`${DATA.metric}, validation`, measure(point.metric, point.metric_se, point.interval_95)]);
    if (point.metric_judged !== null) {
      rows.push([`${DATA.metric}, judging`, measure(point.metric_judged, point.metric_judged_se, point.judged_interval_95)]);
    }
    if (point.trial !== DATA.front[0]) rows.push(["P(front)", fixed(point.front_probability, 2)]);
    if (point.seeds > 1) rows.push(["seeds", `mean of ${point.seeds}: trials ${point.trainings.join(", ")}`]);
  } else if (last) {
    rows.push([`${DATA.metric} at ${percent(last.rung)}`, `${fixed(last.metric)} ± ${fixed(last.metric_se)}`]);
  }
  const confirmed = confirmedOf(trial);
  if (confirmed) {
    const seeds = `${confirmed.seeds.length} seed${confirmed.seeds.length > 1 ? "s" : ""}`;
    rows.push(["in full, test part", `${measure(confirmed.mean, null, confirmed.interval_95)}, ${seeds}`]);
  }
  rows.push(["learning rate", rate(trial.learning_rate)], ["seed", String(trial.seed)]);
  if (trial.pyramid) {
    const alpha = trial.pyramid.alpha;
    rows.push(["targets", trial.pyramid.targets.join(", ")], ["alpha", typeof alpha === "number" ? String(alpha) : JSON.stringify(alpha)]);
    if (trial.pyramid.scaling) rows.push(["scaling", trial.pyramid.scaling]);
  }
  rows.push(["steps", `${whole(trial.steps)} of ${whole(trial.planned_steps)} in ${fixed(trial.seconds, 1)} s`]);
  return element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function measure(value, error, ends) {
  const range = ends ? ` (95%: ${fixed(ends[0], 3)} to ${fixed(ends[1], 3)})` : "";
  return `${fixed(value)}${error === null ? "" : ` ± ${fixed(error)}`}${range}`;
}

function confirmedOf(trial) {
  return DATA.confirmed?.points.find((point) => point.trial === (trial.point ?? trial.trial));
}

function ending(trial, point) {
  const why = trial.reason ? [element("p", {}, trial.reason)] : [];
  if (!point?.export) {
    return [...why, element("p", { class: "note" }, "Only a trial that was measured to the end can be exported.")];
  }
  const command = element("code", { id: "command", tabindex: "0" }, point.export);
  const copied = element("span", { role: "status" });
  const button = element("button", { type: "button", id: "copy", onclick: async () => {
    copied.textContent = (await copy(command)) ? " copied" : " selected: press Ctrl+C";
  } }, "Copy");
  return [...why, element("div", { class: "command" }, element("span", {}, "Export it:"), command, element("span", {}, button, copied))];
}

async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch { // no clipboard for pages from a disk here: the older way
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}
