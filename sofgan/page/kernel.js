"use strict";
/* The sum that painting spends its time on: a row of a 3x3 (or 1x1) convolution, of channels-last features in a border
   of zeros, for tiles of 4 pixels and 8 output channels. Channels being last, what a row of the window covers is one
   run of numbers, so the whole is: for each pixel, 8 sums of products of a few runs with weights [place in the window,
   input channel][8 outputs].

   It is made twice: of WebAssembly, whose instructions take four numbers at a time, and of plain JavaScript, which is
   several times as slow, does the same, and serves where a browser has no such instructions. */

const TILE_PIXELS = 4, TILE_CHANNELS = 8;

/* Both kernels are called with addresses and strides in bytes:
   input: the first pixel's window; rowStride: from row to row of the input; rows: of the window; run: length of a
   window's row; pixelStride: from pixel to pixel of the input; weights; output: of the first pixel; outputStride: from
   pixel to pixel of the output; tiles: how many times 4 pixels. */
const PARAMETERS = ["input", "rowStride", "rows", "run", "pixelStride", "weights", "output", "outputStride", "tiles"];

function plainKernel(memory) {
  const numbers = new Float32Array(memory.buffer);
  return (input, rowStride, rows, run, pixelStride, weights, output, outputStride, tiles) => {
    for (let pixel = 0; pixel < tiles * TILE_PIXELS; pixel++) {
      let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0, weight = weights >> 2;
      for (let row = 0; row < rows; row++) {
        const first = (input + pixel * pixelStride + row * rowStride) >> 2;
        for (let place = first; place < first + (run >> 2); place++, weight += TILE_CHANNELS) {
          const value = numbers[place];
          a += value * numbers[weight]; b += value * numbers[weight + 1];
          c += value * numbers[weight + 2]; d += value * numbers[weight + 3];
          e += value * numbers[weight + 4]; f += value * numbers[weight + 5];
          g += value * numbers[weight + 6]; h += value * numbers[weight + 7];
        }
      }
      numbers.set([a, b, c, d, e, f, g, h], (output + pixel * outputStride) >> 2);
    }
  };
}

/* A module's bytes, after the WebAssembly specification, section 5. */
const I32 = 0x7f, V128 = 0x7b, EMPTY = 0x40;

const bytesOf = (number) => { // LEB128, of numbers from 0
  const bytes = [];
  for (; number > 0x7f; number >>>= 7) bytes.push((number & 0x7f) | 0x80);
  return [...bytes, number];
};
const list = (items) => [...bytesOf(items.length), ...items.flat()];
const sized = (bytes) => [...bytesOf(bytes.length), ...bytes];
const section = (id, items) => [id, ...sized(list(items))];
const text = (word) => list([...word].map((letter) => letter.charCodeAt(0)));

const get = (local) => [0x20, ...bytesOf(local)];
const set = (local) => [0x21, ...bytesOf(local)];
const constant = (number) => [0x41, ...(number < 64 ? [number] : [number & 0x7f | 0x80, number >> 7])]; // below 8192
const simd = (code) => [0xfd, ...bytesOf(code)];
const load = (offset) => [...simd(0), 2, offset], loadSplat = [...simd(9), 2, 0], store = (offset) => [...simd(11), 2, offset];
const ZERO = [...simd(12), ...new Array(16).fill(0)];
const ADD = [0x6a], SUBTRACT = [0x6b], DIFFERS = [0x47], ADD4 = simd(228), MULTIPLY4 = simd(230);
const advance = (local, by) => [...get(local), ...by, ...ADD, ...set(local)];
/* Runs the body until the condition, which it leaves behind, is zero. */
const repeat = (body, condition) => [0x03, EMPTY, ...body, ...condition, 0x0d, 0, 0x0b];

function kernelBytes() {
  const at = Object.fromEntries(PARAMETERS.map((name, index) => [name, index]));
  let locals = PARAMETERS.length;
  const whole = ["weight", "row", "rowsLeft", "place", "end", "step2", "step3", "pixel"];
  for (const name of whole) at[name] = locals++;
  const [first, second, splat] = [locals++, locals++, locals++], sums = locals;
  const pixels = [...Array(TILE_PIXELS).keys()];

  const product = (pixel) => [
    ...get(at.place), ...(pixel ? [...get([0, at.pixelStride, at.step2, at.step3][pixel]), ...ADD] : []),
    ...loadSplat, ...set(splat),
    ...get(sums + 2 * pixel), ...get(splat), ...get(first), ...MULTIPLY4, ...ADD4, ...set(sums + 2 * pixel),
    ...get(sums + 2 * pixel + 1), ...get(splat), ...get(second), ...MULTIPLY4, ...ADD4, ...set(sums + 2 * pixel + 1),
  ];
  const alongRun = repeat([
    ...get(at.weight), ...load(0), ...set(first), ...get(at.weight), ...load(16), ...set(second),
    ...pixels.flatMap(product),
    ...advance(at.weight, constant(4 * TILE_CHANNELS)), ...advance(at.place, constant(4)),
  ], [...get(at.place), ...get(at.end), ...DIFFERS]);
  const window = repeat([
    ...get(at.row), ...set(at.place), ...get(at.row), ...get(at.run), ...ADD, ...set(at.end),
    ...alongRun,
    ...advance(at.row, get(at.rowStride)),
    ...get(at.rowsLeft), ...constant(1), ...SUBTRACT, ...set(at.rowsLeft),
  ], get(at.rowsLeft));
  const write = (pixel) => [
    ...get(at.pixel), ...get(sums + 2 * pixel), ...store(0), ...get(at.pixel), ...get(sums + 2 * pixel + 1), ...store(16),
    ...advance(at.pixel, get(at.outputStride)),
  ];
  const body = [
    ...get(at.pixelStride), ...get(at.pixelStride), ...ADD, ...set(at.step2),
    ...get(at.step2), ...get(at.pixelStride), ...ADD, ...set(at.step3),
    ...repeat([
      ...pixels.flatMap((pixel) => [...ZERO, ...set(sums + 2 * pixel), ...ZERO, ...set(sums + 2 * pixel + 1)]),
      ...get(at.weights), ...set(at.weight), ...get(at.input), ...set(at.row), ...get(at.rows), ...set(at.rowsLeft),
      ...window,
      ...get(at.output), ...set(at.pixel), ...pixels.flatMap(write), ...get(at.pixel), ...set(at.output),
      ...advance(at.input, [...get(at.step2), ...get(at.step2), ...ADD]),
      ...get(at.tiles), ...constant(1), ...SUBTRACT, ...set(at.tiles),
    ], get(at.tiles)),
    0x0b,
  ];
  const declared = list([[...bytesOf(whole.length), I32], [...bytesOf(3 + 2 * TILE_PIXELS), V128]]);
  return Uint8Array.from([
    0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, [[0x60, ...list(PARAMETERS.map(() => I32)), 0]]), // type: nine numbers to nothing
    ...section(2, [[...text("page"), ...text("memory"), 2, 0, 1]]), // import: a memory
    ...section(3, [[0]]), // function 0 has type 0
    ...section(7, [[...text("kernel"), 0, 0]]), // export
    ...section(10, [sized([...declared, ...body])]),
  ]);
}

/* Memory of so many bytes, and the kernel that works in it. `plain` asks for the slow one. */
function makeKernel(size, plain = false) {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(size / 65536) });
  const bytes = kernelBytes();
  if (plain || !WebAssembly.validate(bytes)) return { memory, run: plainKernel(memory), vectors: false };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { page: { memory } });
  return { memory, run: instance.exports.kernel, vectors: true };
}
