// A new Add Keyframe starts on the middle of the widest gap of the track that it is connected to.

import { app } from "../../scripts/app.js";
import { evenFrames, frameOf, isEven, places } from "./keyframe_places.js";
import { isOff, originOf, pictureSources, setValue, valueOf, widgetOf } from "./widget_values.js";

export function startInWidestGap(node) {
  const untouched = widgetOf(node, "frame")?.value;
  let fresh = !app.configuringGraph;
  const { onConfigure, onConnectionsChange } = node;
  node.onConfigure = function (...given) {
    fresh = false; // from a file, a copy or an undone step: its number is a choice
    return onConfigure?.apply(this, given);
  };
  node.onConnectionsChange = function (...given) {
    const result = onConnectionsChange?.apply(this, given);
    const [, place, connected] = given;
    const input = this.inputs?.[place];
    const frame = widgetOf(this, "frame");
    if (fresh && connected && input?.name === "keyframes" && input.link != null && frame?.value === untouched) {
      const middle = widestGap(track(originOf(this, input)));
      if (middle != null) setValue(frame, middle);
      fresh = false;
    }
    return result;
  };
}

/** The middle of the longest run of free frames, the first of equals; null if there is none. */
export function widestGap(found) {
  if (!found) return null;
  const edges = [-1, ...[...new Set(found.taken)].sort((a, b) => a - b), found.length];
  let best = null;
  for (let place = 1; place < edges.length; place++) {
    const width = edges[place] - edges[place - 1];
    if (width > 1 && width > (best?.width ?? 0)) best = { width, before: edges[place - 1] };
  }
  return best && best.before + Math.floor(best.width / 2);
}

/** What a track's nodes say of it: { length, fps, taken: frames }; null where a link hides it. */
function track(node, deep = 0) {
  if (!node || deep > 200) return null;
  const before = () => track(originOf(node, node.inputs?.find((input) => input.name === "keyframes")), deep + 1);
  if (!["InbetweenKeyframes", "InbetweenStoryboard", "InbetweenAddKeyframe"].includes(node.comfyClass)) {
    const found = before(); // Select Anchors: its own keyframes are not known before a run
    if (!found || node.comfyClass !== "InbetweenReverseKeyframes" || isOff(node)) return found;
    return { ...found, taken: found.taken.map((frame) => found.length - 1 - frame) };
  }
  if (node.comfyClass === "InbetweenAddKeyframe") {
    const found = before();
    if (!found || isOff(node)) return found;
    const at = places(String(valueOf(node, "at") ?? ""));
    const frame = frameOf(at[0] ?? String(valueOf(node, "frame")), found.length, found.fps);
    return Number.isInteger(frame) ? { ...found, taken: [...found.taken, frame] } : found;
  }
  const [length, fps] = [valueOf(node, "length"), valueOf(node, "fps")];
  if (!(length >= 1)) return null;
  if (node.comfyClass === "InbetweenStoryboard") return { length, fps, taken: boardFrames(node, length, fps) };
  const ends = { first_image: 0, last_image: length - 1 };
  const linked = node.inputs.filter((input) => input.name in ends && input.link != null && !isOff(originOf(node, input)));
  return { length, fps, taken: linked.map((input) => ends[input.name]) };
}

function boardFrames(node, length, fps) {
  const at = String(valueOf(node, "at") ?? "even");
  const frames = isEven(at)
    ? evenFrames(pictureSources(node).length, length)
    : places(at).map((place) => frameOf(place, length, fps));
  return frames.filter(Number.isInteger);
}
