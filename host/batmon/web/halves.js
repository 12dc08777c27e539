// Half floats as whole numbers, as docs/FORMAT.md takes them under "The model".
"use strict";

function limit(x, most) {
  return x > most ? most : x < -most ? -most : x;
}

function cut(x, most) {
  return limit(x, most) + most;
}

function rank(half) {
  return half & 0x8000 ? half ^ 0xFFFF : half | 0x8000;
}

function ofRank(place) {
  return place & 0x8000 ? place & 0x7FFF : place ^ 0xFFFF;
}

function fixed(half) {  // 1024 times the value, cut towards 0
  let exponent = half >> 10 & 31, x = half & 1023;
  if (exponent) {
    x += 1024;
    exponent--;
  }
  x = exponent > 14 ? x * 2 ** (exponent - 14) : x >> 14 - exponent;
  if (x > 0xFFFFF) x = 0xFFFFF;
  return half & 0x8000 ? -x : x;
}

function nearest(x, grid) {  // the half float nearest to x / grid, ties to even
  if (x === 0) return 0;
  let exponent = 25, unit = grid;
  while (x >= unit * 2048) {
    unit *= 2;
    exponent++;
  }
  while (x < unit * 1024) {
    x *= 2;
    exponent--;
  }
  let q = Math.floor(x / unit);
  const rest = 2 * (x - q * unit);
  if (rest > unit || rest === unit && q & 1) q++;
  return (exponent << 10) + q - 1024;
}

// Places on the scale of a fraction f: 8 significant bits, fewer of small numbers.
const COARSER = 10 << 10, FINER = 11 << 10, PLACES = [320, 384];

function place(half, f) {
  const h = half & 0x7FFF, g = 11 - f, z = h - 1024 * g;
  const size = z < 0 ? h >> 10 : g + (z < COARSER ? z >> 5 : z < FINER ? PLACES[0] + (z - COARSER >> 4) : PLACES[1] + (z - FINER >> 3));
  return half & 0x8000 ? -size : size;
}

function ofPlace(p, f) {
  const g = 11 - f, size = Math.abs(p), q = size - g;
  const h = q < 0 ? size << 10
    : (q < PLACES[0] ? q << 5 : q < PLACES[1] ? COARSER + (q - PLACES[0] << 4) : FINER + (q - PLACES[1] << 3)) + 1024 * g & 0x7FFF;
  return h | (p < 0 ? 0x8000 : 0);
}

function onScale(half, f) {
  const z = (half & 0x7FFF) - 1024 * (11 - f);
  return half !== 0x8000 && (z & (z < 0 ? 1023 : z < COARSER ? 31 : z < FINER ? 15 : 7)) === 0;
}
