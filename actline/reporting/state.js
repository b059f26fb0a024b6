// What the page shows now, and small helpers. All the page's scripts share one scope.

const byId = (id) => document.getElementById(id);
const videos = JSON.parse(byId("data").textContent);
const player = byId("video");
const SVG = "http://www.w3.org/2000/svg";
const ROWS_AT_FIRST = 14;
const SPARK_POINTS = 400;

// What is shown: one video, a moment of it, and the stretch of time in view (seconds).
let current = videos[0];
let curves = null; // {classes, times, of(class) -> Uint8Array}
let moment = 0;
let view = { start: 0, length: 1 };
let wanted = null; // a seek from before the player knew its video
let address = ""; // of the player's blob
let hovered = null; // a time pointed at in the chart
let thresholdTouched = false;
let shownActive = "";

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const playable = () => Boolean(player.getAttribute("src")) && !player.hidden;

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  const { style = {}, dataset = {}, aria, ...rest } = properties;
  Object.assign(element, rest);
  Object.assign(element.dataset, dataset);
  for (const [name, value] of Object.entries(style)) element.style.setProperty(name, value);
  if (aria) element.setAttribute("aria-label", aria);
  element.append(...children);
  return element;
}

function draw(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const whole = Math.round(seconds * scale) / scale;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

const stretch = (seconds) => (seconds < 60 ? `${seconds.toFixed(1)} s` : clock(seconds));
const span = (start, end) => `${clock(start)} – ${clock(end)}`;
const percent = (value) => `${Math.round(value * 100)}%`;

function bytes(base64) {
  const text = atob(base64);
  const array = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) array[i] = text.charCodeAt(i);
  return array;
}

/** Index of the entry of an increasing list that is nearest to `value`. */
function nearest(list, value) {
  let low = 0;
  let high = list.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (list[middle] <= value) low = middle;
    else high = middle;
  }
  return value - list[low] <= list[high] - value ? low : high;
}

const fraction = (time) => (time - view.start) / view.length;
const inView = (time) => time >= view.start && time <= view.start + view.length;

// Choosing a video.

function show(index) {
  current = videos[index];
  byId("video-choice").value = String(index);
  curves = readCurves(current.curves);
  moment = 0;
  wanted = null;
  byId("of").textContent = `of ${clock(current.duration)}`;
  for (const element of document.querySelectorAll("[data-truth]")) element.hidden = !current.hasTruth;
  for (const element of document.querySelectorAll("[data-curves]")) element.hidden = !curves;
  byId("curves").hidden = byId("likely-box").hidden = !curves;
  buildRows();
  buildFilm();
  buildList();
  buildClasses();
  setView(0, current.duration);
  shownActive = "";
  load(index);
  tell();
}

function load(index) {
  player.pause();
  if (address) URL.revokeObjectURL(address);
  address = "";
  player.removeAttribute("src");
  player.hidden = false;
  byId("still").hidden = true;
  byId("stage").classList.remove("empty-screen");
  const holder = byId(`media-${index}`);
  if (holder) {
    // A blob of the data: browsers seek in it as in a file, in data addresses not all do.
    const [head, body] = holder.textContent.split(",");
    const type = head.slice("data:".length, -";base64".length);
    address = URL.createObjectURL(new Blob([bytes(body)], { type }));
  }
  const source = address || current.link;
  say(current.note);
  if (source) player.src = source;
  else withoutVideo();
  player.load();
}

function withoutVideo() {
  player.hidden = true;
  byId("still").hidden = !current.frames.length;
  byId("stage").classList.toggle("empty-screen", !current.frames.length);
  tell();
}

function say(text) {
  byId("note").textContent = text;
  byId("note").hidden = !text;
}

function readCurves(stored) {
  if (!stored) return null;
  const values = bytes(stored.values);
  const count = stored.times.length;
  const columns = new Map(stored.classes.map((name, column) => [name, column]));
  return {
    ...stored,
    of: (name) => {
      const column = columns.get(name);
      return column === undefined ? null : values.subarray(column * count, (column + 1) * count);
    },
  };
}
