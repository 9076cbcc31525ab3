"use strict";
// The videos of a row play together while the row is on screen; sorting and filtering act on the rows of this page.

const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const speed = document.getElementById("speed");

class Row {
  constructor(element) {
    this.element = element;
    this.frames = Number(element.dataset.length);
    this.videos = [...element.querySelectorAll("video")];
    this.button = element.querySelector("button");
    this.slider = element.querySelector("input");
    this.shown = element.querySelector(".controls output");
    this.held = calm; // by the reader: it does not start by itself
    this.playing = false;
    for (const video of this.videos) video.addEventListener("error", () => this.drop(video));
    this.button.addEventListener("click", () => {
      this.held = this.playing;
      this.playing ? this.pause() : this.play();
    });
    this.slider.addEventListener("input", () => {
      this.held = true;
      this.pause();
      this.seek(Number(this.slider.value));
    });
  }

  load() {
    return Promise.all(this.videos.map(video => new Promise(done => {
      if (video.readyState >= 2 || video.error) return done();
      video.addEventListener("loadeddata", done, {once: true});
      video.addEventListener("error", done, {once: true});
      if (video.preload !== "auto") {
        video.preload = "auto";
        video.load();
      }
    })));
  }

  async play() {
    this.playing = true;
    this.label();
    await this.load();
    if (!this.playing || !this.videos.length) return;
    const start = this.videos[0].currentTime;
    for (const video of this.videos) {
      if (Math.abs(video.currentTime - start) > 0.01) video.currentTime = start;
      video.playbackRate = Number(speed.value);
      video.play().catch(() => {}); // paused again before it began
    }
    requestAnimationFrame(() => this.step());
  }

  pause() {
    this.playing = false;
    for (const video of this.videos) video.pause();
    this.label();
  }

  // Keeps the others with the first video, and shows its frame.
  step() {
    const [first, ...others] = this.videos;
    if (!this.playing || !first) return;
    const rate = Number(speed.value), apart = Math.max(0.05, 1.5 * first.duration / this.frames);
    for (const video of others) {
      const behind = first.currentTime - video.currentTime;
      if (Math.abs(behind) > first.duration - apart) continue; // one of the two has begun anew
      if (Math.abs(behind) > apart) {
        if (!video.seeking) video.currentTime = first.currentTime;
      } else {
        const wanted = rate * (1 + Math.round(100 * Math.max(-0.1, Math.min(0.1, 2 * behind))) / 100);
        if (video.playbackRate !== wanted) video.playbackRate = wanted; // catches up without a jump
      }
    }
    this.show(Math.min(this.frames - 1, Math.floor(first.currentTime / first.duration * this.frames)));
    requestAnimationFrame(() => this.step());
  }

  // All videos to the middle of the same frame.
  async seek(frame) {
    this.show(frame);
    await this.load();
    if (Number(this.slider.value) !== frame) return; // moved on meanwhile
    for (const video of this.videos) video.currentTime = (frame + 0.5) / this.frames * video.duration;
  }

  show(frame) {
    this.slider.value = frame;
    this.slider.setAttribute("aria-valuetext", `frame ${frame + 1} of ${this.frames}`);
    this.shown.value = `frame ${frame + 1} of ${this.frames}`;
  }

  label() {
    this.button.textContent = this.playing ? "Pause" : "Play";
  }

  drop(video) {
    this.videos = this.videos.filter(one => one !== video);
    const box = document.createElement("div");
    box.className = "hole";
    box.textContent = `cannot be shown: ${video.getAttribute("src")}`;
    video.replaceWith(box);
  }
}

const rows = [...document.querySelectorAll(".clip")].map(element => new Row(element));
const byElement = new Map(rows.map(row => [row.element, row]));
const watcher = new IntersectionObserver(changes => {
  for (const {target, isIntersecting} of changes) {
    const row = byElement.get(target);
    if (!isIntersecting) row.pause();
    else if (!row.held && !row.playing) row.play();
  }
}, {rootMargin: "-12% 0px"});
rows.forEach(row => watcher.observe(row.element));

speed.addEventListener("change", () => {
  for (const row of rows) for (const video of row.videos) video.playbackRate = Number(speed.value);
});

const number = row => row.element.dataset.apart === "" ? -1 : Number(row.element.dataset.apart);
const text = (a, b) => a.localeCompare(b, undefined, {numeric: true});
const byName = (a, b) => text(a.element.dataset.clip, b.element.dataset.clip) || a.frames - b.frames;
const ORDERS = {
  apart: (a, b) => number(b) - number(a) || byName(a, b),
  name: byName,
  kind: (a, b) => text(a.element.dataset.kind, b.element.dataset.kind) || byName(a, b),
};
const [order, kind, length, count] = ["order", "kind", "length", "count"].map(id => document.getElementById(id));

// A chosen option has a number, so that a kind called "all" is not all kinds.
function arrange() {
  const chosen = list => list.selectedIndex > 0 ? list.options[list.selectedIndex].value : null;
  let visible = 0;
  for (const row of rows.sort(ORDERS[order.value])) {
    const {kind: itsKind, length: itsLength} = row.element.dataset;
    const hidden = (chosen(kind) ?? itsKind) !== itsKind || (chosen(length) ?? itsLength) !== itsLength;
    row.pause();
    watcher.unobserve(row.element);
    row.element.hidden = hidden;
    row.element.parentNode.append(row.element);
    watcher.observe(row.element); // tells at once whether it is on screen
    visible += !hidden;
  }
  count.value = visible === rows.length ? `${visible} rows` : `${visible} of ${rows.length} rows`;
}

for (const list of [order, kind, length]) list.addEventListener("change", arrange);
