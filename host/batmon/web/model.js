// The model of sealed shards, read: each column is guessed, and how far off the guess is, a number.
// docs/FORMAT.md, "The model", in its order. TABLE, the rows by name, and LEARNED, what their counters
// say at the start, are written by web/tables.py.
"use strict";

const FRAME_BYTES = 13;
const GRIDS = [10, 100], USUAL = 4, FINEST = 10, STILL_S = 1800;

// p of each counter before it learns: of some rows by themselves, of others alike.
function learned() {
  const p = new Uint16Array(8 * TABLE.all);
  for (const [row, rows, text] of LEARNED)
    for (let i = 0; i < 8 * rows; i++) p[8 * row + i] = 64 * (text.charCodeAt(i & 7) - 48);
  return p;
}

class Model {
  constructor(rows = { ...TABLE, GRID_SHARED: TABLE.REST }, bits = new Bits(learned(), 1)) {
    this.rows = rows;
    this.bits = bits;
    this.ready = false;  // may the next block go on from here?
    this.begin();
  }

  // Forget everything.
  begin() {
    this.bits.forget();
    this.control = new Uint8Array(FRAME_BYTES);
    this.intervals = new Int32Array(22);  // the last one by bits(|I|)
    this.recent = [0, 1].map(() => Uint8Array.from({ length: 16 }, (_, i) => i));
    this.time = this.interval = this.odd = 0;
    this.unit = 60;
    this.I = this.half = this.currentMiss = this.scalePlace = this.stray = this.jump = 0;
    this.f = USUAL;
    this.low = this.high = this.rest = this.R = 0;
    this.volts = this.voltsMiss = this.bias = this.cells = 0;
    this.grid = GRIDS[0];
    this.soc = this.charge = this.temperature = this.way = this.age = 0;
  }

  // Read a frame into `out` from byte `at` on.
  frame(out, at) {
    const { rows, bits } = this;
    const kind = bits.number(rows.KIND, rows.KIND, rows.REST);
    if (kind > 0) return this.controlFrame(out, at, rows.CONTROL, rows.REST);
    const before = this.I;
    this.nextTime();
    this.nextCurrent(kind);
    this.others(out, at, before, kind);
  }

  controlFrame(out, at, row, shared) {
    for (let i = 0; i < FRAME_BYTES; i++)
      out[at + i] = this.control[i] += this.bits.number(row + i, row + i, shared);
  }

  // What comes after time and current in every version, and the frame's bytes.
  others(out, at, before, strays) {
    const swing = this.I - before, low = this.low;
    this.nextLow(swing);
    this.nextHigh(this.low - low, swing);
    this.nextVoltage(strays);
    this.nextSoc();
    this.nextTemperature();
    const index = this.nextIndex(0);
    put(out, at, this.time);
    put(out, at + 2, this.volts);
    put(out, at + 4, this.half);
    out[at + 6] = this.temperature;
    out[at + 7] = this.soc;
    put(out, at + 8, this.low);
    put(out, at + 10, this.high);
    out[at + 12] = this.nextIndex(1) << 4 | index;
  }

  nextTime() {
    const { rows, unit } = this, size = bits(Math.abs(this.I));
    const guess = this.intervals[size] || this.interval, g = guess / unit | 0;
    const x = this.bits.number(
      rows.TIME_GUESS + 2 * (g < 16 ? g : 11 + bits(g)) + this.jump,
      rows.TIME_CURRENT + 2 * Math.min(15, Math.max(0, size - 3)) + this.jump, rows.TIME);
    const interval = (x === 0 ? guess : x > 0 ? (x - 1) * unit : (-x >> 1) + (x & 1 ? STILL_S : -1)) & 0xFFFF;
    this.interval = this.intervals[size] = interval;
    if (interval < STILL_S && interval % unit) {
      this.odd += 4;
      if (this.odd > 8) {
        this.odd = 0;
        this.unit = commonDivisor(unit, interval);
      }
    } else if (this.odd) this.odd--;
    this.time = this.time + interval & 0xFFFF;
  }

  nextCurrent(strays) {
    const { rows, bits: from, f } = this;
    const s = Math.min(15, bits(Math.abs(this.I) >> 3)), last = this.currentMiss;
    const h = Math.min(4, bits(Math.abs(last)) + 1 >> 1), k = last < 0 ? 4 - h : 4 + h;
    const off = this.stray >= 16 || (strays !== 0 && (from.number(rows.OFF, rows.OFF, rows.REST) & 1) === 1);
    if (off) {
      this.currentMiss = from.number(rows.RANK_SIZE + s, rows.RANK_KIND + k, rows.RANK);
      this.half = ofRank(rank(this.half) + this.currentMiss & 0xFFFF);
    } else {
      this.currentMiss = from.number(rows.STEPS_SIZE + s, rows.STEPS_KIND + k, rows.STEPS);
      this.scalePlace = limit(this.scalePlace + this.currentMiss, 4095);
      this.half = ofPlace(this.scalePlace, f);
    }
    this.followScale(off);
    this.setCurrent();
  }

  followScale(off) {
    if (this.stray === 31) return;
    if (!off || onScale(this.half, this.f)) this.stray = Math.max(0, this.stray - 3);
    else {
      this.stray++;
      for (let f = this.f + 1; this.stray > 2 && f <= FINEST; f++)
        if (onScale(this.half, f)) {
          this.f = f;
          this.stray = 0;
        }
    }
    if (off && this.stray < 17) this.scalePlace = place(this.half, this.f);
  }

  setCurrent() {
    const before = this.I, now = this.I = fixed(this.half);
    this.jump = 8 * Math.abs(now - before) > Math.abs(now) + Math.abs(before) ? 1 : 0;
  }

  nextLow(swing) {
    const { rows } = this, last = this.low, step = limit(swing >> 4, 16000), drop = this.R * step;
    const row = 2 * bits(Math.abs(drop) >> 12) + (swing < 0 ? 1 : 0);
    const other = 4 * cut(this.rest + 4 >> 3, 3) + Math.min(3, bits(this.interval >> 3) >> 1);
    const miss = this.bits.number(rows.CELL_MIN_SWING + row, rows.CELL_MIN_REST + other, rows.CELL_MIN);
    const rest = this.rest - 16 * miss;
    this.rest = limit(rest - (rest >> 3), 48);
    this.low = last + (drop + 8192 >> 14) + miss & 0xFFFF;
    if (step === 0 || last === 0) return;
    const g = Math.floor((((this.low - last) << 14) - drop) / (step < 0 ? step - 512 : step + 512));
    this.R = limit(this.R + (limit(g, 8000) >> 2), 8000);
  }

  nextHigh(moved, swing) {
    const { rows } = this, guess = this.high + moved;
    const spread = Math.min(31, Math.max(0, guess - this.low));
    const other = 8 * cut(moved, 3) + (bits(Math.abs(swing) >> 6) >> 1);
    this.high = guess + this.bits.number(rows.CELL_MAX_SPREAD + spread, rows.CELL_MAX_MOVED + other, rows.CELL_MAX) & 0xFFFF;
  }

  nextVoltage(strays) {
    const { rows } = this, c = this.low + this.high;
    const guess = Math.min(0xFFFFF, Math.max(64, (this.cells * c * 64 / 125 | 0) + (this.bias >> 3)));
    const d = Math.max(0, bits(guess) - 11);
    while (this.grid && strays && this.bits.number(rows.GRID, rows.GRID, rows.GRID_SHARED))
      this.grid = GRIDS[GRIDS.indexOf(this.grid) + 1] ?? 0;
    const onGrid = this.grid && (1024 / this.grid | 0) > 1 << d, g = this.grid;
    const of = (half) => (onGrid ? fixed(half) * g + 512 >> 10 : rank(half));
    const near = onGrid ? guess * g >> 10 : 0x8000 + (d + 15 << 10) + (guess >> d) - 1024;
    const where = (onGrid ? guess * g >> 7 : guess * 8 >> d) & 7;
    const unit = onGrid ? 1024 / g | 0 : 1 << d;
    const other = 5 * cut(this.voltsMiss, 2) + cut(of(this.volts) - near, 2);
    this.voltsMiss = this.bits.number(rows.VOLTAGE_PLACE + where, rows.VOLTAGE_MISS + other, rows.VOLTAGE);
    const x = near + this.voltsMiss & 0xFFFF;
    this.volts = onGrid ? nearest(x, g) : ofRank(x);
    const volts = fixed(this.volts), error = volts - guess + (onGrid ? 0 : unit >> 1);
    this.bias = limit(this.bias + (Math.abs(error) < 2 * unit ? error : 8 * error), 1 << 24);
    if (this.cells === 0 && c) {
      this.cells = Math.min(32, ((Math.max(0, volts) * 125 / 64 | 0) + (c >> 1)) / c | 0);
      this.bias = 8 * (volts - (this.cells * c * 64 / 125 | 0));
    }
  }

  nextSoc() {
    const { rows } = this;
    this.charge = limit(this.charge + limit(this.I >> 4, 30000) * Math.min(this.interval, 2000), 2e8);
    const size = Math.abs(this.charge) >> 8;
    let n = bits(size);
    if (n > 1) n = 2 * n + (size >> n - 2 & 1);
    const step = this.bits.number(
      rows.SOC_TIME + 2 * Math.min(15, bits(this.interval)) + (this.charge < 0 ? 1 : 0), rows.SOC_CHARGE + n, rows.SOC);
    if (step) this.charge = 0;
    this.soc = this.soc + step & 0xFF;
  }

  nextTemperature() {
    const { rows } = this;
    this.age = Math.min(0xFFFF, this.age + this.interval);
    const step = this.bits.number(
      rows.TEMPERATURE_WAY + this.way, rows.TEMPERATURE_AGE + Math.min(15, bits(this.age)), rows.SOC);
    if (step) {
      this.way = step > 0 ? 1 : 2;
      this.age = 0;
    }
    this.temperature = this.temperature + step & 0xFF;
  }

  nextIndex(which) {  // its place among the values, the most recent first
    const { rows } = this, recent = this.recent[which], row = rows.INDEX + 32 * which;
    const at = this.bits.number(row + recent[0], row + 16 + recent[1], rows.REST) & 15;
    const value = recent[at];
    recent.copyWithin(1, 0, at);
    return recent[0] = value;
  }
}

function put(out, at, x) {
  out[at] = x;
  out[at + 1] = x >> 8;
}

function commonDivisor(a, b) {
  while (b) [a, b] = [b, a % b];
  return a;
}
