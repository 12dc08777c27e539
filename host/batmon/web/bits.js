// Numbers out of the bits of a sealed shard, as docs/FORMAT.md says under "Bits" and "Numbers".
"use strict";

const EVEN = 2048, EXPERIENCED = 15, LONGEST_BITS = 18;

function bits(x) {  // the least n with x < 2^n, for x >= 0
  return 32 - Math.clz32(x);
}

class Bits {
  // `first` says p of each counter before it learns, `experience` how much that is worth.
  constructor(first, experience) {
    Object.assign(this, { first, experience, p: first.slice(), seen: new Uint8Array(first.length) });
    this.forget();
  }

  forget() {
    this.p.set(this.first);
    this.seen.fill(this.experience);
  }

  // Read `data` from byte `at` to `end`.
  start(data, at, end) {
    this.data = data;
    this.end = end;
    this.width = 0xFFFFFF;
    this.code = 0;
    this.at = at;
    for (let i = 0; i < 3; i++) this.code = this.code << 8 | this.next();
    if (this.code === 0xFFFFFF) this.code = 0xFFFFFE;
  }

  next() {
    const at = this.at++;
    return at < this.end ? this.data[at] : 0;
  }

  decide(one) {
    const part = ((this.width >> 6) * (one < 1 ? 1 : one)) >> 6;
    const bit = this.code < part ? 1 : 0;
    if (bit) this.width = part;
    else {
      this.code -= part;
      this.width -= part;
    }
    while (this.width < 65536) {
      this.width <<= 8;
      this.code = this.code << 8 | this.next();
    }
    return bit;
  }

  learn(i, bit) {
    const n = this.seen[i], d = 4 * n + 10, p = this.p[i];
    this.p[i] = bit ? p + (((4095 - p) * 5 + d - 1) / d | 0) : p - ((p * 5 + d - 1) / d | 0);
    if (n < EXPERIENCED) this.seen[i] = n + 1;
  }

  one(i) {  // a decision that one counter serves
    const bit = this.decide(this.p[i]);
    this.learn(i, bit);
    return bit;
  }

  two(i, j) {  // and two
    const p = this.p[i], q = this.p[j];
    const unsureP = 128 + (p * (4096 - p) >> 12), unsureQ = 128 + (q * (4096 - q) >> 12);
    const bit = this.decide((p * unsureQ + q * unsureP) / (unsureP + unsureQ) | 0);
    this.learn(i, bit);
    if (i !== j) this.learn(j, bit);
    return bit;
  }

  // A number, by the rows `a`, `b` and the 8 from `shared` on.
  number(a, b, shared) {
    a *= 8;
    b *= 8;
    shared *= 8;
    if (!this.two(a, b)) return 0;
    const negative = this.two(a + 1, b + 1);
    let asked = 2;
    while (asked <= LONGEST_BITS) {
      if (!(asked < 8 ? this.two(a + asked, b + asked) : this.one(shared + asked - 8))) break;
      asked++;
    }
    const size = asked - 1;
    let magnitude = 1;
    for (let left = size - 1; left > 0; left--) {
      const bit = magnitude < 4 ? this.one(shared + 4 + 3 * size + magnitude)
        : left === 1 ? this.one(shared + 62) : this.decide(EVEN);
      magnitude = magnitude << 1 | bit;
    }
    return negative ? -magnitude : magnitude;
  }
}
