"use strict";
/* What is computed beside the page, so that the page never waits: views of heads, and their pictures. Each message has
   a kind and a number; the answer has that number, and a result or an error. */

const heads = new Map();
let painter = null, scene = null, prepared = null;

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/* Mean color of each region in a picture, (regions, 3), and its share of the pixels. */
function regionColors(picture, map, regionOfClass) {
  const size = Math.sqrt(picture.length / 4), side = Math.sqrt(map.length), regions = Math.max(...regionOfClass) + 1;
  const sums = new Float64Array(3 * regions), counts = new Float64Array(regions);
  for (let pixel = 0; pixel < size * size; pixel++) {
    const y = Math.floor(((Math.floor(pixel / size) + 0.5) * side) / size), x = Math.floor(((pixel % size + 0.5) * side) / size);
    const region = regionOfClass[map[y * side + x]];
    counts[region]++;
    for (let c = 0; c < 3; c++) sums[3 * region + c] += picture[4 * pixel + c];
  }
  return { colors: sums.map((sum, index) => sum / counts[Math.floor(index / 3)]), shares: counts.map((count) => count / size ** 2) };
}

const tasks = {
  start({ design, half, scene: shared, plain }) {
    scene = shared;
    painter = new Painter(design, half, plain);
    prepared = null;
    return { vectors: painter.kernel.vectors };
  },

  async head({ number, packed }) {
    heads.set(number, new Head(await inflated(packed), scene));
    return {};
  },

  /* A head's view and its picture, with the milliseconds that each took. */
  show({ head, camera, side, styles }) {
    const key = JSON.stringify([head, camera, side]), began = performance.now();
    let viewed = began, mapped = began;
    if (prepared?.key !== key) {
      const labels = heads.get(head).view(camera, side);
      viewed = performance.now();
      painter.setMap(labels, side);
      prepared = { key, labels };
      mapped = performance.now();
    }
    const picture = painter.paint(styles), painted = performance.now();
    const times = { view: viewed - began, map: mapped - viewed, paint: painted - mapped };
    return { labels: prepared.labels, picture, times, ...regionColors(picture, prepared.labels, painter.design.regionOfClass) };
  },

  paint({ labels, side, styles }) {
    prepared = null;
    painter.setMap(labels, side);
    return { picture: painter.paint(styles) };
  },
};

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ id: data.id, result: await tasks[data.kind](data) });
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error) });
  }
};
