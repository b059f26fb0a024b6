// The moment shown: the playhead, and what happens then.

function seek(time) {
  moment = clamp(time, 0, current.duration);
  if (playable()) {
    if (player.readyState > 0) player.currentTime = moment;
    else wanted = moment;
  }
  if (!inView(moment)) setView(moment - view.length / 4, view.length);
  tell();
}

/** Move the playhead and say what happens at the moment. */
function tell() {
  byId("clock").textContent = clock(moment);
  const ruler = byId("ruler");
  ruler.setAttribute("aria-valuemax", current.duration);
  ruler.setAttribute("aria-valuenow", moment.toFixed(2));
  ruler.setAttribute("aria-valuetext", `${clock(moment)} of ${clock(current.duration)}`);
  place();
  tellActive();
  tellLikely();
  tellFrame();
  if (hovered === null) read();
}

function place() {
  const share = fraction(moment);
  for (const head of document.querySelectorAll(".playhead")) {
    head.style.left = `calc(var(--names) + (100% - var(--names)) * ${share})`;
    head.hidden = share < 0 || share > 1;
  }
}

function tellActive() {
  const entries = [];
  for (const { label, predicted, truth } of current.rows) {
    const found = predicted.find(([start, end]) => start <= moment && moment < end);
    const really = truth.some(([start, end]) => start <= moment && moment < end);
    if (found || really) entries.push([label, found ? percent(found[2]) : "", really]);
  }
  const text = JSON.stringify(entries);
  if (text === shownActive) return;
  shownActive = text;
  const items = entries.map(([label, sure, really]) =>
    make(
      "li",
      { aria: `${label}: ${[sure && `predicted, ${sure} sure`, really && "true"].filter(Boolean).join(", ")}` },
      make("i", { className: sure ? "key predicted" : "key" }),
      ...(current.hasTruth ? [make("i", { className: really ? "key truth" : "key" })] : []),
      make("span", { textContent: label }),
      make("em", { textContent: sure || (really ? "missed" : "") }),
    ),
  );
  byId("active").replaceChildren(...(items.length ? items : [make("li", { className: "none", textContent: "nothing" })]));
}

function tellLikely() {
  if (!curves) return;
  const best = curves.classes
    .map((name) => [name, probability(curves.of(name), moment)])
    .sort((a, b) => b[1] - a[1])
    .slice(0, 5);
  byId("likely").replaceChildren(
    ...best.map(([name, p]) =>
      make("li", { title: name }, make("i", { style: { width: percent(p) } }), make("span", { textContent: name }), make("em", { textContent: p.toFixed(2) })),
    ),
  );
}

function tellFrame() {
  const buttons = [...byId("strip").querySelectorAll("button")];
  if (!buttons.length) return;
  const at = nearest(current.frames.map(([time]) => time), moment);
  buttons.forEach((button, i) => button.classList.toggle("current", i === at));
  if (player.hidden) byId("still").src = current.frames[at][1];
}

function follow() {
  if (player.readyState > 0 && !player.seeking) {
    moment = clamp(player.currentTime, 0, current.duration);
    if (!player.paused && !inView(moment)) setView(moment, view.length);
    tell();
  }
  if (!player.paused && !player.ended) requestAnimationFrame(follow);
}

function step(direction) {
  const starts = current.rows.flatMap((row) => [...row.predicted, ...row.truth].map(([start]) => start));
  const ahead = starts.filter((start) => (direction > 0 ? start > moment + 0.05 : start < moment - 0.05));
  if (ahead.length) seek(direction > 0 ? Math.min(...ahead) : Math.max(...ahead));
}

function move(by) {
  const count = videos.length;
  show((videos.indexOf(current) + by + count) % count);
}
