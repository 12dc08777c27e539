// The shards that this browser keeps, and bringing them up to date from a board: what is new only.
// The rules are those of `batmon pull`: verified, goes on where it stopped, nothing is overwritten.
"use strict";

const SEALED_FIRST = [".bts", ".raw"];

const PART = ".part";  // a file that is not whole, or not verified

// A database of its own for shards, and the lifetime counters beside them: {name, data}.
class Kept {
  static open() {
    return new Promise((resolve, reject) => {
      const asked = indexedDB.open("batmon", 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore("shards", { keyPath: "name" });
      asked.onsuccess = () => resolve(Object.assign(new Kept(), { db: asked.result }));
      asked.onerror = () => reject(asked.error);
    });
  }

  run(mode, act) {
    return new Promise((resolve, reject) => {
      const transaction = this.db.transaction("shards", mode), asked = act(transaction.objectStore("shards"));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  }

  all() { return this.run("readonly", (store) => store.getAll()); }
  get(name) { return this.run("readonly", (store) => store.get(name)); }
  put(name, data) { return this.run("readwrite", (store) => store.put({ name, data })); }
  drop(name) { return this.run("readwrite", (store) => store.delete(name)); }
  clear() { return this.run("readwrite", (store) => store.clear()); }

  async files() {
    return (await this.all()).filter(({ name }) => !name.endsWith(PART));
  }

  async shards() {
    return (await this.all()).filter(({ name }) => SHARD_NAME.test(name));
  }

  async data(name) {
    return (await this.get(name))?.data ?? new Uint8Array(0);
  }
}

// Bring `kept` up to date with `board`; `progress(done, total)` in bytes. Returns what did not come, in
// sentences, and how many bytes did.
async function pull(board, kept, progress) {
  const files = [...await board.files()];
  const there = new Map(files.filter(([name]) => SHARD_NAME.test(name)));
  const mine = new Map((await kept.all()).map(({ name, data }) => [name, data.length]));
  const wanted = [...there].filter(([name, size]) => mine.get(name) !== size);
  wanted.sort(([a], [b]) => SEALED_FIRST.indexOf(a.slice(-4)) - SEALED_FIRST.indexOf(b.slice(-4)) || (a < b ? -1 : 1));
  const lacks = ([name, size]) => Math.max(0, size - Math.max(mine.get(name) ?? 0, mine.get(name + PART) ?? 0));
  const total = wanted.reduce((sum, each) => sum + lacks(each), 0);
  const problems = [];
  let done = 0;
  for (const [name, size] of wanted) {
    const problem = await pullOne(board, kept, name, size, (count) => progress(done += count, total));
    if (problem) problems.push(problem);
  }
  for (const name of there.keys()) if (name.endsWith(".bts")) await dropRaw(kept, name);
  if (!problems.length) await pullSums(board, kept, files);  // else it may be another board
  return { problems, bytes: done, files: wanted.length };
}

// Lifetime counters, which the board writes anew every few hours.
async function pullSums(board, kept, files) {
  for (const [name, size] of files.filter(([each]) => SUM_NAME.test(each))) {
    const parts = [];
    await board.read(name, 0, size, (part) => parts.push(part));
    const data = joined(parts);
    if (wholeSum(data)) await kept.put(name, data);
  }
}

async function pullOne(board, kept, name, size, came) {
  const mine = await kept.data(name), begun = await kept.data(name + PART);
  const other = `the ${name} kept here is another one than the board's; save and delete what is kept first`;
  const same = async (data) => await board.crc(name, data.length) === crc32(data);
  if (mine.length > size || mine.length && !await same(mine)) return other;
  const goesOn = begun.length > mine.length && begun.length <= size && await same(begun);
  const parts = [goesOn ? begun : mine];
  const from = parts[0].length;
  try {
    await board.read(name, from, size - from, (part) => {
      parts.push(part);
      came(part.length);
    });
  } finally {  // to go on from there
    await kept.put(name + PART, joined(parts));
  }
  const data = joined(parts);
  const whole = data.length === size && await same(data), twin = name.replace(/raw$|bts$/, (kind) => (kind === "raw" ? "bts" : "raw"));
  await kept.drop(name + PART);
  if (!whole) return `${name} did not arrive whole; download again`;
  if (!alike(readShard(name, data), readShard(twin, await kept.data(twin)))) return other;
  await kept.put(name, data);
  return "";
}

// Do the raw and the sealed form of a shard begin with the same frame, its anchor?
function alike(a, b) {
  return !a.count || !b.count || a.frames.subarray(0, FRAME_BYTES).every((byte, i) => byte === b.frames[i]);
}

// Forget the raw form of a shard that is here sealed, if nothing else is in it.
async function dropRaw(kept, name) {
  const raw = name.replace(/bts$/, "raw");
  if (!await kept.get(raw) || !await kept.get(name)) return;
  const old = readShard(raw, await kept.data(raw)), now = readShard(name, await kept.data(name));
  if (!now.damage.length && old.frames.every((byte, i) => byte === now.frames[i])) await kept.drop(raw);
}
