// The model of sealed shards of version 03, which batmon 0.1 wrote: other rows, current before time.
"use strict";

const ROWS_3 = { all: 555, CURRENT: 0, CURRENT_SIZE: 8, CURRENT_KIND: 40, TIME: 49, TIME_GUESS: 57, TIME_MISS: 121,
  CELL_MIN: 170, CELL_MIN_SWING: 178, CELL_MIN_REST: 210, CELL_MAX: 238, CELL_MAX_SPREAD: 246, CELL_MAX_MOVED: 278,
  VOLTAGE: 334, VOLTAGE_PLACE: 342, VOLTAGE_MISS: 350, SOC: 375, SOC_TIME: 383, SOC_CHARGE: 415,
  TEMPERATURE_WAY: 457, TEMPERATURE_AGE: 460, INDEX: 476, KIND: 540, CONTROL: 541, GRID: 554, GRID_SHARED: 334, REST: 375 };

class Model3 extends Model {
  constructor() {
    super({ ...ROWS_3 }, new Bits(new Uint16Array(8 * ROWS_3.all).fill(EVEN), 0));
  }

  begin() {
    super.begin();
    this.timeMiss = 0;
    this.half = 0xFFFF;  // of rank 0, the first guess of its current
  }

  frame(out, at) {
    const { rows, bits } = this;
    if (bits.number(rows.KIND, rows.KIND, rows.REST)) return this.controlFrame(out, at, rows.CONTROL, rows.REST);
    const before = this.I;
    this.nextCurrent();
    this.nextTime();
    this.others(out, at, before, 1);
  }

  nextCurrent() {
    const { rows } = this, last = this.currentMiss;
    const h = Math.min(4, bits(Math.abs(last)) + 1 >> 1);
    this.currentMiss = this.bits.number(rows.CURRENT_SIZE + Math.min(31, 2 * bits(Math.abs(this.I) >> 3)),
      rows.CURRENT_KIND + (last < 0 ? 4 - h : 4 + h), rows.CURRENT);
    this.half = ofRank(rank(this.half) + this.currentMiss & 0xFFFF);
    this.setCurrent();
  }

  nextTime() {
    const { rows } = this, size = bits(Math.abs(this.I)), guess = this.intervals[size] || this.interval;
    this.timeMiss = this.bits.number(rows.TIME_GUESS + 2 * Math.min(31, guess) + this.jump,
      rows.TIME_MISS + 7 * cut(guess - this.interval, 3) + cut(this.timeMiss, 3), rows.TIME);
    this.interval = this.intervals[size] = guess + this.timeMiss & 0xFFFF;
    this.time = this.time + this.interval & 0xFFFF;
  }
}
