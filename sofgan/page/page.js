"use strict";
/* The page: what a visitor does becomes a wish, the newest of which the worker (worker.js) is asked to show. */

const DEGREES_PER_PIXEL = 0.35, YAW_LIMIT = 75, PITCH_LIMIT = 30, KEY_DEGREES = 5;
const TURN_DEGREES = 35, TURN_SECONDS = 9, IDLE_MS = 350, CLICK_PIXELS = 4;

const element = (id) => document.getElementById(id);
const content = JSON.parse(element("content").textContent);
const { regions, classes, palette, psi: firstPsi, look: firstLook, side, design } = content;
const limited = (value, limit) => Math.max(-limit, Math.min(limit, value));

function bytesOf(id) {
  const text = atob(element(id).textContent), bytes = new Uint8Array(text.length);
  for (let n = 0; n < text.length; n++) bytes[n] = text.charCodeAt(n);
  return bytes;
}

/* Little-endian numbers of the page's data. */
const halves = (id) => new Uint16Array(bytesOf(id).buffer), singles = (id) => new Float32Array(bytesOf(id).buffer);

/* Asks the worker, which takes one thing after another. */
const worker = (() => {
  const source = new Blob([element("work").textContent], { type: "text/javascript" });
  const thread = new Worker(URL.createObjectURL(source)), waiting = new Map();
  thread.onmessage = ({ data: { id, result, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(result);
  };
  thread.onerror = (event) => trouble(event.message);
  let count = 0;
  return (kind, data) => new Promise((resolve, reject) => {
    waiting.set(++count, { resolve, reject });
    thread.postMessage({ ...data, kind, id: count });
  });
})();

function trouble(error) {
  element("trouble").textContent = `This browser can't show it: ${error.message ?? error}`;
  element("trouble").hidden = false;
}

const looks = singles("looks"), average = singles("average"), looksCount = looks.length / average.length;
/* The look of a photo, which comes after those of seeds: a style for each region and layer. */
const photoLook = element("photo-look") && singles("photo-look"), allLooks = looksCount + (photoLook ? 1 : 0);
const layers = photoLook ? photoLook.length / (regions.length * average.length) : 1;
const lookName = (look) => (look === looksCount ? "photo" : look);

/* A region's style in a look, for each layer where a photo has one for each. That of a seed is pulled towards the
   average one: psi 1 not at all, 0 fully. */
function styleOf(look, psi, region) {
  const length = layers * average.length;
  if (look === looksCount) return photoLook.subarray(region * length, (region + 1) * length);
  const style = new Float32Array(length);
  for (let n = 0; n < length; n++) {
    const value = average[n % average.length];
    style[n] = value + psi * (looks[look * average.length + (n % average.length)] - value);
  }
  return style;
}

/* What is wished: seeds of styles by region are in `own` where they aren't the look's. */
const state = {
  head: 0, yaw: content.yaw, pitch: content.pitch, zoom: 1, look: photoLook ? looksCount : firstLook, psi: firstPsi, own: {},
};
let chosen = null, turning = false, shown = null;

function stylesOf({ look, psi, own }) {
  const length = layers * average.length, styles = new Float32Array(regions.length * length);
  regions.forEach((name, region) => styles.set(styleOf(own[name] ?? look, psi, region), region * length));
  return styles;
}

const loaded = new Map(); // promises by head
function load(head) {
  if (!loaded.has(head)) loaded.set(head, worker("head", { number: head, packed: bytesOf(`head-${head}`) }));
  return loaded.get(head);
}

async function view(wish) {
  await load(wish.head);
  const camera = { yaw: wish.yaw, pitch: wish.pitch, zoom: wish.zoom };
  return worker("show", { head: wish.head, camera, side, styles: stylesOf(wish) });
}

function drawPicture(canvas, picture) {
  canvas.width = canvas.height = design.resolution;
  canvas.getContext("2d").putImageData(new ImageData(picture, design.resolution), 0, 0);
}

function drawMap(canvas, labels) {
  const pixels = new Uint8ClampedArray(4 * labels.length).fill(255);
  labels.forEach((label, pixel) => pixels.set(palette[label], 4 * pixel));
  canvas.width = canvas.height = side;
  canvas.getContext("2d").putImageData(new ImageData(pixels, side), 0, 0);
}

/* Shows the newest wish; those that newer ones overtake are never begun. */
let busy = null, wanted = false;
function refresh() {
  wanted = true;
  busy ??= (async () => {
    try {
      while (wanted) {
        wanted = false;
        const wish = { ...state, own: { ...state.own } }, made = await view(wish);
        shown = { ...made, state: wish };
        drawPicture(element("picture"), made.picture);
        drawMap(element("map"), made.labels);
        tell();
      }
    } catch (error) {
      trouble(error);
    } finally {
      busy = null;
    }
    paintThumbnails();
  })();
  return busy;
}

function tell() {
  const { times, colors, shares } = shown;
  element("angles").textContent = `${Math.round(state.yaw)}° sideways, ${Math.round(state.pitch)}° up`;
  const seeds = `0 to ${looksCount - 1}`, others = photoLook ? `${seeds}, or the photo’s` : seeds;
  element("look").textContent = state.look === looksCount ? `the photo’s, or ${seeds}` : `${state.look} of ${others}`;
  element("psi").value = state.psi;
  element("psi-value").textContent = state.psi.toFixed(2);
  element("zoom-value").textContent = state.zoom.toFixed(2);
  const parts = `view ${times.view.toFixed(0)} ms, map’s part of the painting ${times.map.toFixed(0)} ms, styles’ part ${times.paint.toFixed(0)} ms`;
  const way = vectors ? "WebAssembly with vectors" : "plain JavaScript, as this browser has no WebAssembly vectors, which is slower";
  element("speed").textContent = `The last picture: ${parts}. Computed by ${way}.`;
  regions.forEach((name, region) => {
    const row = rows[region], own = state.own[name];
    row.item.classList.toggle("unseen", shares[region] === 0);
    row.item.classList.toggle("chosen", chosen === region);
    row.item.classList.toggle("restyled", own !== undefined);
    row.swatch.style.background = shares[region] ? `rgb(${[0, 1, 2].map((c) => Math.round(colors[3 * region + c]))})` : "";
    row.seed.textContent = lookName(own ?? state.look);
  });
  thumbnails.forEach(({ button }, head) => button.setAttribute("aria-pressed", head === state.head));
}

/* Thumbnails follow the look once nothing else is to be shown. */
let idle = 0;
function paintThumbnails() {
  clearTimeout(idle);
  idle = setTimeout(() => { if (!busy && !turning) thumbnailsPainted().catch(trouble); }, IDLE_MS);
}

async function thumbnailsPainted() {
  for (const [head, one] of thumbnails.entries()) {
    const key = JSON.stringify([state.look, state.psi, state.own]);
    if (one.key === key) continue;
    const made = await view({ ...state, head, yaw: 0, pitch: 0, zoom: 1 });
    one.key = key;
    drawPicture(one.canvas, made.picture);
  }
}

function change(values) {
  Object.assign(state, values);
  return refresh();
}

function restyle(name, seed) {
  const own = { ...state.own };
  if (seed === undefined) delete own[name];
  else own[name] = (seed + allLooks) % allLooks;
  chosen = regions.indexOf(name);
  return change({ own });
}

function turn(on) {
  turning = on;
  element("turn").setAttribute("aria-pressed", on);
  element("turn").textContent = on ? "Stop" : "Turn";
  if (!on) { paintThumbnails(); return; }
  let last = null, phase = Math.asin(limited(state.yaw, TURN_DEGREES) / TURN_DEGREES);
  const step = (now) => {
    if (!turning) return;
    if (!busy && visible) {
      phase += last === null ? 0 : (2 * Math.PI * Math.min(now - last, 500)) / 1000 / TURN_SECONDS;
      last = now;
      change({ yaw: TURN_DEGREES * Math.sin(phase) });
    }
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

const button = (text, title, pressed) => {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: text, title, onclick: pressed });
  made.setAttribute("aria-label", title);
  return made;
};

const rows = regions.map((name, region) => {
  const item = document.createElement("li"), swatch = document.createElement("i");
  const label = document.createElement("span"), seed = document.createElement("output");
  label.textContent = name;
  const current = () => state.own[name] ?? state.look;
  const own = button("×", `${name} as the look`, () => restyle(name));
  own.className = "own";
  const next = button("›", `next style of ${name}`, () => restyle(name, current() + 1));
  item.append(swatch, label, own, seed, next);
  item.onpointerenter = () => { chosen = region; if (shown) tell(); };
  element("regions").append(item);
  return { item, swatch, seed };
});

const thumbnails = content.heads.map((name, head) => {
  const canvas = document.createElement("canvas"), made = button("", `head ${name}`, () => change({ head }));
  made.append(canvas);
  element("heads").append(made);
  return { canvas, button: made, key: null };
});
element("heads").hidden = content.heads.length < 2;

for (const canvas of [element("picture"), element("map")]) {
  let from = null;
  const labelAt = (event) => { // of the pixel under the pointer
    const place = (offset, extent) => Math.min(side - 1, Math.max(0, Math.floor((offset / extent) * side)));
    return shown.labels[place(event.offsetY, canvas.clientHeight) * side + place(event.offsetX, canvas.clientWidth)];
  };
  canvas.onpointerdown = (event) => {
    turn(false);
    canvas.setPointerCapture(event.pointerId);
    from = { x: event.clientX, y: event.clientY, yaw: state.yaw, pitch: state.pitch, moved: false };
  };
  canvas.onpointerleave = () => { element("under").textContent = ""; };
  canvas.onpointermove = (event) => {
    if (shown) element("under").textContent = classes[labelAt(event)];
    if (!from) return;
    const right = event.clientX - from.x, down = event.clientY - from.y;
    from.moved ||= Math.hypot(right, down) > CLICK_PIXELS;
    if (from.moved) {
      change({
        yaw: limited(from.yaw - DEGREES_PER_PIXEL * right, YAW_LIMIT),
        pitch: limited(from.pitch + DEGREES_PER_PIXEL * down, PITCH_LIMIT),
      });
    }
  };
  canvas.onpointerup = (event) => {
    if (from && !from.moved && shown) {
      chosen = design.regionOfClass[labelAt(event)];
      tell();
    }
    from = null;
  };
  canvas.onpointercancel = () => { from = null; };
}

element("picture").onkeydown = (event) => {
  const [left, up] = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [0, 0];
  if (!left && !up) return;
  event.preventDefault();
  turn(false);
  change({ yaw: limited(state.yaw + KEY_DEGREES * left, YAW_LIMIT), pitch: limited(state.pitch + KEY_DEGREES * up, PITCH_LIMIT) });
};
element("turn").onclick = () => turn(!turning);
element("before").onclick = () => change({ look: (state.look + allLooks - 1) % allLooks });
element("next").onclick = () => change({ look: (state.look + 1) % allLooks });
element("psi").oninput = () => change({ psi: Number(element("psi").value) });
element("zoom").oninput = () => change({ zoom: Number(element("zoom").value) });
element("reset").onclick = () => change({ own: {} });
element("shuffle").onclick = () => {
  const seed = () => Math.floor(Math.random() * looksCount);
  change({ own: Object.fromEntries(regions.map((name) => [name, seed()])) });
};
element("save").onclick = () => element("picture").toBlob((blob) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = "head.png";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});

let vectors = false, visible = true;
new IntersectionObserver(([entry]) => { visible = entry.isIntersecting; }).observe(element("picture"));
document.body.classList.toggle("embedded", window !== window.parent);

/* For scripts: what is shown, and the painter for any map of class ids and any styles (regions, w_dim). */
window.sofganPage = {
  state,
  change,
  restyle,
  turn,
  shown: () => shown,
  settled: () => busy,
  paint: (labels, labelSide, styles) => worker("paint", { labels: Uint8Array.from(labels), side: labelSide, styles: Float32Array.from(styles) }),
  restart: (plain) => worker("start", { design, half: halves("painter"), scene: content.scene, plain }),
  stylesOf,
  ready: (async () => {
    try {
      ({ vectors } = await worker("start", { design, half: halves("painter"), scene: content.scene, plain: false }));
      await refresh();
      await thumbnailsPainted();
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches && content.turns) turn(true);
    } catch (error) {
      trouble(error);
    }
  })(),
};
