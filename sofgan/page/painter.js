"use strict";
/* The generator of sofgan/siw/generator.py, for one label map at a time: a styled encoder, then blocks that double the
   size. Features are rows of pixels, channels last. Weights come with their scales multiplied in (sofgan/page/painter.py),
   those of convolutions in the order that the kernel reads. */

const SLOPE = 0.2, GAIN = Math.SQRT2, CLASSES = 17;
const roundUp = (count, to) => Math.ceil(count / to) * to;

/* Half precision, as the page carries weights, to numbers. */
function fromHalf(half) {
  return Float32Array.from(half, (bits) => {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023;
    const size = exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction;
    return bits & 0x8000 ? -size : size;
  });
}

/* A (H, W) map's shares of classes, at every size; and of regions, as a list of those that each pixel has. */
class ClassShares {
  constructor(labels, side, labelSize, regionOfClass) {
    this.labels = new Uint8Array(labelSize * labelSize);
    for (let y = 0; y < labelSize; y++) {
      const row = Math.floor(((2 * y + 1) * side) / (2 * labelSize)) * side; // the pixel that a center falls on
      for (let x = 0; x < labelSize; x++) {
        this.labels[y * labelSize + x] = labels[row + Math.floor(((2 * x + 1) * side) / (2 * labelSize))];
      }
    }
    this.labelSize = labelSize;
    this.regionOfClass = regionOfClass;
    this.classes = new Map();
    this.regions = new Map();
  }

  classesAt(size) {
    if (!this.classes.has(size)) {
      const shares = new Float32Array(size * size * CLASSES), factor = this.labelSize / size, part = 1 / factor ** 2;
      for (let y = 0, pixel = 0; y < this.labelSize; y++) {
        const row = Math.floor(y / factor) * size;
        for (let x = 0; x < this.labelSize; x++, pixel++) {
          shares[(row + Math.floor(x / factor)) * CLASSES + this.labels[pixel]] += part;
        }
      }
      this.classes.set(size, shares);
    }
    return this.classes.get(size);
  }

  /* Pixel p's regions and their shares are entries first[p] to first[p + 1] of `region` and `share`. */
  regionsAt(size) {
    if (!this.regions.has(size)) {
      const shares = this.classesAt(size), count = size * size;
      const first = new Int32Array(count + 1), region = [], share = [], sums = new Float32Array(CLASSES);
      for (let pixel = 0; pixel < count; pixel++) {
        sums.fill(0);
        for (let label = 0; label < CLASSES; label++) {
          sums[this.regionOfClass[label]] += shares[pixel * CLASSES + label];
        }
        for (let index = 0; index < CLASSES; index++) {
          if (sums[index] > 0) { region.push(index); share.push(sums[index]); }
        }
        first[pixel + 1] = region.length;
      }
      this.regions.set(size, { first, region: Uint8Array.from(region), share: Float32Array.from(share) });
    }
    return this.regions.get(size);
  }
}

/* Calls `one(pixel, region)` for pixels of one region, and `several(pixel, from, to)` for those of more. */
function eachPixel({ first, region }, one, several) {
  for (let pixel = 0; pixel + 1 < first.length; pixel++) {
    const from = first[pixel], to = first[pixel + 1];
    if (to - from === 1) one(pixel, region[from]);
    else several(pixel, from, to);
  }
}

/* Twice the size, bilinear, borders repeated: (side, side, channels) to (2 side, 2 side, channels). */
function doubled(source, side, channels) {
  const width = side * channels, wide = new Float32Array(2 * side * width);
  for (let y = 0; y < side; y++) { // along x
    for (let x = 0; x < side; x++) {
      const here = y * width + x * channels;
      const left = x ? here - channels : here, right = x < side - 1 ? here + channels : here;
      const to = 2 * here;
      for (let c = 0; c < channels; c++) {
        const value = 0.75 * source[here + c];
        wide[to + c] = value + 0.25 * source[left + c];
        wide[to + channels + c] = value + 0.25 * source[right + c];
      }
    }
  }
  const result = new Float32Array(4 * side * width);
  for (let y = 0; y < side; y++) { // along y
    const here = 2 * y * width, above = y ? here - 2 * width : here, below = y < side - 1 ? here + 2 * width : here;
    const to = 2 * here;
    for (let c = 0; c < 2 * width; c++) {
      const value = 0.75 * wide[here + c];
      result[to + c] = value + 0.25 * wide[above + c];
      result[to + 2 * width + c] = value + 0.25 * wide[below + c];
    }
  }
  return result;
}

class Painter {
  /* design: as sofgan/page/painter.py describes it; half: Uint16Array of all its numbers; plain: without vectors. */
  constructor(design, half, plain = false) {
    this.design = design;
    const numbers = fromHalf(half);
    const { encoder, blocks } = design;
    const spades = blocks.flatMap(({ spade }) => (spade ? [spade.hidden, spade.gainShift] : []));
    const styled = [...encoder, ...blocks.flatMap(({ up, conv }) => (up ? [up, conv] : [conv]))];
    const convolutions = [...styled, ...spades];
    this.regions = Math.max(...design.regionOfClass) + 1;
    let end = 0; // of memory, in numbers
    const placed = new Map();
    for (const one of convolutions) {
      placed.set(one, end);
      end += one.weight[1];
    }
    const largest = (measure) => Math.max(...convolutions.map(measure));
    this.padded = end;
    end += largest(({ size, inputs }) => (size + 2) ** 2 * inputs);
    end = this.raw = roundUp(end, 4);
    end += largest(({ size, outputs }) => size ** 2 * roundUp(outputs, TILE_CHANNELS));
    this.kernel = makeKernel(4 * end, plain);
    this.memory = new Float32Array(this.kernel.memory.buffer);

    const read = ([from, count]) => numbers.subarray(from, from + count);
    for (const [one, place] of placed) this.memory.set(read(one.weight), place);
    const prepare = (one) => ({ ...one, place: placed.get(one), bias: read(one.bias) });
    const prepareStyled = (one) => {
      const weight = read(one.weight), squares = new Float32Array(one.outputs * one.inputs);
      weight.forEach((value, index) => { // of the order [8 outputs each][place][input][8]
        const lane = index % TILE_CHANNELS, rest = Math.floor(index / TILE_CHANNELS);
        const output = Math.floor(rest / (9 * one.inputs)) * TILE_CHANNELS + lane;
        if (output < one.outputs) squares[output * one.inputs + (rest % one.inputs)] += value * value;
      });
      const noise = one.noise ? read(one.noise) : null;
      return { ...prepare(one), squares, noise, affine: read(one.affine), affineBias: read(one.affineBias) };
    };
    let number = 0; // of a layer that styles act on
    this.encoder = encoder.map((layer) => ({ ...prepareStyled(layer), number: number++ }));
    this.blocks = blocks.map(({ size, up, spade, conv, rgb }) => ({
      size,
      up: up && { ...prepareStyled(up), number: number++ },
      spade: spade && { ...spade, hidden: prepare(spade.hidden), gainShift: prepare(spade.gainShift) },
      conv: { ...prepareStyled(conv), number: number++ },
      rgb: {
        ...rgb, weight: read(rgb.weight), bias: read(rgb.bias), affine: read(rgb.affine), affineBias: read(rgb.affineBias), number: number++,
      },
    }));
  }

  /* The map that is painted from now on: class ids (side, side). */
  setMap(labels, side) {
    this.map = new ClassShares(labels, side, this.design.labelSize, this.design.regionOfClass);
    this.gainShift = this.blocks.map(({ spade, size }) => spade && this.spadeMaps(spade, size));
  }

  /* The map painted, (R, R) RGBA bytes. styles: Float32Array, a style of w_dim numbers for each region, or for each
     region and layer. */
  paint(styles) {
    let features = null, colors = null;
    for (const layer of this.encoder) {
      const { size, inputs } = layer;
      features = features ? this.halved(features, size, inputs) : this.map.classesAt(size);
      features = this.activate(this.styled(layer, features, styles), null);
    }
    this.blocks.forEach(({ size, up, conv, rgb }, index) => {
      if (up) {
        const wide = doubled(this.styled(up, features, styles), up.size, up.outputs);
        features = this.activate(wide, up.noise, this.gainShift[index]);
      }
      features = this.activate(this.styled(conv, features, styles), conv.noise);
      const before = colors && doubled(colors, size / 2, 3);
      colors = this.colors(rgb, features, size, styles);
      if (before) for (let i = 0; i < colors.length; i++) colors[i] += before[i];
    });
    const pixels = colors.length / 3, picture = new Uint8ClampedArray(4 * pixels).fill(255);
    for (let p = 0; p < pixels; p++) {
      for (let c = 0; c < 3; c++) picture[4 * p + c] = (colors[3 * p + c] + 1) * 127.5; // rounds and clamps
    }
    return picture;
  }

  /* What each region's style makes of a layer's channels: (regions, inputs). */
  modulations({ affine, affineBias, inputs, number }, styles) {
    const width = this.design.wDim, { regions } = this, result = new Float32Array(regions * inputs);
    const stride = styles.length / regions, first = stride > width ? number * width : 0;
    for (let r = 0; r < regions; r++) {
      for (let i = 0; i < inputs; i++) {
        let sum = affineBias[i];
        for (let n = 0; n < width; n++) sum += affine[i * width + n] * styles[r * stride + first + n];
        result[r * inputs + i] = sum;
      }
    }
    return result;
  }

  /* Features (size, size, inputs), convolved with each region's style: (size, size, outputs), before the activation. */
  styled(layer, features, styles) {
    const { inputs, outputs, size, squares, bias } = layer;
    const modulation = this.modulations(layer, styles), regions = modulation.length / inputs;
    const gains = new Float32Array(regions * outputs), power = modulation.map((value) => value * value);
    for (let r = 0; r < regions; r++) {
      for (let o = 0; o < outputs; o++) {
        let sum = 1e-8;
        for (let i = 0; i < inputs; i++) sum += squares[o * inputs + i] * power[r * inputs + i];
        gains[r * outputs + o] = GAIN / Math.sqrt(sum);
      }
    }
    const shares = this.map.regionsAt(size), padded = this.memory, base = this.padded;
    this.clearBorder(size, inputs);
    const place = (pixel) => base + ((Math.floor(pixel / size) + 1) * (size + 2) + (pixel % size) + 1) * inputs;
    eachPixel(shares, (pixel, region) => {
      const to = place(pixel), from = pixel * inputs, style = region * inputs;
      for (let c = 0; c < inputs; c++) padded[to + c] = features[from + c] * modulation[style + c];
    }, (pixel, first, last) => {
      const to = place(pixel), from = pixel * inputs;
      for (let c = 0; c < inputs; c++) {
        let mixed = 0;
        for (let n = first; n < last; n++) mixed += shares.share[n] * modulation[shares.region[n] * inputs + c];
        padded[to + c] = features[from + c] * mixed;
      }
    });
    this.convolve(layer);
    const result = new Float32Array(size * size * outputs), raw = this.memory, stride = roundUp(outputs, TILE_CHANNELS);
    eachPixel(shares, (pixel, region) => {
      const to = pixel * outputs, from = this.raw + pixel * stride, gain = region * outputs;
      for (let c = 0; c < outputs; c++) result[to + c] = raw[from + c] * gains[gain + c] + bias[c];
    }, (pixel, first, last) => {
      const to = pixel * outputs, from = this.raw + pixel * stride;
      for (let c = 0; c < outputs; c++) {
        let mixed = 0;
        for (let n = first; n < last; n++) mixed += shares.share[n] * gains[shares.region[n] * outputs + c];
        result[to + c] = raw[from + c] * mixed + bias[c];
      }
    });
    return result;
  }

  /* Noise, the leaky ReLU, SPADE's gains and shifts, in place. */
  activate(features, noise, gainShift = null) {
    const channels = noise ? features.length / noise.length : 0;
    for (let i = 0, pixel = 0; noise && pixel < noise.length; pixel++) {
      for (const end = i + channels; i < end; i++) features[i] += noise[pixel];
    }
    for (let i = 0; i < features.length; i++) if (features[i] < 0) features[i] *= SLOPE;
    if (gainShift) {
      const [gain, shift] = gainShift;
      for (let i = 0; i < features.length; i++) features[i] = features[i] * gain[i] + shift[i];
    }
    return features;
  }

  /* Half the size by means of areas; `size` is the result's. */
  halved(features, size, channels) {
    const result = new Float32Array(size * size * channels), row = 2 * size * channels;
    for (let y = 0, to = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const from = 2 * y * row + 2 * x * channels;
        for (let c = from; c < from + channels; c++, to++) {
          result[to] = 0.25 * (features[c] + features[c + channels] + features[c + row] + features[c + row + channels]);
        }
      }
    }
    return result;
  }

  /* A picture's (size, size, 3) colors out of features; each pixel by its regions' styles. */
  colors(layer, features, size, styles) {
    const { inputs, weight, bias } = layer, modulation = this.modulations(layer, styles);
    const shares = this.map.regionsAt(size), result = new Float32Array(size * size * 3), mixed = new Float32Array(inputs);
    const write = (pixel, factors, at) => {
      let red = bias[0], green = bias[1], blue = bias[2];
      for (let c = 0; c < inputs; c++) {
        const value = features[pixel * inputs + c] * factors[at + c];
        red += value * weight[c];
        green += value * weight[inputs + c];
        blue += value * weight[2 * inputs + c];
      }
      result[3 * pixel] = red; result[3 * pixel + 1] = green; result[3 * pixel + 2] = blue;
    };
    eachPixel(shares, (pixel, region) => write(pixel, modulation, region * inputs), (pixel, first, last) => {
      mixed.fill(0);
      for (let n = first; n < last; n++) {
        for (let c = 0; c < inputs; c++) mixed[c] += shares.share[n] * modulation[shares.region[n] * inputs + c];
      }
      write(pixel, mixed, 0);
    });
    return result;
  }

  /* SPADE's gains and shifts (size, size, outputs) each: they depend on the map alone. */
  spadeMaps({ hidden, gainShift, limit }, size) {
    let side = hidden.size;
    this.fill(this.map.classesAt(side), side, CLASSES);
    this.convolve(hidden);
    this.fill(this.activate(this.result(hidden), null), side, hidden.outputs);
    this.convolve(gainShift);
    let both = this.result(gainShift);
    for (; side < size; side *= 2) both = doubled(both, side, gainShift.outputs);
    const channels = gainShift.outputs / 2, gain = new Float32Array(both.length / 2), shift = new Float32Array(both.length / 2);
    for (let from = 0, to = 0; to < gain.length; from += channels) {
      for (const end = to + channels; to < end; to++, from++) {
        gain[to] = limit ? 1 - limit + (2 * limit) / (1 + Math.exp(-2 * both[from])) : 1 + both[from];
        shift[to] = both[from + channels];
      }
    }
    return [gain, shift];
  }

  /* The kernel's input: features in a border of zeros. */
  fill(features, size, channels) {
    this.clearBorder(size, channels);
    for (let y = 0; y < size; y++) {
      const row = features.subarray(y * size * channels, (y + 1) * size * channels);
      this.memory.set(row, this.padded + ((y + 1) * (size + 2) + 1) * channels);
    }
  }

  clearBorder(size, channels) {
    const row = (size + 2) * channels, { memory, padded } = this;
    memory.fill(0, padded, padded + row);
    memory.fill(0, padded + (size + 1) * row, padded + (size + 2) * row);
    for (let y = 1; y <= size; y++) {
      memory.fill(0, padded + y * row, padded + y * row + channels);
      memory.fill(0, padded + (y + 1) * row - channels, padded + (y + 1) * row);
    }
  }

  convolve({ place, inputs, outputs, size }) {
    const row = (size + 2) * inputs, stride = roundUp(outputs, TILE_CHANNELS);
    for (let output = 0; output < outputs; output += TILE_CHANNELS) {
      const weights = 4 * (place + 9 * inputs * output);
      for (let y = 0; y < size; y++) {
        const to = 4 * (this.raw + y * size * stride + output);
        this.kernel.run(
          4 * (this.padded + y * row), 4 * row, 3, 4 * 3 * inputs, 4 * inputs, weights, to, 4 * stride, size / TILE_PIXELS,
        );
      }
    }
  }

  /* What `convolve` left, with the bias: (size, size, outputs). */
  result({ size, outputs, bias }) {
    const stride = roundUp(outputs, TILE_CHANNELS), result = new Float32Array(size * size * outputs);
    for (let pixel = 0, to = 0; pixel < size * size; pixel++) {
      for (let c = 0; c < outputs; c++, to++) result[to] = this.memory[this.raw + pixel * stride + c] + bias[c];
    }
    return result;
  }
}
