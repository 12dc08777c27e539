// Lifetime counters of batteries, out of the small files that a board keeps of them.
// The same as `kept` of host/batmon/log/lifetime.py, which tests hold it to. docs/FORMAT.md, "Counters".
"use strict";

const SUM_NAME = /^([A-Za-z0-9_]{1,24})\.sum2?$/, SUM_BYTES = 100, SUM_MAGIC = 0x31435342;
const SUM_PARTS = 3_600_000;  // mAs in an Ah, mWs in a Wh
const SUM_RANK = [56, 64, 68];  // rows, shard, byte: where they grow from file to file

// By battery, its counters by their names in Python; `files` are {name, data}, of which the newest counts.
function lifetimes(files) {
  const newest = new Map(), ever = new Map();
  for (const { name, data } of files) {
    const battery = SUM_NAME.exec(name)?.[1];
    if (battery && wholeSum(data) && laterSum(data, newest.get(battery))) newest.set(battery, data);
  }
  for (const [battery, data] of newest) if (u32(data, 64)) ever.set(battery, sumValues(data));
  return ever;
}

function wholeSum(data) {
  return data.length === SUM_BYTES && u32(data, 0) === SUM_MAGIC && crc32(data, 0, SUM_BYTES - 4) === u32(data, SUM_BYTES - 4);
}

function laterSum(data, before) {
  const at = SUM_RANK.find((each) => u32(data, each) !== (before ? u32(before, each) : 0));
  return at !== undefined && u32(data, at) > (before ? u32(before, at) : 0);
}

function sumValues(data) {
  const sum = (at) => u32(data, at) + u32(data, at + 4) / SUM_PARTS;
  const loggedS = u32(data, 36), fullUnix = u32(data, 44), fullLoggedS = u32(data, 48), unix = u32(data, 60);
  const known = u16(data, 92) > 0;
  return {
    charge_in_Ah: sum(4), charge_out_Ah: sum(12), energy_in_kWh: sum(20) / 1000, energy_out_kWh: sum(28) / 1000,
    soc_min_percent: data[94] === UNKNOWN_8 ? null : data[94] / 2,
    cell_min_mV: known ? u16(data, 90) : null, cell_max_mV: known ? u16(data, 92) : null,
    full_charges: u32(data, 40), full_unix_s: fullUnix || null,
    since_full_h: fullUnix && unix ? (unix - fullUnix) / 3600 : fullLoggedS ? (loggedS - fullLoggedS) / 3600 : null,
    logged_h: loggedS / 3600, first_unix_s: u32(data, 52) || null, rows: u32(data, 56), lost: u32(data, 72),
  };
}
