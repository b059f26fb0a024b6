// The curve of one class, its threshold and the read-out.

function buildClasses() {
  if (!curves) return;
  const options = curves.classes
    .map((name) => ({ name, most: Math.max(...pooled(curves.of(name))) }))
    .sort((a, b) => b.most - a.most)
    .map(({ name }) => make("option", { value: name, textContent: name }));
  byId("class-choice").replaceChildren(...options);
  const first = current.rows.find((row) => curves.of(row.label));
  choose(first ? first.label : options[0].value);
}

/** Largest values of stretches: spreading a long array over arguments would overflow. */
function pooled(values) {
  const most = [0];
  for (let i = 0; i < values.length; i += 4096) most.push(Math.max(...values.subarray(i, i + 4096)));
  return most;
}

function choose(label) {
  if (!curves || !curves.of(label)) return;
  byId("class-choice").value = label;
  for (const row of byId("rows").children) row.classList.toggle("chosen", row.dataset.label === label);
  if (!thresholdTouched) {
    const most = Math.max(...pooled(curves.of(label))) / 255;
    byId("threshold").value = most > 0.5 ? 0.5 : Math.max(0.01, most / 2).toFixed(2);
  }
  drawChart();
}

function drawChart() {
  const chart = byId("chart");
  if (!curves || !chart.clientWidth) return;
  const [width, height] = [chart.clientWidth, chart.clientHeight];
  const label = byId("class-choice").value;
  const values = curves.of(label);
  const threshold = Number(byId("threshold").value);
  byId("threshold-value").textContent = threshold.toFixed(2);
  const most = Math.max(...pooled(values)) / 255;
  const top = [0.1, 0.25, 0.5, 1].find((limit) => most <= limit * 0.98) ?? 1;
  const [head, floor] = [20, height - 34];
  const y = (p) => floor - (Math.min(p, top) / top) * (floor - head);
  const x = (time) => fraction(time) * width;
  const picture = draw("svg", { role: "img", "aria-label": `Probability of ${label} over time` });

  const levels = [];
  for (const share of [0, 0.5, 1]) {
    const level = y(share * top);
    picture.append(draw("line", { class: "grid", x1: 0, x2: width, y1: level, y2: level }));
    levels.push(draw("text", { class: "level", x: 4, y: level - 4 }, String(Number((share * top).toFixed(3)))));
  }
  const { times, digits } = ticks(width, 90);
  for (const time of times) {
    picture.append(draw("line", { class: "grid", x1: x(time), x2: x(time), y1: head, y2: floor }));
    picture.append(draw("text", { x: x(time) + 4, y: height - 3 }, clock(time, digits)));
  }

  const first = Math.max(0, nearest(curves.times, view.start) - 1);
  const last = Math.min(values.length - 1, nearest(curves.times, view.start + view.length) + 1);
  const points = [];
  for (let i = first; i <= last; i++) points.push(`${x(curves.times[i]).toFixed(1)} ${y(values[i] / 255).toFixed(1)}`);
  const line = `M${points.join("L")}`;
  const area = `${line}L${x(curves.times[last]).toFixed(1)} ${floor}L${x(curves.times[first]).toFixed(1)} ${floor}Z`;
  const clip = draw("clipPath", { id: "over-threshold" });
  for (const [start, end] of stretches(values, threshold)) {
    clip.append(draw("rect", { x: x(start), width: Math.max(0.5, x(end) - x(start)), y: 0, height: floor }));
  }
  picture.append(
    clip,
    draw("path", { class: "area", d: area }),
    draw("path", { class: "over", d: area, "clip-path": "url(#over-threshold)" }),
    draw("path", { class: "curve", d: line }),
  );
  if (threshold <= top) {
    const level = y(threshold);
    picture.append(draw("line", { class: "threshold", x1: 0, x2: width, y1: level, y2: level }));
  }
  const row = current.rows.find((candidate) => candidate.label === label);
  for (const [start, end] of row?.truth ?? []) {
    picture.append(draw("rect", { class: "true", x: x(start), width: Math.max(2, x(end) - x(start)), y: floor + 3, height: 6, rx: 2 }));
  }
  if (hovered !== null) {
    picture.append(
      draw("line", { class: "cross", x1: x(hovered), x2: x(hovered), y1: head, y2: floor }),
      draw("circle", { class: "dot", cx: x(hovered), cy: y(probability(values, hovered)), r: 5 }),
    );
  }
  picture.append(...levels);
  chart.replaceChildren(picture);
  const over = stretches(values, threshold);
  const total = over.reduce((sum, [start, end]) => sum + end - start, 0);
  byId("above").textContent = over.length
    ? `above it ${over.length === 1 ? "once" : `${over.length} times`}, ${stretch(total)} in all`
    : `never above it: at most ${most.toFixed(2)}`;
  read();
}

/** The stretches of time in which the curve is at or above the threshold, ends interpolated. */
function stretches(values, threshold) {
  const found = [];
  const times = curves.times;
  const p = (i) => values[i] / 255;
  const crossing = (i) => times[i - 1] + ((threshold - p(i - 1)) / (p(i) - p(i - 1))) * (times[i] - times[i - 1]);
  for (let i = 0; i < values.length; i++) {
    const above = p(i) >= threshold;
    const before = i > 0 && p(i - 1) >= threshold;
    if (above && !before) found.push([i ? crossing(i) : times[0], times[i]]);
    if (!above && before) found.at(-1)[1] = crossing(i);
    if (above && i === values.length - 1) found.at(-1)[1] = times[i];
  }
  return found;
}

/** The curve's height at a time, between two of its points on the line that joins them. */
function probability(values, time) {
  const { times } = curves;
  const at = nearest(times, time);
  const before = times[at] > time ? Math.max(at - 1, 0) : at;
  const after = Math.min(before + 1, times.length - 1);
  const share = clamp((time - times[before]) / (times[after] - times[before]) || 0, 0, 1);
  return (values[before] + share * (values[after] - values[before])) / 255;
}

function read() {
  if (!curves) return;
  const time = hovered ?? moment;
  const label = byId("class-choice").value;
  const p = probability(curves.of(label), time);
  byId("readout").textContent = `${label} · ${clock(time, 2)} · ${p.toFixed(2)}`;
}
