// When each frame was: uptime without its wraps, boots, and UTC from the anchors.
// docs/FORMAT.md gives the rules; the same as host/batmon/log/timeline.py, which tests hold it to.
"use strict";

const NO_BOOT = -1;  // a time that nothing is known of is NaN
const SET_S = 2, MOST_DRIFT = 100e-6, SLOW_DRIFT = 0.1, REST = 18, WRAP_S = 65536, OVERLAP_S = 180;

const wrapped = (step) => (step + 32768 & 65535) - 32768;

// Seconds since the first frame of `frames`, bytes, as if nothing was lost between them.
function passed(frames) {
  const n = frames.length / FRAME_BYTES, out = new Float64Array(n);
  for (let i = 1; i < n; i++)
    out[i] = out[i - 1] + wrapped(u16(frames, i * FRAME_BYTES) - u16(frames, (i - 1) * FRAME_BYTES));
  return out;
}

// The index of the first of the ascending `values` that is above x (`after`), or not below it.
function search(values, x, after) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = low + high >> 1;
    if (after ? values[middle] <= x : values[middle] < x) low = middle + 1; else high = middle;
  }
  return low;
}

// Date `frames`, bytes in the order of their storing; `breaks` are indices before which some may be
// lost. `starts` are indices where a boot begins, or frames may be lost before.
function reconstruct(frames, breaks) {
  const n = frames.length / FRAME_BYTES;
  const anchors = [];
  for (let i = 0; i < n; i++) if (kindOf(frames, i * FRAME_BYTES) === ANCHOR) anchors.push(i);
  const boot = boots(frames, n, anchors);
  const lost = new Set(breaks), starts = [];
  for (let i = 0; i < n; i++) if (i === 0 || lost.has(i) || boot[i] !== boot[i - 1]) starts.push(i);
  const rests = [];  // [index, does one begin]
  for (let i = 0; i < n; i++)
    if (kindOf(frames, i * FRAME_BYTES) === EVENT && frames[i * FRAME_BYTES + 4] === REST)
      rests.push([i, u32(frames, i * FRAME_BYTES + 5) > 0]);
  const line = { uptime: unwrapped(frames, starts), rests, boot, unix: new Float64Array(n).fill(NaN), known: new Uint8Array(n), starts };
  const sure = anchors.filter((i) => u32(frames, i * FRAME_BYTES + 4) > 0);
  const unix = sure.map((i) => u32(frames, i * FRAME_BYTES + 4));
  let group = [];
  starts.forEach((first, i) => {
    if (group.length && boot[first] !== boot[group[0][0]]) {
      date(line, group, sure, unix);
      group = [];
    }
    group.push([first, starts[i + 1] ?? n]);
  });
  if (group.length) date(line, group, sure, unix);
  return line;
}

// The boot of every frame; the numbers are u16 and may wrap.
function boots(frames, n, anchors) {
  const boot = new Float64Array(n).fill(NO_BOOT);
  let counted = 0, before = 0;
  anchors.forEach((at, i) => {
    const number = u16(frames, at * FRAME_BYTES + 8);
    counted = i ? counted + wrapped(number - before) : number;
    before = number;
    boot.fill(counted, at, anchors[i + 1] ?? n);
  });
  return boot;
}

function unwrapped(frames, starts) {
  const uptime = passed(frames);
  starts.forEach((first, i) => {
    const end = starts[i + 1] ?? uptime.length, offset = u16(frames, first * FRAME_BYTES) - uptime[first];
    for (let k = first; k < end; k++) uptime[k] += offset;
  });
  return uptime;
}

// Date the runs of one boot; `anchors` (indices) and `unix` are all that know the time.
function date(line, runs, anchors, unix) {
  const first = runs[0][0], end = runs[runs.length - 1][1];
  align(line, runs, anchors, unix);
  const low = search(anchors, first), high = search(anchors, end);
  if (low < high) {
    const uptimes = anchors.slice(low, high).map((at) => line.uptime[at]);
    const [points, ahead] = offsets(uptimes, unix.slice(low, high), rested(line.uptime, line.rests, first, end));
    for (let i = first; i < end; i++) line.unix[i] = line.uptime[i] + Math.floor(between(line.uptime[i], points, ahead));
    for (const [begin, stop] of runs)  // what was lost between two runs may have hidden a wrap
      if (runs.length === 1 || search(anchors, begin) < search(anchors, stop)) line.known.fill(1, begin, stop);
  } else if (first && line.unix[first - 1] === line.unix[first - 1])
    for (let i = first; i < end; i++) line.unix[i] = line.unix[first - 1] + line.uptime[i];
}

// Add the wraps that happened between the runs of one boot to the uptime of the later ones.
function align(line, runs, anchors, unix) {
  const { uptime } = line;
  let offset = null;  // unix minus uptime, at the last anchor that told
  runs.forEach(([first, end], i) => {
    const low = search(anchors, first), high = search(anchors, end);
    if (i) {
      let wraps = -Math.floor((uptime[first] + OVERLAP_S - uptime[first - 1]) / WRAP_S);
      if (low < high && offset !== null)
        wraps = Math.max(wraps, roundEven((unix[low] - uptime[anchors[low]] - offset) / WRAP_S));
      if (wraps > 0) for (let k = first; k < end; k++) uptime[k] += wraps * WRAP_S;
    }
    if (low < high) offset = unix[high - 1] - uptime[anchors[high - 1]];
  });
}

function roundEven(x) {
  const below = Math.floor(x), rest = x - below;
  return rest > 0.5 || rest === 0.5 && below % 2 ? below + 1 : below;
}

// At which uptimes a rest began or ended in a boot, and for how long the board had rested then.
function rested(uptime, rests, first, end) {
  const edges = [0], sums = [0];
  let begun = null;
  const inside = rests.filter(([i]) => first <= i && i < end).map(([i, asleep]) => [uptime[i], asleep]);
  for (const [up, asleep] of [...inside, [uptime[end - 1], false]]) {
    if (begun !== null || asleep) {
      edges.push(up);
      sums.push(sums[sums.length - 1] + (begun === null ? 0 : up - begun));
    }
    begun = asleep ? up : null;
  }
  return [edges, sums];
}

// Points (uptime, unix minus uptime) between which to draw straight lines: where the clock was set,
// and where a rest began or ended, if the clock drifted in it.
function offsets(uptime, unix, [edges, sums]) {
  const points = [uptime[0]], ahead = [unix[0] - uptime[0]];
  for (let i = 0; i < uptime.length; i++) {
    const offset = unix[i] - uptime[i];
    if (Math.abs(offset - ahead[ahead.length - 1]) < SET_S) continue;
    points.push(Math.max(uptime[i], points[points.length - 1]));
    ahead.push(offset);
  }
  // a small difference is drift, at a large one the clock had been wrong before
  for (let i = points.length - 2; i >= 0; i--)
  {
    const low = between(points[i], edges, sums), high = between(points[i + 1], edges, sums), drift = ahead[i + 1] - ahead[i];
    if (Math.abs(drift) > MOST_DRIFT * (points[i + 1] - points[i]) + SLOW_DRIFT * (high - low)) ahead[i] = ahead[i + 1];
    else if (high > low) {
      const inside = edges.map((_, k) => k).filter((k) => points[i] < edges[k] && edges[k] < points[i + 1]);
      const grown = inside.map((k) => ahead[i] + drift * (sums[k] - low) / (high - low));
      points.splice(i + 1, 0, ...inside.map((k) => edges[k]));
      ahead.splice(i + 1, 0, ...grown);
    }
  }
  return [points, ahead];
}

function between(x, xs, ys) {
  const i = search(xs, x, true) - 1, last = xs.length - 1;
  if (i < 0) return ys[0];
  if (i === last || xs[i] === x) return ys[i];
  return (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i]) * (x - xs[i]) + ys[i];
}
