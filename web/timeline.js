// Storyboard's timeline: the pictures on a ruler of frames. It shows the text of `at` and writes it, and keeps nothing.

import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { evenFrames, frameOf, heldFrame, isEven, places } from "./keyframe_places.js";
import { isOff, pictureSources, setValue, valueOf, widgetOf } from "./widget_values.js";
import { words } from "./words.js";

const HEIGHT = 132; // pixels
const LOOK_AGAIN = 200; // milliseconds: what else changes the text, a length or a picture tells nobody
const MOST_GRID = 481; // frames; beyond, the lines of the grid would run together
const STYLE = `
.inbetween-timeline { box-sizing: border-box; min-height: ${HEIGHT}px; height: 100%; padding: 4px 22px; position: relative;
  color: var(--input-text, #ddd); background: var(--comfy-input-bg, #222); border-radius: 8px; font: 11px sans-serif;
  user-select: none; overflow: hidden; }
.inbetween-timeline .track { position: relative; height: 92px; }
.inbetween-timeline .ruler { position: absolute; left: 0; right: 0; top: 72px; border-top: 2px solid currentColor; }
.inbetween-timeline .line { position: absolute; top: 0; width: 1px; height: 4px; background: currentColor; opacity: 0.45; }
.inbetween-timeline .number { position: absolute; top: 6px; transform: translateX(-50%); opacity: 0.8; }
.inbetween-timeline .dot { position: absolute; top: -5px; width: 8px; height: 8px; margin-left: -4px; border-radius: 50%;
  background: #4a90d9; }
.inbetween-timeline .dot.clash { background: #e05555; }
.inbetween-timeline .picture { position: absolute; top: 0; width: 44px; height: 70px; margin-left: -22px; cursor: ew-resize;
  touch-action: none; border-bottom: 2px solid transparent; }
.inbetween-timeline .picture .card { height: 44px; border-radius: 4px; border: 1px solid currentColor; display: flex;
  align-items: center; justify-content: center; background: var(--comfy-menu-bg, #444) center / cover; }
.inbetween-timeline .picture .frame { text-align: center; line-height: 16px; }
.inbetween-timeline .picture::after { content: ""; position: absolute; left: 50%; top: 60px; height: 12px;
  border-left: 1px solid currentColor; }
.inbetween-timeline .picture:focus { outline: none; z-index: 2; }
.inbetween-timeline .picture:focus .card, .inbetween-timeline .picture:hover .card { border: 2px solid #4a90d9; }
.inbetween-timeline .picture.waiting .card { border-style: dashed; opacity: 0.6; }
.inbetween-timeline .foot { display: flex; gap: 8px; align-items: center; margin: 0 -14px; height: 24px; }
.inbetween-timeline .told { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; opacity: 0.8; }
.inbetween-timeline .told.wrong { color: #ff8a80; opacity: 1; }
.inbetween-timeline .even { font: inherit; color: inherit; background: transparent; border: 1px solid currentColor;
  border-radius: 4px; padding: 1px 8px; cursor: pointer; }
.inbetween-timeline .even:disabled { opacity: 0.4; cursor: default; }`;

/** Gives a Storyboard its timeline; where the page has no DOM widgets, the text of `at` stays as it is. */
export function addTimeline(node) {
  if (!node.addDOMWidget || !widgetOf(node, "at")) return;
  addStyle();
  const view = document.createElement("div");
  view.className = "inbetween-timeline";
  view.dataset.testid = "inbetween-timeline";
  const widget = node.addDOMWidget("timeline", "inbetween_timeline", view, {
    getMinHeight: () => HEIGHT,
    getMaxHeight: () => HEIGHT,
    getHeight: () => HEIGHT,
    getValue: () => "",
    setValue: () => {},
    serialize: false,
  });
  widget.serialize = false; // the text of `at` is the value
  widget.label = words().timeline; // App mode writes it over the timeline

  let counted = null; // pictures of the last run, where a slot brings a batch or a list
  const { onExecuted, onRemoved } = node;
  node.onExecuted = function (output, ...given) {
    counted = output?.frames?.length ?? counted;
    return onExecuted?.call(this, output, ...given);
  };
  let drawn = "";
  const draw = () => {
    takePlace(view, node);
    const state = read(node, counted);
    const now = JSON.stringify(state);
    if (now === drawn) return;
    drawn = now;
    render(view, node, state, draw);
  };
  const timer = setInterval(draw, LOOK_AGAIN);
  node.onRemoved = function (...given) {
    clearInterval(timer);
    view.dataset.left = "true";
    return onRemoved?.apply(this, given);
  };
  for (const event of ["pointerdown", "pointermove", "pointerup", "mousedown", "dblclick", "contextmenu"])
    view.addEventListener(event, (happened) => happened.stopPropagation()); // the canvas would move the node
  draw();
}

/** Nodes 2.0 goes on showing the timeline of a node that an undone step has made anew: the new one takes its place. */
function takePlace(view, node) {
  view.dataset.node = `${node.graph?.id}:${node.id}`;
  if (view.isConnected) return;
  document.querySelector(`.inbetween-timeline[data-left][data-node="${view.dataset.node}"]`)?.replaceWith(view);
}

/** What the timeline shows: { at, length, fps, pictures: [{ number, frame, waiting, image }], wrong, fixed }. */
function read(node, counted) {
  const [at, length, fps] = ["at", "length", "fps"].map((name) => valueOf(node, name));
  const hidden = ["at", "length", "fps"].find((_, place) => [at, length, fps][place] === undefined);
  if (hidden) return { pictures: [], length: 1, wrong: words().linked(hidden), fixed: true };
  const sources = pictureSources(node);
  const off = sources.find(({ origin }) => isOff(origin));
  const known = sources.every(({ origin }) => imageOf(origin));
  const even = isEven(at);
  const written = even ? [] : places(at);
  const count = known ? sources.length : even ? Math.max(sources.length, counted ?? 0) : written.length;
  const found = even ? evenFrames(count, length) : written.map((place) => frameOf(place, length, fps));
  const taken = found.filter(Number.isInteger);
  const pictures = [];
  for (let place = 0; place < count; place++) {
    const waiting = !Number.isInteger(found[place]);
    const frame = waiting ? freeFrame(taken, length) : found[place];
    if (frame == null) break; // no frame is free
    if (waiting) taken.push(frame);
    pictures.push({ number: place + 1, frame, waiting, image: known ? imageOf(sources[place].origin) : null });
  }
  return { at, length, fps, pictures, wrong: fault(written, found, even, count, off), fixed: !widgetOf(node, "at") };
}

/** What is wrong with the text in a few words, or "". The run says it in a sentence. */
function fault(written, found, even, count, off) {
  if (off) return words().off(off.slot);
  if (!count) return "";
  const unread = found.findIndex((frame) => frame === null);
  if (unread >= 0) return words().noPlace(written[unread]);
  const outside = found.findIndex(Number.isNaN);
  if (outside >= 0) return words().outside(written[outside]);
  if (!even && written.length !== count) return words().number(written.length, count);
  const second = found.findIndex((frame, place) => found.indexOf(frame) < place);
  return second >= 0 ? words().same(found.indexOf(found[second]) + 1, second + 1) : "";
}

/** The middle of the widest gap, for a picture that has no place yet. */
function freeFrame(taken, length) {
  const edges = [-1, ...[...taken].sort((a, b) => a - b), length];
  let best = 1;
  let middle = null;
  for (let place = 1; place < edges.length; place++) {
    const width = edges[place] - edges[place - 1];
    if (width > best) [best, middle] = [width, edges[place - 1] + Math.floor(width / 2)];
  }
  return middle;
}

/** The address of the picture that a node loads; null for one that may bring several, or that is not known. */
function imageOf(origin) {
  if (origin?.type !== "LoadImage") return null;
  const file = String(origin.widgets?.find((widget) => widget.name === "image")?.value ?? "");
  const [, path, type] = /^(.*?)(?: \[(\w+)\])?$/.exec(file);
  const cut = path.lastIndexOf("/");
  const asked = new URLSearchParams({ filename: path.slice(cut + 1), type: type ?? "input", subfolder: path.slice(0, Math.max(0, cut)) });
  return path && api.apiURL(`/view?${asked}`);
}

function render(view, node, state, draw) {
  const focused = view.contains(document.activeElement) ? document.activeElement.dataset?.number : null;
  const share = (frame) => `${(100 * frame) / Math.max(1, state.length - 1)}%`;
  const track = element("div", "track");
  const ruler = element("div", "ruler");
  track.append(ruler);
  if (state.pictures.length) drawRuler(ruler, state, share);
  for (const picture of state.pictures) track.append(card(picture, state, share, node, track, draw));
  const told = element("span", state.wrong ? "told wrong" : "told");
  told.textContent = state.wrong || (state.pictures.length ? words().howto : words().noPicture);
  told.title = told.textContent;
  const even = element("button", "even");
  even.type = "button";
  even.textContent = words().even;
  even.title = words().spread;
  even.disabled = state.fixed || isEven(state.at);
  even.addEventListener("click", () => write(node, "even", draw, true));
  const foot = element("div", "foot");
  foot.append(told, even);
  view.replaceChildren(track, foot);
  if (focused) view.querySelector(`[data-number="${focused}"]`)?.focus();
}

function drawRuler(ruler, state, share) {
  const onGrid = (state.length - 1) % 4 === 0; // else it is no length of Wan
  for (let frame = 0; onGrid && state.length <= MOST_GRID && frame < state.length; frame += 4) {
    const line = element("div", "line");
    line.style.left = share(frame);
    ruler.append(line);
  }
  const step = [1, 2, 4, 8, 16, 20, 40, 80, 160, 400, 800, 1600, 4000].find((each) => state.length / each <= 8) ?? 8000;
  for (let frame = 0; frame < state.length; frame += step) {
    if (frame && state.length - 1 - frame < step / 2) break;
    number(ruler, frame, share);
  }
  number(ruler, state.length - 1, share);
  const held = state.pictures.map(({ frame }) => heldFrame(frame, state.length));
  for (const frame of onGrid ? new Set(held) : []) {
    const dot = element("div", held.filter((other) => other === frame).length > 1 ? "dot clash" : "dot");
    dot.style.left = share(frame);
    ruler.append(dot);
  }
}

function number(ruler, frame, share) {
  const text = element("span", "number");
  text.textContent = frame;
  text.style.left = share(frame);
  ruler.append(text);
}

function card(picture, state, share, node, track, draw) {
  const item = element("div", picture.waiting ? "picture waiting" : "picture");
  item.dataset.number = picture.number;
  item.style.left = share(picture.frame);
  const label = words().picture(picture.number, picture.frame);
  Object.entries({
    tabindex: "0",
    role: "slider",
    "aria-label": label,
    "aria-valuemin": "0",
    "aria-valuemax": String(state.length - 1),
    "aria-valuenow": String(picture.frame),
  }).forEach(([name, value]) => item.setAttribute(name, value));
  item.title = label;
  const face = element("div", "card");
  if (picture.image) face.style.backgroundImage = `url("${picture.image}")`;
  else face.textContent = picture.number;
  const frame = element("div", "frame");
  frame.textContent = picture.frame;
  item.append(face, frame);
  if (state.fixed) return item;

  item.addEventListener("keydown", (pressed) => {
    if (pressed.ctrlKey || pressed.metaKey || pressed.altKey || pressed.key === "Tab") return; // undo, run, save, leave
    pressed.stopPropagation(); // Delete and the arrows would be the canvas's
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1 }[pressed.key];
    if (!by) return;
    pressed.preventDefault();
    const to = nextFree(read(node, state.pictures.length), picture.number, by, pressed.shiftKey ? 4 : 1);
    if (to != null) write(node, moved(read(node, state.pictures.length), picture.number, to), draw, true);
  });
  item.addEventListener("pointerdown", (pressed) => {
    if (pressed.button) return;
    pressed.preventDefault();
    item.focus();
    drag(pressed, picture.number, node, track, state, draw);
  });
  return item;
}

/** Follows the pointer over the whole page until it is let go; the text changes with every frame that it passes. */
function drag(pressed, number, node, track, state, draw) {
  const { left, width } = track.getBoundingClientRect();
  const grip = pressed.clientX - (left + (width * state.pictures[number - 1].frame) / Math.max(1, state.length - 1));
  const move = (happened) => {
    const now = read(node, state.pictures.length);
    const wanted = Math.round(((happened.clientX - grip - left) / width) * (now.length - 1));
    const frame = Math.min(now.length - 1, Math.max(0, happened.shiftKey ? Math.round(wanted / 4) * 4 : wanted));
    if (now.pictures.some((other) => other.frame === frame && !(other.number === number && other.waiting))) return;
    write(node, moved(now, number, frame), draw, false);
  };
  const end = () => {
    window.removeEventListener("pointermove", move, true);
    window.removeEventListener("pointerup", end, true);
    window.removeEventListener("pointercancel", end, true);
    remember();
  };
  window.addEventListener("pointermove", move, true);
  window.addEventListener("pointerup", end, true);
  window.addEventListener("pointercancel", end, true);
}

/** The text of `at` with one picture elsewhere; the other places stay as they are written. */
function moved(state, number, frame) {
  const written = isEven(state.at) ? [] : places(state.at);
  return state.pictures
    .map((picture, place) => {
      if (picture.number === number) return String(frame);
      return picture.waiting || written[place] === undefined ? String(picture.frame) : written[place];
    })
    .join(", ");
}

/** The frame that many steps on in a direction, or the first free one beyond it; null at the end of the video. */
function nextFree(state, number, by, steps) {
  const others = state.pictures.filter((picture) => picture.number !== number).map(({ frame }) => frame);
  const from = state.pictures[number - 1].frame;
  let frame = Math.min(state.length - 1, Math.max(0, from + by * steps));
  while (others.includes(frame)) frame += by;
  return frame >= 0 && frame < state.length && frame !== from ? frame : null;
}

function write(node, text, draw, finished) {
  const at = widgetOf(node, "at");
  if (!at || at.value === text) return;
  setValue(at, text);
  draw();
  node.setDirtyCanvas?.(true, true);
  if (finished) remember();
}

/** Makes what was done one step that can be undone. */
function remember() {
  app.extensionManager?.workflow?.activeWorkflow?.changeTracker?.captureCanvasState?.();
}

function element(tag, name) {
  const made = document.createElement(tag);
  made.className = name;
  return made;
}

function addStyle() {
  if (document.getElementById("inbetween-timeline-style")) return;
  const style = document.createElement("style");
  style.id = "inbetween-timeline-style";
  style.textContent = STYLE;
  document.head.append(style);
}
