// The rows of a battery: unpacked, and merged so that a screen never draws more than it can show.
"use strict";

// A half float's value by its bits.
const HALVES = (() => {
  const values = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023;
    let value = exponent === 31 ? (fraction ? NaN : Infinity)
      : exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
    values[bits] = bits & 0x8000 ? -value : value;
  }
  return values;
})();

// What a byte says in half percents, and in half degrees from -40 on; 255 is unknown.
const PERCENTS = Float32Array.from({ length: 256 }, (_, x) => (x === 255 ? NaN : x / 2));
const DEGREES = PERCENTS.map((x) => x - 40);

// The loops below see a million values each: no calls in them, and one type of array in each.
async function unpack(text, Type) {
  if (typeof text !== "string") return text;  // made on this page, of shards
  const raw = atob(text), deflated = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) deflated[i] = raw.charCodeAt(i);
  const inflate = new DecompressionStream("deflate"), writer = inflate.writable.getWriter();
  writer.write(deflated);
  writer.close();
  const planes = new Uint8Array(await new Response(inflate.readable).arrayBuffer());
  const n = planes.length / Type.BYTES_PER_ELEMENT, values = new Int32Array(n);
  for (let at = 0, shift = 0; at < planes.length; at += n, shift += 8)
    for (let i = 0; i < n; i++) values[i] |= planes[at + i] << shift;
  for (let i = 0, last = 0; i < n; i++) values[i] = last = (last + values[i]) | 0;
  return new Type(values);  // wraps as the type does
}

function floats(values, meant) {
  const out = new Float32Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = meant[values[i]];
  return out;
}

function millivolts(values) {
  const out = new Float32Array(values);
  for (let i = 0; i < out.length; i++) if (out[i] === 65535) out[i] = NaN;
  return out;
}

// Forget the values that cannot be; returns how many there were and the first of them. `halves`
// are the bits of the values: few enough to count, so that the median takes no sorting of all.
function leaveOutWild(values, halves) {
  const counts = new Uint32Array(HALVES.length);
  for (let i = 0; i < halves.length; i++) counts[halves[i]]++;
  const told = Array.from(counts.keys()).filter((bits) => counts[bits] && HALVES[bits] === HALVES[bits])
    .sort((a, b) => HALVES[a] - HALVES[b]);
  let before = told.reduce((sum, bits) => sum + counts[bits], 0) >> 1;
  const middle = HALVES[told.find((bits) => (before -= counts[bits]) < 0)];
  const wild = { count: 0, value: null }, [least, most] = WILD.map((part) => middle * part);
  for (let i = 0; i < values.length; i++)
    if (values[i] < least || values[i] > most) {
      wild.value ??= values[i];
      wild.count++;
      values[i] = NaN;
    }
  return wild;
}

// Minima and maxima of 4, 16, 64 ... rows.
class Pyramid {
  constructor(values) {
    this.levels = [[values, values]];
    let low = values, high = values;
    while (low.length > 4) {
      const n = Math.ceil(low.length / 4);
      const nextLow = new Float32Array(n), nextHigh = new Float32Array(n);
      for (let i = 0; i < n; i++) {
        const end = Math.min(4 * i + 4, low.length);
        let least = low[4 * i], most = high[4 * i];
        for (let k = 4 * i + 1; k < end; k++) {
          const a = low[k], b = high[k];
          if (a < least || least !== least) least = a;
          if (b > most || most !== most) most = b;
        }
        nextLow[i] = least;
        nextHigh[i] = most;
      }
      low = nextLow;
      high = nextHigh;
      this.levels.push([low, high]);
    }
  }
}

// No board stores less often: what is further apart had no data in between.
const SILENCE_S = 3600;
// A voltage beyond these parts of the median is a reading gone wrong.
const WILD = [0.4, 1.6];

class Rows {
  // All rows of one battery; `packed` as web/report.py packs them. `values` has a column by name,
  // NaN where unknown; `wild` tells of voltages that were left out.
  static async of({ columns: packed, first }) {
    const rows = new Rows();
    const [time, begins, voltage, current, temperature, soc, low, high, lowCell, highCell] = await Promise.all([
      unpack(packed.time, Uint32Array), unpack(packed.begins, Uint8Array),
      unpack(packed.voltage, Uint16Array), unpack(packed.current, Uint16Array),
      unpack(packed.temperature, Uint8Array), unpack(packed.soc, Uint8Array),
      unpack(packed.low, Uint16Array), unpack(packed.high, Uint16Array),
      unpack(packed.low_cell, Uint8Array), unpack(packed.high_cell, Uint8Array),
    ]);
    const n = rows.length = time.length;
    const times = rows.time = new Float64Array(time);
    for (let i = 0; i < n; i++) times[i] += first;
    for (let i = 1; i < n; i++) if (times[i] - times[i - 1] > SILENCE_S) begins[i] = 1;
    rows.begins = begins;
    const columns = {
      voltage: floats(voltage, HALVES), current: floats(current, HALVES), power: new Float32Array(n),
      soc: floats(soc, PERCENTS), temperature: floats(temperature, DEGREES),
      low: millivolts(low), high: millivolts(high), spread: new Float32Array(n),
    };
    rows.wild = leaveOutWild(columns.voltage, voltage);
    const { power, spread } = columns;
    for (let i = 0; i < n; i++) power[i] = columns.voltage[i] * columns.current[i];
    for (let i = 0; i < n; i++) spread[i] = columns.high[i] - columns.low[i];
    rows.values = { ...columns, lowCell, highCell };
    rows.pyramids = {};
    return rows;
  }

  pyramid(name) {
    return this.pyramids[name] ??= new Pyramid(this.values[name]);
  }

  find(t) {  // the first row at or after t
    let low = 0, high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.time[middle] < t) low = middle + 1; else high = middle;
    }
    return low;
  }

  // What to draw from `from` to `to` on `pixels`: [times, values by name]. Rows within one pixel
  // are merged to two points, their minimum and maximum; null is where a line must not be drawn.
  slice(names, from, to, pixels) {
    const { time, begins, length } = this;
    const span = (to - from) / pixels;
    const pyramids = names.map((name) => this.pyramid(name).levels);
    const xs = [], ys = names.map(() => []);
    const end = Math.min(length, this.find(to) + 1);
    for (let at = Math.max(0, this.find(from) - 1); at < end;) {
      let level = 0, size = 1;
      while (at % (size * 4) === 0 && at + size * 4 <= length &&
             time[at + size * 4 - 1] - time[at] <= span) {
        size *= 4;
        level++;
      }
      if (begins[at] && xs.length && time[at] > xs[xs.length - 1]) {
        xs.push((time[at] + xs[xs.length - 1]) / 2);
        for (const values of ys) values.push(null);
      }
      xs.push(time[at]);
      if (level) xs.push(time[at + size - 1]);
      for (let k = 0; k < names.length; k++) {
        const [low, high] = pyramids[k][level];
        const i = at / size;
        ys[k].push(low[i] === low[i] ? low[i] : null);
        if (level) ys[k].push(high[i] === high[i] ? high[i] : null);
      }
      at += size;
    }
    return [xs, ys];
  }
}
