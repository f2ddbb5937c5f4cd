"use strict";
/* A baked head, seen from anywhere: the walk of sofgan/apps/quick_view.py along a ray a pixel, through a grid of class
   scores that sofgan/page/heads.py packed. */

const HAS_ROW = 0x80;

class Head {
  /* bytes: unpacked; scene: what all heads share, and the camera. */
  constructor(bytes, scene) {
    const nodes = scene.side ** 3, cells = scene.freeSide ** 3;
    this.scene = scene;
    this.odds = new Int8Array(bytes.buffer, bytes.byteOffset, nodes);
    this.best = bytes.slice(nodes, 2 * nodes);
    this.free = bytes.subarray(2 * nodes, 2 * nodes + cells);
    this.rows = bytes.subarray(2 * nodes + cells);
    this.row = new Int32Array(nodes).fill(-1);
    for (let node = 0, count = 0; node < nodes; node++) {
      if (this.best[node] & HAS_ROW) { this.row[node] = count++; this.best[node] &= ~HAS_ROW; }
    }
    this.scores = new Float64Array(scene.classes);
    this.corner = new Int32Array(3);
    this.share = new Float64Array(3);
  }

  /* Class ids (size, size), as the portrait's camera sees them, turned by angles in degrees: positive to the head's
     left, and up; zoom is a factor of the focal length. */
  view({ yaw, pitch, zoom = 1 }, size) {
    const { focal, center, targetHeight, distance } = this.scene;
    const [sinYaw, cosYaw] = [Math.sin(yaw * Math.PI / 180), Math.cos(yaw * Math.PI / 180)];
    const [sinPitch, cosPitch] = [Math.sin(pitch * Math.PI / 180), Math.cos(pitch * Math.PI / 180)];
    const away = [sinYaw * cosPitch, sinPitch, cosYaw * cosPitch];
    const origin = [away[0] * distance, away[1] * distance + targetHeight, away[2] * distance];
    const right = [cosYaw, 0, -sinYaw], down = [sinYaw * sinPitch, -cosPitch, cosYaw * sinPitch];
    const directions = new Float64Array(3 * size * size), lengths = new Float64Array(size * size);
    let nearest = Infinity;
    for (let pixel = 0; pixel < size * size; pixel++) {
      const x = ((pixel % size + 0.5) / size - center[0]) / (focal[0] * zoom);
      const y = ((Math.floor(pixel / size) + 0.5) / size - center[1]) / (focal[1] * zoom);
      const length = Math.sqrt(x * x + y * y + 1);
      for (let n = 0; n < 3; n++) directions[3 * pixel + n] = (right[n] * x + down[n] * y - away[n]) / length;
      lengths[pixel] = length;
      const [near, far] = this.ball(origin, directions, 3 * pixel);
      if (near <= far) nearest = Math.min(nearest, near);
    }
    const labels = new Uint8Array(size * size);
    for (let pixel = 0; pixel < size * size; pixel++) {
      labels[pixel] = this.ray(origin, directions, 3 * pixel, nearest) || this.body(origin, directions, 3 * pixel);
    }
    return labels;
  }

  /* Distances at which a ray enters the unit ball and leaves it; the first is higher where it misses. */
  ball(origin, directions, at) {
    let along = 0, away = 0;
    for (let n = 0; n < 3; n++) { along += origin[n] * directions[at + n]; away += origin[n] * origin[n]; }
    const inside = along * along - away + 1;
    if (inside <= 0) return [1, 0];
    const root = Math.sqrt(inside);
    return [Math.max(-along - root, 0), -along + root];
  }

  /* Class that a ray meets in the ball, 0 for none. Samples lie at distances that all rays share. */
  ray(origin, directions, at, nearest) {
    const { step, closed, classDepth, freeSide } = this.scene, free = this.free;
    const [near, end] = this.ball(origin, directions, at);
    if (near > end) return 0;
    const [ox, oy, oz] = origin, dx = directions[at], dy = directions[at + 1], dz = directions[at + 2];
    const cell = 2 / (freeSide - 2), logClosed = Math.log(closed), logHalf = Math.log(0.5);
    let distance = nearest + (Math.ceil((near - nearest) / step - 0.5) + 0.5) * step;
    let passed = 0, before = 0, followed = false, depth = 0;
    while (distance < end) {
      const x = ox + distance * dx, y = oy + distance * dy, z = oz + distance * dz;
      const place = (Math.floor((z + 1) / cell + 1) * freeSide + Math.floor((y + 1) / cell + 1)) * freeSide;
      const leap = free[place + Math.floor((x + 1) / cell + 1)];
      if (leap) { // cells that are empty in every direction
        distance += Math.max(1, Math.floor((leap - 1) * cell / step)) * step;
        followed = false;
        continue;
      }
      const odds = this.oddsAt(x, y, z);
      passed -= odds > 0 ? odds + Math.log1p(Math.exp(-odds)) : Math.log1p(Math.exp(odds));
      if (depth === 0 && passed < logHalf) {
        const share = followed && before < 0 && odds > 0 ? before / (before - odds) : 1;
        depth = distance - (1 - share) * step;
      }
      if (passed < logClosed) break;
      before = odds;
      followed = true;
      distance += step;
    }
    if (depth === 0) return 0;
    depth += classDepth;
    return this.classAt(ox + depth * dx, oy + depth * dy, oz + depth * dz);
  }

  /* First node of the eight around a point, and how far it is to the next along each axis. */
  locate(x, y, z) {
    const { side } = this.scene, { corner, share } = this;
    const point = [x, y, z];
    for (let n = 0; n < 3; n++) {
      const place = Math.min(Math.max((point[n] + 1) * 0.5 * side - 0.5, 0), side - 1);
      corner[n] = Math.min(Math.floor(place), side - 2);
      share[n] = place - corner[n];
    }
    return (corner[2] * side + corner[1]) * side + corner[0];
  }

  oddsAt(x, y, z) {
    const node = this.locate(x, y, z), { odds, share } = this, { side, oddsStep } = this.scene;
    const [tx, ty, tz] = share;
    const line = (from) => odds[from] * (1 - tx) + odds[from + 1] * tx;
    const plane = (from) => line(from) * (1 - ty) + line(from + side) * ty;
    return oddsStep * (plane(node) * (1 - tz) + plane(node + side * side) * tz);
  }

  /* Most probable class at a point, of those that are not the background. */
  classAt(x, y, z) {
    const node = this.locate(x, y, z), { best, row, rows, share, scores } = this;
    const { side, classes, scoreStep, leastScore } = this.scene;
    let only = 0, alike = true;
    for (let n = 0; n < 8; n++) {
      const one = best[node + (n >> 2) * side * side + (n >> 1 & 1) * side + (n & 1)];
      if (one && only && one !== only) alike = false;
      only = one || only;
    }
    if (alike) return only;
    scores.fill(0);
    for (let n = 0; n < 8; n++) {
      const at = node + (n >> 2) * side * side + (n >> 1 & 1) * side + (n & 1);
      const part = (n & 4 ? share[2] : 1 - share[2]) * (n & 2 ? share[1] : 1 - share[1]) * (n & 1 ? share[0] : 1 - share[0]);
      if (row[at] >= 0) for (let c = 0; c < classes; c++) scores[c] -= part * scoreStep * rows[row[at] * classes + c];
      else if (best[at]) scores[best[at] - 1] -= part * leastScore; // the others': as low as they get
    }
    let found = 0;
    for (let c = 1; c < classes; c++) if (scores[c] > scores[found]) found = c;
    return found + 1;
  }

  /* Cloth where a ray meets the shoulders, an ellipsoid; else 0. */
  body(origin, directions, at) {
    const { bodyCenter, bodyRadii, cloth } = this.scene;
    let a = 0, b = 0, c = -1;
    for (let n = 0; n < 3; n++) {
      const start = (origin[n] - bodyCenter[n]) / bodyRadii[n], step = directions[at + n] / bodyRadii[n];
      a += step * step;
      b += step * start;
      c += start * start;
    }
    const inside = b * b - a * c;
    return inside > 0 && Math.sqrt(inside) > b ? cloth : 0;
  }
}
