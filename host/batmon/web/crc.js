// CRC-32 as in zlib.
"use strict";

const CRC_TABLES = (() => {  // of a byte with 0, 1, 2, 3 more behind it
  const tables = Array.from({ length: 4 }, () => new Uint32Array(256));
  for (let i = 0; i < 256; i++) {
    let c = i;
    for (let k = 0; k < 8; k++) c = c & 1 ? c >>> 1 ^ 0xEDB88320 : c >>> 1;
    tables[0][i] = c;
  }
  for (let k = 1; k < 4; k++)
    for (let i = 0; i < 256; i++) tables[k][i] = tables[k - 1][i] >>> 8 ^ tables[0][tables[k - 1][i] & 255];
  return tables;
})();

// Of `data` from byte `from` to `to`, going on from that of what is before it.
function crc32(data, from = 0, to = data.length, before = 0) {
  const [t0, t1, t2, t3] = CRC_TABLES;
  let c = ~before;
  for (; from + 4 <= to; from += 4) {
    c ^= data[from] | data[from + 1] << 8 | data[from + 2] << 16 | data[from + 3] << 24;
    c = t3[c & 255] ^ t2[c >>> 8 & 255] ^ t1[c >>> 16 & 255] ^ t0[c >>> 24];
  }
  for (; from < to; from++) c = c >>> 8 ^ t0[(c ^ data[from]) & 255];
  return ~c >>> 0;
}
