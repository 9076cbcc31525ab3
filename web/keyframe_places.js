// Where pictures go on a video, read from the text of `at`. The same words and rounding as frames/keyframe_places.py.

const PLACE = /^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*(%|s?)$/i;

/** The places of a text, trimmed, in plain characters; [] if there is none. One comma may stand at the end. */
export function places(at) {
  const plain = at.normalize("NFKC").replaceAll("\u3001", ",").replaceAll("\u2212", "-");
  const items = plain.split(",").map((item) => item.trim());
  return items.at(-1) === "" ? items.slice(0, -1) : items;
}

export function isEven(at) {
  const written = places(at);
  return written.length === 1 && written[0].toLowerCase() === "even";
}

/** Frames of `count` pictures spread evenly over a video. */
export function evenFrames(count, length) {
  return Array.from({ length: count }, (_, place) => Math.floor((place * (length - 1)) / Math.max(1, count - 1) + 0.5));
}

/** The frame of one place: a number, null where it cannot be read, NaN where it lies outside the video. */
export function frameOf(place, length, fps) {
  const found = PLACE.exec(place);
  if (!found) return null;
  const number = Number(found[1]);
  const unit = found[2].toLowerCase();
  if (unit === "%") return number >= 0 && number <= 100 ? Math.floor((number / 100) * (length - 1) + 0.5) : NaN;
  if (unit === "s") return number >= 0 && number * fps + 0.5 < length ? Math.floor(number * fps + 0.5) : NaN;
  if (!(number >= -length && number < length)) return NaN;
  if (!Number.isInteger(number)) return null;
  return ((number % length) + length) % length;
}

/** The frame on which Wan holds a picture, with placement snap. */
export function heldFrame(frame, length) {
  return frame === 0 || frame === length - 1 ? frame : Math.floor((frame + 2) / 4) * 4;
}
