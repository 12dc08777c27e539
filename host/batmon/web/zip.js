// Files as one ZIP, not compressed: shards already are.
"use strict";

const ZIP_VERSION = 20, ZIP_UTF8 = 0x0800, ZIP_DATE = 0x5821;  // 2024-01-01: shards have times of their own

function zip(files) {
  const parts = [], directory = [];
  let offset = 0;
  for (const { name, data } of files) {
    const label = new TextEncoder().encode(name);
    const about = bytesOf(number16(ZIP_VERSION), number16(ZIP_UTF8), number16(0), number16(0), number16(ZIP_DATE),
      number32(crc32(data)), number32(data.length), number32(data.length), number16(label.length), number16(0));
    parts.push(bytesOf(number32(0x04034B50), about, label), data);
    directory.push(bytesOf(number32(0x02014B50), number16(ZIP_VERSION), about, number16(0), number16(0), number16(0),
      number32(0), number32(offset), label));
    offset += 30 + label.length + data.length;
  }
  const list = joined(directory);
  return [...parts, list, bytesOf(number32(0x06054B50), number16(0), number16(0), number16(files.length), number16(files.length),
    number32(list.length), number32(offset), number16(0))];
}
