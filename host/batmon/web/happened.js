// What happened: alarms, switches, health, and faults with the minutes around them, in words.
// The same as host/batmon/log/happened.py, which tests hold it to, word by word.
// MAKES, ALARM_WORDS and LIMIT_WORDS are written by web/tables.py.
"use strict";

const RECORDED = 0xFE04;
const ALARM = 12, SWITCHED = 13, HEALTH = 14, LIMITS = 15, MAKE = 17;
const SWITCHES = ["charge", "discharge", "heater", "balancer"], USUALLY_ON = 0b11, BALANCER = 3;
const UNKNOWN_32 = 0xFFFFFFFF, NO_CODE = (1n << 64n) - 1n;
const APART_S = 200, CAUSE_S = 10;  // records of two faults; a cause, and its first or last record
const MOVED_MV = 50, LEVEL_MV = 5, SURGE = 1.5, MANY_H = 48;

// [unix time, that of its end, kind, words] of what happened to the battery of `log`, newest first.
function happenings(log) {
  const teller = new Teller();
  for (const part of log.parts) {
    const { frames, count } = part.shard, line = log.lineOf(part), over = cellsTold(frames, count);
    for (let i = 0; i < count; i++) {
      const at = i * FRAME_BYTES, kind = kindOf(frames, at);
      if (kind !== EVENT && kind !== RECORDED) continue;
      const place = { unix: line.unix[i], boot: line.boot[i], uptime: line.uptime[i] };
      teller.tell(place, kind, frames.subarray(at, at + FRAME_BYTES), over[i]);
    }
  }
  teller.endFault();
  return teller.told.filter(([unix]) => unix === unix).sort((a, b) => compare(b, a)).slice(0, LONGEST_EVENTS);
}

class Teller {
  constructor() {
    this.told = [];
    this.make = "";
    this.records = [];
    this.begin(NO_BOOT);
  }

  begin(boot) {
    Object.assign(this, { boot, code: 0n, limits: 0, since: {}, causes: [] });
  }

  tell(place, kind, frame, over) {
    if (place.boot !== this.boot) {
      this.endFault();
      this.begin(place.boot);
    }
    const last = this.records[this.records.length - 1], apart = last && place.uptime - last.place.uptime > APART_S;
    if (kind === RECORDED) {
      if (apart) this.endFault();
      const low = u16(frame, 8);
      this.records.push({ place, over, current: HALVES[u16(frame, 6)], index: frame[12],
        low: low === UNKNOWN_16 ? NaN : low, high: low === UNKNOWN_16 ? NaN : u16(frame, 10) });
      return;
    }
    if (frame[4] === GAP) return;
    if (apart) this.endFault();
    this.event(place, frame[4], u32(frame, 5), u32(frame, 9));
  }

  event(place, code, a, b) {
    if (code === MAKE) this.make = MAKES[a] ?? "";
    else if (code === SWITCHED) {
      const words = SWITCHES.map((name, i) => (b >> i & 1 ? this.switched(name, i, a >> i & 1, place) : "")).filter((each) => each);
      this.say(place, "switch", words.join("; "), b & ~a & USUALLY_ON);
    } else if (code === ALARM) this.alarm(place, BigInt(a) | BigInt(b) << 32n);
    else if (code === LIMITS) {
      const came = limitWords(a & ~this.limits), went = limitWords(this.limits & ~a);
      this.limits = a;
      this.say(place, "limit", [came && `limit passed: ${came}`, went && `back within limits: ${went}`].filter((each) => each).join("; "), came);
    } else if (code === HEALTH) this.say(place, "health", healthWords(a, b));
  }

  say(place, kind, words, bad) {
    if (bad) this.causes.push({ place, words });
    if (words) this.told.push([place.unix, place.unix, kind, words]);
  }

  switched(name, i, on, place) {
    const words = `${name} switched ${on ? "on" : "off"}`;
    if (i === BALANCER) return words;  // told once a week at most: nobody knows for how long it was on
    if (on === (USUALLY_ON >> i & 1)) return words + this.after(i, place);
    this.since[i] = place;
    return words;
  }

  // For how long something was, if its beginning is known.
  after(what, place) {
    const since = this.since[what];
    delete this.since[what];
    return since ? ` after ${lastedFor(place.uptime - since.uptime)}` : "";
  }

  alarm(place, code) {
    let before = this.code;
    this.code = code;
    if (code === NO_CODE) {
      this.since.alarm = place;
      this.say(place, "alarm", "alarm of the BMS, which tells no code", true);
      return;
    }
    if (before === NO_CODE) before = 0n;
    if (!code) {
      this.say(place, "alarm", `alarm over${this.after("alarm", place)}`);
      return;
    }
    if (!before) this.since.alarm = place;
    const came = this.said(code & ~before), went = this.said(before & ~code);
    this.say(place, "alarm", [came && `alarm: ${came}`, went && `no longer: ${went}`].filter((each) => each).join("; "), came);
  }

  // What a code means to the make, as screen/alarms.py says it, in one line.
  said(code) {
    const lines = [];
    let bit = 0n;
    for (const each of (ALARM_WORDS[this.make] ?? "").split(",")) {
      const [word, times] = each.split("*");
      for (let i = 0; i < Number(times || 1); i++, bit++)
        if (word && code >> bit & 1n) {
          if (!lines.includes(word)) lines.push(word);
          code ^= 1n << bit;
        }
    }
    if (code) lines.push(`${this.make.replace(/_bms$/, "") || "BMS"} code 0x${code.toString(16).toUpperCase()}`);
    return lines.join(", ");
  }

  endFault() {
    const { records } = this;
    this.records = [];
    if (records.length < 2) return;
    const first = records[0].place, last = records[records.length - 1].place;
    const causes = this.causes.filter(({ place }) => first.uptime - CAUSE_S <= place.uptime && place.uptime <= last.uptime + CAUSE_S);
    const words = [...new Set(causes.map((each) => each.words)), ...story(records)];
    this.told.push([(causes[0]?.place ?? first).unix, last.unix, "fault", words.join("; ") || "a fault"]);
  }
}

// What the values did in the minutes of a fault, a clause each.
function story(records) {
  const said = [], { over } = records[0];
  for (const [name, shift, verb, sign] of [["low", 0, "fell", 1], ["high", 4, "rose", -1]]) {
    const values = records.map((each) => each[name] * sign), known = values.filter((x) => x === x);
    if (!known.length) continue;
    const end = values.indexOf(known.reduce((least, x) => Math.min(least, x)));
    const most = values.slice(0, end + 1).filter((x) => x === x).reduce((a, x) => Math.max(a, x));
    let start = end;
    while (!(values[start] >= most - LEVEL_MV)) start--;
    if (Math.abs(values[start] - values[end]) < MOVED_MV) continue;
    const passed = lastedFor(records[end].place.uptime - records[start].place.uptime);
    said.push(`${whichCell(records[end].index, shift, over)} ${verb} from ${voltWords(records[start][name])} to ${voltWords(records[end][name])} V within ${passed}`);
  }
  const amps = records.map((each) => Math.abs(each.current)), known = amps.filter((x) => x === x).sort((a, b) => a - b);
  if (known.length) {
    const peak = known[known.length - 1], half = known.length >> 1;
    const median = known.length % 2 ? known[half] : (known[half - 1] + known[half]) / 2;
    if (peak > SURGE * median) said.push(`current up to ${ampWords(records[amps.indexOf(peak)].current)} A`);
  }
  return said;
}

function whichCell(index, shift, over) {
  if (index === UNKNOWN_8 && over <= 16) return "a cell";
  const [first, last] = cellNumbers(index >> shift & 15, over);
  return first === last ? `cell ${first}` : `cell ${first} or ${last}`;
}

function limitWords(bits) {
  return LIMIT_WORDS.filter((_, i) => bits >> i & 1).join(", ") || (bits ? "limit" : "");
}

function healthWords(cycles, more) {
  const percent = more & 255, cells = more >>> 8;
  return [cycles !== UNKNOWN_32 && `${cycles} cycles`, percent !== UNKNOWN_8 && `${percent} % health`, cells && `${cells} cells`]
    .filter((each) => each).join(", ");
}

function lastedFor(seconds) {
  if (seconds < 120) return `${seconds} s`;
  const minutes = roundEven(seconds / 60), hours = Math.floor(minutes / 60);
  if (seconds < 7200) return `${minutes} min`;
  return hours < MANY_H ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

// Two digits of mV, and one of A, a half rounded to even as Python does; others are no exact half.
function voltWords(mv) {
  return (mv % 250 === 125 ? roundEven(mv / 10) / 100 : mv / 1000).toFixed(2);
}

function ampWords(amps) {
  const exact = Math.abs(amps * 10 % 1) === 0.5 ? roundEven(amps * 10) / 10 : amps;
  return exact.toFixed(1).replace("Infinity", "inf");
}
