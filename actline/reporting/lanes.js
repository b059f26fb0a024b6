// The timeline: rows of activities, the sampled times and the frames.

function buildRows() {
  const rows = current.rows.map((row, position) => {
    const track = make("div", { className: "track" });
    const spark = curves && sparkline(row.label);
    if (spark) track.append(spark);
    for (const [start, end, confidence] of row.predicted) {
      track.append(bar(row.label, "predicted", start, end, confidence));
    }
    for (const [start, end] of row.truth) track.append(bar(row.label, "truth", start, end));
    const name = make("button", { type: "button", className: "name", textContent: row.label, title: row.label });
    name.addEventListener("click", () => choose(row.label));
    const lane = make("div", { className: "lane row", dataset: { label: row.label } }, name, track);
    lane.classList.toggle("bare", !curves);
    lane.hidden = position >= ROWS_AT_FIRST;
    return lane;
  });
  byId("rows").replaceChildren(...rows);
  byId("no-rows").hidden = rows.length > 0;
  byId("more").hidden = rows.length <= ROWS_AT_FIRST;
  byId("more").textContent = `Show all ${rows.length} classes`;
}

function bar(label, kind, start, end, confidence) {
  const sure = confidence === undefined ? "" : `, ${percent(confidence)} sure`;
  const element = make("button", {
    type: "button",
    className: `span ${kind}`,
    tabIndex: -1, // the list below the timeline is the way for the keyboard: one stop a row
    aria: `${label}, ${kind === "truth" ? "true" : "predicted"}, ${span(start, end)}${sure}`,
    style: { "--a": start, "--d": end - start },
    dataset: { start, end, label, kind, confidence: confidence ?? "" },
  });
  return element;
}

function sparkline(label) {
  const values = curves.of(label);
  if (!values) return null;
  const pool = Math.ceil(values.length / SPARK_POINTS);
  let path = `M${curves.times[0]} 1`;
  for (let i = 0; i < values.length; i += pool) {
    path += `L${curves.times[i]} ${(1 - Math.max(...values.subarray(i, i + pool)) / 255).toFixed(3)}`;
  }
  path += `L${curves.times[values.length - 1]} 1Z`;
  const picture = draw("svg", {
    class: "spark",
    viewBox: `0 0 ${current.duration} 1`,
    preserveAspectRatio: "none",
    "aria-hidden": "true",
  });
  picture.append(draw("path", { d: path }));
  return picture;
}

function buildFilm() {
  const frames = current.frames.map(([time, image]) => {
    const button = make(
      "button",
      { type: "button", aria: `Frame at ${clock(time)}`, title: clock(time), dataset: { start: time } },
      make("img", { src: image, alt: "" }),
    );
    button.addEventListener("click", () => seek(time));
    return button;
  });
  const fan = draw("svg", { "aria-hidden": "true" });
  byId("strip").replaceChildren(fan, make("div", { className: "frames" }, ...frames));
  const count = current.sampled.length;
  byId("film").hidden = !frames.length;
  byId("film-name").textContent = !count
    ? "Frames, evenly spread"
    : frames.length < count
      ? `Frames at ${frames.length} of the ${count} samples`
      : "The frames it looked at";
  byId("sampling").hidden = !count;
  byId("sampling-name").textContent = `Where Grid Pool looked (${count} samples)`;
}

function buildList() {
  const entries = current.rows.flatMap(({ label, predicted, truth }) => [
    ...predicted.map(([start, end, confidence]) => ({ label, start, end, confidence })),
    ...truth.map(([start, end]) => ({ label, start, end })),
  ]);
  entries.sort((a, b) => a.start - b.start || a.end - b.end);
  const rows = entries.map(({ label, start, end, confidence }) => {
    const go = make("button", { type: "button", className: "plain", textContent: clock(start), aria: `Go to ${label} at ${clock(start)}` });
    go.addEventListener("click", () => seek(start));
    const key = make("i", { className: `key ${confidence === undefined ? "truth" : "predicted"}` });
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, key, label),
      make("td", {}, go),
      make("td", { textContent: clock(end) }),
      make("td", { textContent: confidence === undefined ? "true" : percent(confidence) }),
    );
  });
  byId("list").replaceChildren(...rows);
  byId("listing").hidden = !rows.length;
}

function setView(start, length) {
  const total = current.duration;
  const shortest = Math.min(total, Math.max(1, total / 500));
  view.length = clamp(length, shortest, total);
  view.start = clamp(start, 0, total - view.length);
  const style = document.documentElement.style;
  style.setProperty("--start", view.start);
  style.setProperty("--length", view.length);
  style.setProperty("--total", total);
  redraw();
}

function zoom(factor, around = inView(moment) ? moment : view.start + view.length / 2) {
  const length = clamp(view.length * factor, 0.001, current.duration);
  setView(around - (around - view.start) * (length / view.length), length);
}

function redraw() {
  drawRuler();
  drawSamples();
  drawFan();
  drawChart();
  place();
}

function ticks(width, apart) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400];
  const step = steps.find((seconds) => (seconds / view.length) * width >= apart) ?? 86400;
  const times = [];
  for (let i = Math.ceil(view.start / step); i * step <= view.start + view.length; i++) times.push(i * step);
  // A label that would run out at the right is left out.
  const fitting = times.filter((time) => fraction(time) * width < width - 34);
  return { times: fitting, digits: step < 1 ? 1 : 0 };
}

function drawRuler() {
  const ruler = byId("ruler");
  const { times, digits } = ticks(ruler.clientWidth, 78);
  ruler.replaceChildren(
    ...times.map((time) =>
      make("span", { textContent: clock(time, digits), style: { left: `${fraction(time) * 100}%` } }),
    ),
  );
  const whole = view.length >= current.duration;
  byId("view-range").textContent = whole ? "" : `in view: ${span(view.start, view.start + view.length)}`;
  byId("zoom-out").disabled = byId("zoom-fit").disabled = whole;
}

function drawSamples() {
  const width = byId("samples").clientWidth;
  const seen = current.sampled.filter(inView);
  const path = seen.map((time) => `M${(fraction(time) * width).toFixed(1)} 3V27`).join("");
  const picture = draw("svg", { role: "img", "aria-label": `${current.sampled.length} sampled times` });
  // Where ticks would run together, fainter ones still show where they are denser.
  picture.append(draw("path", { d: path, opacity: clamp(width / (4 * seen.length || 1), 0.2, 1) }));
  byId("samples").replaceChildren(picture);
}

function drawFan() {
  const strip = byId("strip");
  const fan = strip.querySelector("svg");
  if (!fan) return;
  const paths = [...strip.querySelectorAll("button")]
    .filter((button) => button.offsetWidth && inView(Number(button.dataset.start)))
    .map((button) => {
      const from = (fraction(Number(button.dataset.start)) * strip.clientWidth).toFixed(1);
      const to = (button.offsetLeft + button.offsetWidth / 2).toFixed(1);
      return draw("path", { d: `M${from} 0C${from} 18 ${to} 10 ${to} 29` });
    });
  fan.replaceChildren(...paths);
}
