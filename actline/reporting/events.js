// What a person does. The last of the scripts: it shows the first video.

player.addEventListener("loadedmetadata", () => {
  if (wanted !== null) player.currentTime = wanted;
  wanted = null;
  if (player.videoWidth) player.parentElement.style.aspectRatio = `${player.videoWidth} / ${player.videoHeight}`;
});
player.addEventListener("play", follow);
player.addEventListener("seeked", follow);
player.addEventListener("timeupdate", () => player.paused && follow());
player.addEventListener("error", () => {
  if (!player.getAttribute("src")) return;
  say(current.note || "This browser cannot play the video.");
  withoutVideo();
});

const timeAt = (track, event) => {
  const box = track.getBoundingClientRect();
  return view.start + clamp((event.clientX - box.left) / box.width, 0, 1) * view.length;
};

let dragged = null;
for (const lanes of [byId("lanes"), byId("curve-lanes")]) {
  lanes.addEventListener("pointerdown", (event) => {
    const track = event.target.closest(".track");
    if (!track || event.button || event.target.closest(".span")) return;
    dragged = track;
    track.setPointerCapture(event.pointerId);
    seek(timeAt(track, event));
  });
  lanes.addEventListener("pointermove", (event) => dragged && seek(timeAt(dragged, event)));
  for (const end of ["pointerup", "pointercancel"]) lanes.addEventListener(end, () => (dragged = null));
  lanes.addEventListener(
    "wheel",
    (event) => {
      const track = byId("ruler");
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(track, event));
      } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) && view.length < current.duration) {
        event.preventDefault();
        setView(view.start + (event.deltaX / track.clientWidth) * view.length, view.length);
      }
    },
    { passive: false },
  );
}

byId("rows").addEventListener("click", (event) => {
  const target = event.target.closest(".span");
  if (target) {
    seek(Number(target.dataset.start));
    choose(target.dataset.label);
  }
});

const tip = byId("tip");
byId("rows").addEventListener("pointermove", (event) => {
  const target = event.target.closest(".span");
  tip.hidden = !target;
  if (!target) return;
  const { label, kind, start, end, confidence } = target.dataset;
  const sure = confidence ? `, ${percent(Number(confidence))} sure` : "";
  tip.replaceChildren(
    make("b", { textContent: label }),
    `${kind === "truth" ? "true" : "predicted"}: ${span(Number(start), Number(end))}${sure}`,
  );
  tip.style.left = `${clamp(event.clientX + 14, 4, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${clamp(event.clientY + 18, 4, innerHeight - tip.offsetHeight - 8)}px`;
});
byId("rows").addEventListener("pointerleave", () => (tip.hidden = true));

byId("chart").addEventListener("pointermove", (event) => {
  hovered = timeAt(byId("chart"), event);
  drawChart();
});
byId("chart").addEventListener("pointerleave", () => {
  hovered = null;
  drawChart();
});
byId("class-choice").addEventListener("change", (event) => choose(event.target.value));
byId("threshold").addEventListener("input", () => {
  thresholdTouched = true;
  drawChart();
});

byId("more").addEventListener("click", () => {
  for (const row of byId("rows").children) row.hidden = false;
  byId("more").hidden = true;
});
byId("zoom-in").addEventListener("click", () => zoom(0.5));
byId("zoom-out").addEventListener("click", () => zoom(2));
byId("zoom-fit").addEventListener("click", () => setView(0, current.duration));
byId("video-choice").addEventListener("change", (event) => show(Number(event.target.value)));
byId("previous-video").addEventListener("click", () => move(-1));
byId("next-video").addEventListener("click", () => move(1));
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

document.addEventListener("keydown", (event) => {
  const target = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.closest("select, input, textarea")) return;
  if (event.key === " " && target.closest("button, summary")) return;
  const far = event.shiftKey ? 5 : 1;
  const actions = {
    " ": () => playable() && (player.paused ? player.play() : player.pause()),
    ArrowLeft: () => seek(moment - far),
    ArrowRight: () => seek(moment + far),
    ",": () => seek(moment - 0.04),
    ".": () => seek(moment + 0.04),
    "[": () => step(-1),
    "]": () => step(1),
    "+": () => zoom(0.5),
    "=": () => zoom(0.5),
    "-": () => zoom(2),
  };
  if (target === byId("ruler")) {
    actions.Home = () => seek(0);
    actions.End = () => seek(current.duration);
  }
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

new ResizeObserver(redraw).observe(byId("ruler"));
show(0);
