// The log of each battery out of its shards: rows and events for the report, and as CSV.
// The same as host/batmon/log/stream.py and history.py, which tests hold it to, field by field.
// EVENT_WORDS are written by web/tables.py.
"use strict";

const SPAN_S = 8192;  // of the frames that tell the time of those between them
const GAP = 9, LONGEST_EVENTS = 500, BETWEEN_BOOTS_S = 60;
const UNKNOWN_8 = 255, UNKNOWN_16 = 65535, NAN_BITS = 0x7E00;

// The logs in `shards` as readShard makes them, battery by battery in the order of their names.
function logsOf(shards) {
  const logs = new Map();
  for (const shard of chooseShards(shards)[0]) {
    if (!logs.has(shard.battery)) logs.set(shard.battery, new Log(shard.battery));
    logs.get(shard.battery).add(shard);
  }
  for (const log of logs.values()) log.date();
  return [...logs.values()];
}

class Log {
  constructor(battery) {
    this.battery = battery;
    this.parts = [];
    this.kept = [];  // the frames that tell the time of all others, those of each shard
    this.cells = 0;
  }

  add(shard) {
    const kept = keep(shard), first = this.parts.length ? this.end : 0;
    this.parts.push({ shard, kept, first });
    this.end = first + kept.length;
    this.kept.push(...kept.map((i) => shard.frames.subarray(i * FRAME_BYTES, (i + 1) * FRAME_BYTES)));
  }

  date() {
    const breaks = [];
    let expected = this.parts[0].shard.number;
    for (const { shard, kept, first } of this.parts) {
      if (shard.number !== expected || !shard.count) breaks.push(first);
      for (const at of shard.breaks) breaks.push(first + search(kept, at));
      expected = shard.number + 1;
    }
    const frames = joined(this.kept);
    this.line = reconstruct(frames, breaks);
    for (let at = 0; at < frames.length; at += FRAME_BYTES)
      if (kindOf(frames, at) === ANCHOR) this.cells = Math.max(this.cells, frames[at + 11]);
  }

  // The time of all frames of a part, from that of those that were kept.
  lineOf({ shard, kept, first }) {
    const { line } = this, n = shard.count, since = passed(shard.frames);
    const uptime = new Float64Array(n), unix = new Float64Array(n), boot = new Float64Array(n), known = new Uint8Array(n);
    const offset = (k) => (line.unix[k] === line.unix[k] ? line.unix[k] - line.uptime[k] : 0);
    for (let i = 0, j = 0; i < n; i++) {
      while (j + 1 < kept.length && kept[j + 1] <= i) j++;
      const k = first + j, more = since[i] - since[kept[j]], next = j + 1 < kept.length ? k + 1 : k;
      uptime[i] = line.uptime[k] + more;
      const length = Math.max(line.uptime[next] - line.uptime[k], 1);
      // follows the drift of the board's clock from one of them to the next
      unix[i] = line.unix[k] === line.unix[k]
        ? uptime[i] + offset(k) + Math.floor(more * (offset(next) - offset(k)) / length) : NaN;
      boot[i] = line.boot[k];
      known[i] = line.known[k];
    }
    const starts = line.starts.filter((at) => at >= first && at < first + kept.length).map((at) => kept[at - first]);
    return { uptime, unix, boot, known, starts };
  }

  // All rows in the order of storing: columns by name, as the board stored them.
  rows() {
    const rows = new Columns(this.parts.reduce((sum, { shard }) => sum + shard.count, 0));
    let before = false;  // does the run of the last row go on?
    for (const part of this.parts) {
      const { frames, count } = part.shard, line = this.lineOf(part), over = cellsTold(frames, count);
      const begins = new Set(line.starts);
      let run = false;  // begins one before the next row?
      const first = rows.length;
      for (let i = 0; i < count; i++) {
        const at = i * FRAME_BYTES, kind = kindOf(frames, at);
        run ||= begins.has(i) || kind === EVENT && frames[at + 4] === GAP;
        if (kind) continue;
        const alone = rows.length === first && (run || !before);
        const interval = run || alone ? 0 : Math.max(0, line.uptime[i] - rows.uptime[rows.length - 1]);
        rows.push(frames, at, line, i, interval, over[i]);
        rows.before[rows.length - 1] = rows.voltage[rows.length - (alone ? 1 : 2)];
        run = false;
      }
      before = rows.length > first ? !run : before && !run;
    }
    rows.trim();
    return rows;
  }

  events() {
    const found = [];
    for (const part of this.parts) {
      const { frames, count } = part.shard, { unix } = this.lineOf(part);
      for (let i = 0; i < count; i++) {
        const at = i * FRAME_BYTES, code = frames[at + 4];
        if (kindOf(frames, at) === EVENT && unix[i] === unix[i] && code !== GAP)
          found.push([unix[i], EVENT_WORDS[code] ?? `event ${code}`, u32(frames, at + 5), u32(frames, at + 9)]);
      }
    }
    return found.sort((a, b) => compare(b, a)).slice(0, LONGEST_EVENTS);
  }

  // What the report gets of the battery, as web/report.py packs it, or null if it has no row.
  forReport() {
    let rows = this.rows();
    if (!rows.length) return null;
    const timed = rows.unix.some((t) => t === t), all = rows.length;
    if (timed) rows = rows.dated().sorted();
    const times = timed ? rows.unix : uptimes(rows), happened = timed ? happenings(this) : [];
    return { name: this.battery, rows: rows.length, clock: timed, first: times[0], cells: this.cells,
      undated: timed ? rows.known.reduce((sum, known) => sum + 1 - known, 0) : 0, left_out: all - rows.length,
      several: rows.several(), columns: rows.packed(times), events: timed ? this.events() : [],
      ...(happened.length ? { happened } : {}) };
  }
}

// Indices of the frames that tell the time of all others of a shard.
function keep({ frames, count, breaks }) {
  const kept = new Set(count ? [0, count - 1] : []), since = passed(frames);
  const add = (i) => kept.add(i).add(Math.max(i - 1, 0));
  for (let i = 0; i < count; i++) {
    if (i && Math.floor(since[i] / SPAN_S) !== Math.floor(since[i - 1] / SPAN_S)) add(i);
    if (kindOf(frames, i * FRAME_BYTES) === ANCHOR) add(i);
    if (kindOf(frames, i * FRAME_BYTES) === EVENT && frames[i * FRAME_BYTES + 4] === REST) add(i);
  }
  for (const at of breaks) if (at > 0 && at < count) add(at);
  return [...kept].sort((a, b) => a - b);
}

// Over how many cells the index of each frame counts: the last anchor before tells, or the first.
function cellsTold(frames, count) {
  const over = new Uint8Array(count);
  let told = 0;
  for (let i = 0; i < count; i++) {
    const at = i * FRAME_BYTES;
    if (kindOf(frames, at) === ANCHOR && frames[at + 11]) {
      if (!told) over.fill(frames[at + 11], 0, i);
      told = frames[at + 11];
    }
    over[i] = told;
  }
  return over;
}

// The first and the last cell, from 1, that a 4-bit index may mean.
function cellNumbers(index, over) {
  if (over <= 16) return [index + 1, index + 1];
  return [Math.ceil(index * over / 16) + 1, Math.ceil((index + 1) * over / 16)];
}

class Columns {
  constructor(most) {
    this.length = 0;
    for (const name of ["unix", "boot", "uptime", "interval"]) this[name] = new Float64Array(most);
    for (const name of ["voltage", "current", "low", "high", "before"]) this[name] = new Uint16Array(most);
    for (const name of ["known", "temperature", "soc", "lowCell", "highCell", "lowCellTo", "highCellTo"]) this[name] = new Uint8Array(most);
  }

  push(frames, at, line, i, interval, over) {
    const n = this.length++;
    this.unix[n] = line.unix[i];
    this.boot[n] = line.boot[i];
    this.uptime[n] = line.uptime[i];
    this.known[n] = line.known[i];
    this.interval[n] = interval;
    this.voltage[n] = finite(u16(frames, at + 2));
    this.current[n] = finite(u16(frames, at + 4));
    this.temperature[n] = frames[at + 6];
    this.soc[n] = frames[at + 7];
    this.low[n] = u16(frames, at + 8);
    this.high[n] = u16(frames, at + 10);
    const index = frames[at + 12], nobody = this.low[n] === UNKNOWN_16 || (index === UNKNOWN_8 && over <= 16);
    [this.lowCell[n], this.lowCellTo[n]] = nobody ? [UNKNOWN_8, UNKNOWN_8] : cellNumbers(index & 15, over);
    [this.highCell[n], this.highCellTo[n]] = nobody ? [UNKNOWN_8, UNKNOWN_8] : cellNumbers(index >> 4, over);
  }

  trim() {
    for (const name in this) if (name !== "length") this[name] = this[name].subarray(0, this.length);
  }

  picked(indices) {  // the rows at these indices
    const rows = new Columns(indices.length);
    rows.length = indices.length;
    for (const name in rows)
      if (name !== "length") indices.forEach((k, i) => { rows[name][i] = this[name][k]; });
    return rows;
  }

  dated() {  // those whose time is known
    const indices = [];
    for (let i = 0; i < this.length; i++) if (this.unix[i] === this.unix[i]) indices.push(i);
    return indices.length === this.length ? this : this.picked(indices);
  }

  // In the order of time, should a clock have been set back.
  sorted() {
    const { unix } = this, order = Array.from({ length: this.length }, (_, i) => i);
    if (order.every((i) => !i || unix[i] >= unix[i - 1])) return this;
    order.sort((a, b) => unix[a] - unix[b] || a - b);
    const rows = this.picked(order);
    // what has other neighbours now stands for itself
    order.forEach((k, i) => { if (k !== (i ? order[i - 1] : -1) + 1) rows.interval[i] = 0; });
    return rows;
  }

  // By the cell of a row the words for it where it may be one of several: "13 or 14".
  several() {
    const found = {};
    for (const name of ["lowCell", "highCell"]) {
      const pairs = new Set();
      for (let i = 0; i < this.length; i++) {
        const first = this[name][i], last = this[`${name}To`][i];
        if (last <= first || pairs.has(first << 8 | last)) continue;
        pairs.add(first << 8 | last);
        found[first] = `${first} ${last === first + 1 ? "or" : "to"} ${last}`;
      }
    }
    return found;
  }

  // As Rows.of takes them.
  packed(times) {
    const { voltage, current, temperature, soc, low, high, lowCell, highCell } = this;
    return { time: Uint32Array.from(times, (t) => t - times[0]), begins: Uint8Array.from(this.interval, (s) => Number(s === 0)),
      voltage, current, temperature, soc, low, high, low_cell: lowCell, high_cell: highCell };
  }
}

// No board writes infinity, and one would spoil every sum.
function finite(bits) {
  return (bits & 0x7C00) === 0x7C00 ? NAN_BITS : bits;
}

// Seconds since the first boot, as if each later one had begun a minute after it.
function uptimes(rows) {
  const out = new Float64Array(rows.length);
  let sum = 0;
  for (let i = 0; i < rows.length; i++) {
    const step = rows.uptime[i] - (i ? rows.uptime[i - 1] : 0);
    sum += i && (rows.boot[i] !== rows.boot[i - 1] || step < 0) ? rows.uptime[i] + BETWEEN_BOOTS_S : step;
    out[i] = sum;
  }
  return out;
}
