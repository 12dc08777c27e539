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

async function unpack(text, Type) {
  if (typeof text !== "string") return text;  // made on this page, of shards
  const deflated = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const width = Type.BYTES_PER_ELEMENT, n = planes.length / width;
  const values = new Type(n);
  let last = 0;
  for (let i = 0; i < n; i++) {
    let step = 0;
    for (let byte = 0; byte < width; byte++) step |= planes[byte * n + i] << (8 * byte);
    values[i] = last = last + step;  // wraps as the type does
    last = values[i];
  }
  return values;
}

function floats(values, convert) {
  const out = new Float32Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = convert(values[i]);
  return out;
}

// Forget the values that cannot be; returns how many there were and the first of them.
function leaveOutWild(values) {
  const sorted = values.filter((x) => x === x).sort();
  const middle = sorted[sorted.length >> 1];
  const wild = { count: 0, value: null };
  for (let i = 0; i < values.length; i++)
    if (values[i] < middle * WILD[0] || values[i] > middle * WILD[1]) {
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
        let least = NaN, most = NaN;
        const end = Math.min(4 * i + 4, low.length);
        for (let k = 4 * i; k < end; k++) {
          if (!(least <= low[k]) && low[k] === low[k]) least = low[k];
          if (!(most >= high[k]) && high[k] === high[k]) most = high[k];
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
  // NaN where unknown, `columns` their pyramids; `wild` tells of voltages that were left out.
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
    rows.time = Float64Array.from(time, (t) => t + first);
    rows.begins = begins;
    for (let i = 1; i < n; i++) if (rows.time[i] - rows.time[i - 1] > SILENCE_S) begins[i] = 1;
    const columns = {
      voltage: floats(voltage, (bits) => HALVES[bits]),
      current: floats(current, (bits) => HALVES[bits]),
      power: new Float32Array(n),
      soc: floats(soc, (x) => (x === 255 ? NaN : x / 2)),
      temperature: floats(temperature, (x) => (x === 255 ? NaN : x / 2 - 40)),
      low: floats(low, (x) => (x === 65535 ? NaN : x)),
      high: floats(high, (x) => (x === 65535 ? NaN : x)),
      spread: new Float32Array(n),
    };
    rows.wild = leaveOutWild(columns.voltage);
    for (let i = 0; i < n; i++) {
      columns.power[i] = columns.voltage[i] * columns.current[i];
      columns.spread[i] = columns.high[i] - columns.low[i];
    }
    rows.values = { ...columns, lowCell, highCell };
    rows.columns = {};
    for (const name in columns) rows.columns[name] = new Pyramid(columns[name]);
    return rows;
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
    const pyramids = names.map((name) => this.columns[name].levels);
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
