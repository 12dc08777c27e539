// Shard files, raw and sealed: their intact frames, and in sentences what is wrong with them.
// docs/FORMAT.md, "Files" to "Sealed shards"; the same as host/batmon/log/shards.py, which tests hold it to.
"use strict";

const SHARD_NAME = /^([A-Za-z0-9_]{1,24})-([0-9]{5,9})\.(raw|bts)$/;
const MOST_BYTES = 1 << 20, MOST_FRAMES = Math.floor(MOST_BYTES / FRAME_BYTES), MOST_TOLD = 5;
const TORN_BYTES = 1040;
const ANCHOR = 0xFE01, COMMIT = 0xFE02, EVENT = 0xFE03;
const FRAMES_VERSION = 2;
const SEALED_VERSION = 4, HEADER_BYTES = 5, HEAD_BYTES = 10, BODY_BYTES = 11;
const BLOCK_FRAMES = 1280, END_FRAMES = 0xFFFF;
const LONGEST_BLOCK = { 3: 4480, 4: 2000 };
const STORED = 0, GOES_ON = 1, BEGINS = 2;

const u16 = (data, at) => data[at] | data[at + 1] << 8;
const u32 = (data, at) => (u16(data, at) | u16(data, at + 2) << 16) >>> 0;

// 0 for a data frame, else its control word.
function kindOf(data, at) {
  return data[at + 3] === 0xFE ? u16(data, at + 2) : 0;
}

// A shard of the file called `name`: `frames` are bytes without commits, `breaks` the frames before
// which some are lost.
function readShard(name, data) {
  const [, battery, number, kind] = SHARD_NAME.exec(name);
  const shard = { name, battery, number: Number(number), kind, size: data.length, frames: new Uint8Array(0), breaks: [], damage: [] };
  if (data.length > MOST_BYTES) {
    shard.damage.push(`${data.length} bytes are too many for a shard, a board rolls over at 262144`);
    return shard;
  }
  if (kind === "raw") readRaw(shard, data); else readSealed(shard, data);
  const more = shard.damage.length - MOST_TOLD;
  if (more > 0) shard.damage.splice(MOST_TOLD, more, `${more} more places are damaged`);
  shard.count = shard.frames.length / FRAME_BYTES;
  return shard;
}

function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

// Take the frames of every flush whose commit holds.
function readRaw(shard, data) {
  const parts = [];
  let total = 0, end = 0, after = 0;
  for (let commit = 0; (commit + 1) * FRAME_BYTES <= data.length; commit++) {
    const at = commit * FRAME_BYTES;
    if (kindOf(data, at) !== COMMIT) continue;
    const count = u16(data, at + 8), first = commit - count, before = after;
    after = commit + 1;
    if (!count || first < before || crc32(data, first * FRAME_BYTES, at) !== u32(data, at + 4)) continue;
    if (first > end) {
      shard.damage.push(`bytes ${end * FRAME_BYTES} to ${first * FRAME_BYTES} are damaged, ${first - end} frames are left out`);
      shard.breaks.push(total);
    }
    parts.push(data.subarray(first * FRAME_BYTES, at));
    total += count;
    end = commit + 1;
  }
  const rest = data.length - end * FRAME_BYTES;
  if (rest) shard.damage.push(`torn end: ${rest} bytes after the last whole flush are left out`);
  if (rest > TORN_BYTES) shard.breaks.push(total);
  shard.frames = joined(parts);
  let version = 0;
  for (let at = 0; at < shard.frames.length; at += FRAME_BYTES)
    if (kindOf(shard.frames, at) === ANCHOR) version = Math.max(version, shard.frames[at + 12]);
  if (version > FRAMES_VERSION) {
    refuse(shard, version, FRAMES_VERSION);
    shard.frames = new Uint8Array(0);
  }
}

function refuse(shard, theirs, ours) {
  shard.damage.push(`is of format version ${theirs}, this batmon reads ${ours}: take the batmon that wrote it`);
}

// Take the frames of every block whose CRC holds.
function readSealed(shard, data) {
  const version = data.length >= HEADER_BYTES && data[0] === 66 && data[1] === 84 && data[2] === 83 ? data[3] : 0;
  if (version && !(version in LONGEST_BLOCK)) return refuse(shard, version, SEALED_VERSION);
  if (!version) shard.damage.push("does not begin as a sealed shard");
  const blocks = [...intactBlocks(data, LONGEST_BLOCK[version] ?? LONGEST_BLOCK[SEALED_VERSION])];
  const claimed = blocks.reduce((sum, [start, end]) => sum + (endTotal(data, start, end) < 0 ? u16(data, start + 2) : 0), 0);
  if (claimed > MOST_FRAMES) {
    shard.damage.push(`claims ${claimed} frames, more than a shard can have, ${MOST_FRAMES}`);
    return;
  }
  const parts = [];
  let total = 0, end = HEADER_BYTES, said = -1, model = null;
  for (const [start, next] of blocks) {
    if (start > end) {
      shard.damage.push(`bytes ${end} to ${start} are damaged`);
      shard.breaks.push(total);
      model = null;
    }
    end = next;
    said = endTotal(data, start, end);
    if (said >= 0) break;
    if (!model || version === 3) model = version === 3 ? new Model3() : new Model();
    const frames = readBlock(data, start, end, model, version);
    if (typeof frames === "string") {
      shard.damage.push(`block at byte ${start}: ${frames}`);
      shard.breaks.push(total);
      continue;
    }
    parts.push(frames);
    total += frames.length / FRAME_BYTES;
  }
  if (said < 0) {
    shard.damage.push(`is cut off after byte ${Math.min(end, data.length)}`);
    shard.breaks.push(total);
  } else {
    if (end < data.length) shard.damage.push(`${data.length - end} bytes follow its end`);
    if (said !== total) shard.damage.push(`${said} frames were sealed, ${total} are intact`);
  }
  shard.frames = joined(parts);
}

// [start, end] of each block whose CRC holds; what lies between them is damage.
function* intactBlocks(data, longest) {
  for (let at = HEADER_BYTES; at + HEAD_BYTES < data.length;) {
    const n = u16(data, at + 2), length = u16(data, at + 4), end = at + HEAD_BYTES + length;
    if (data[at] === 66 && data[at + 1] === 75 && length && end - at <= longest && end <= data.length
        && n && (n <= BLOCK_FRAMES || n === END_FRAMES)
        && crc32(data, at + HEAD_BYTES, end, crc32(data, at + 2, at + 6)) === u32(data, at + 6)) {
      yield [at, end];
      at = end;
      continue;
    }
    do at = data.indexOf(66, at + 1); while (at >= 0 && data[at + 1] !== 75);
    if (at < 0) return;
  }
}

function endTotal(data, start, end) {  // what the end block says; -1 for any other
  return u16(data, start + 2) === END_FRAMES && end - start === HEAD_BYTES + 4 ? u32(data, start + HEAD_BYTES) : -1;
}

// The frames of one intact block, or what is wrong with it.
function readBlock(data, start, end, model, version) {
  const n = u16(data, start + 2), method = data[start + HEAD_BYTES], oldest = version === 3;
  if (n > BLOCK_FRAMES || method > (oldest ? GOES_ON : BEGINS))
    return `block of unknown method ${method}${oldest ? "" : `, ${n} frames`}`;
  if (method === STORED && end - start !== BODY_BYTES + n * FRAME_BYTES) return "stored block of the wrong length";
  if (!oldest && method === GOES_ON && !model.ready) return `${n} frames depend on a block that is damaged`;
  model.ready = false;
  if (method === STORED) return data.slice(start + BODY_BYTES, end);
  if (method === BEGINS) model.begin();
  const frames = new Uint8Array(n * FRAME_BYTES);
  model.bits.start(data, start + BODY_BYTES, end);
  for (let at = 0; at < frames.length; at += FRAME_BYTES) model.frame(frames, at);
  if (model.bits.at !== end + 2) return "block of the wrong length";
  model.ready = true;
  return frames;
}

// One shard per battery and number, in order, and the superfluous ones: of two that tell the same
// number the one with the most intact frames is taken, of equals the undamaged, then the sealed one.
function chooseShards(shards) {
  const worth = (s) => [s.count, s.damage.length ? 0 : 1, s.kind === "bts" ? 1 : 0, s.name];
  const key = ({ battery, number }) => `${battery}-${String(number).padStart(9, "0")}`;
  const taken = new Map(), doubles = [];
  for (const shard of shards) {
    const other = taken.get(key(shard));
    if (!other) {
      taken.set(key(shard), shard);
      continue;
    }
    const [worse, better] = compare(worth(other), worth(shard)) <= 0 ? [other, shard] : [shard, other];
    taken.set(key(shard), better);
    doubles.push(worse);
    const known = new Set(texts(better)), lost = new Set(texts(worse).filter((text) => !known.has(text))).size;
    if (lost)
      worse.damage.push(`${lost} of its frames are not in ${better.name}, which is used in its place; ` +
        "if these are two logs (of a board that was erased), read one at a time");
  }
  return [[...taken.keys()].sort().map((name) => taken.get(name)), doubles];
}

function texts({ frames, count }) {
  return Array.from({ length: count }, (_, i) => String.fromCharCode(...frames.subarray(i * FRAME_BYTES, (i + 1) * FRAME_BYTES)));
}

function compare(a, b) {
  const i = a.findIndex((x, k) => x !== b[k]);
  return i < 0 ? 0 : a[i] < b[i] ? -1 : 1;
}
