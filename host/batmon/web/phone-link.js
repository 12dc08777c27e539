// A board over Web Bluetooth: docs/PHONE.md, from the phone's side.
"use strict";

const uuid = (n) => `a6f4000${n}-8d3c-4f0a-9b57-2e61c0d7b4a8`;
const SERVICE = uuid(1), ASK = uuid(2), ANSWER = uuid(3);
const HELLO = 1, PROVE = 2, LIVE = 3, CHECK = 4, READ = 5, CREDITS = 6, STOP = 7, CLOCK = 8, PAUSE = 9, ACKNOWLEDGE = 10;
const LIVE_VALUES = 0xC0, LIVE_WORDS = 0xC1, END = 0xC2;
const ERROR_LOGS = ["errors.old", "errors.txt"];  // the older one first
const NO_FILE = 6;  // a status
const WINDOW = 6, LIVE_WINDOW = 2;  // notifications that may be on their way
const ANSWER_MS = 10_000, DATA_MS = 20_000, CHECK_MS = 60_000, ALIVE_MS = 5000, PROOF_BYTES = 16;
const REFUSALS = { 1: "the board does not know this request; it has an older batmon", 2: "the board did not understand the request",
  3: "this takes the board's code", 4: "that is not the board's code", 6: "the board has no such file",
  7: "the board is busy with another request", 8: "the board cannot read its flash", 9: "the board cannot do that now" };

class Refused extends Error {
  constructor(status, answer) {
    super(status === 5 ? `too many wrong codes; the board listens again in ${answer.getUint16(2, true)} s` : REFUSALS[status] ?? `the board refuses (${status})`);
    this.status = status;
  }
}

class Lost extends Error {}

class Board {
  // `device` is a BluetoothDevice; `heard(values)` and `said(battery, words)` are called while live.
  constructor(device, heard, said, gone) {
    Object.assign(this, { device, heard, said });
    this.name = device.name ?? "board";
    this.writes = this.turn = this.reads = Promise.resolve();
    device.addEventListener("gattserverdisconnected", () => {
      this.fail(new Lost("the board is out of reach"));
      clearInterval(this.alive);
      gone();
    });
  }

  async connect() {
    const server = await this.device.gatt.connect();
    const service = await server.getPrimaryService(SERVICE);
    this.ask = await service.getCharacteristic(ASK);
    this.answer = await service.getCharacteristic(ANSWER);
    this.answer.addEventListener("characteristicvaluechanged", ({ target }) => this.hear(target.value));
    await this.answer.startNotifications();
    this.stayLive();
    this.alive = setInterval(() => this.stayLive(), ALIVE_MS);
  }

  stayLive() {
    this.write(false, LIVE, LIVE_WINDOW).catch(() => {});  // it is asked again soon
  }

  // One write at a time, as browsers want it.
  write(answered, ...parts) {
    const bytes = bytesOf(...parts);
    return this.writes = this.writes.catch(() => {}).then(() => (answered
      ? this.ask.writeValueWithResponse(bytes) : this.ask.writeValueWithoutResponse(bytes)));
  }

  disconnect() {
    this.device.gatt.disconnect();
  }

  // One request at a time; resolves to the answer, a DataView.
  request(op, ...body) {
    return this.turn = this.turn.catch(() => {}).then(() => this.exchange(op, body));
  }

  async exchange(op, body) {
    const answered = this.awaits(op === CHECK ? CHECK_MS : ANSWER_MS, (view) => view.getUint8(0) === (op | 0x80));
    answered.catch(() => {});
    await this.write(true, op, ...body);
    const view = await answered, status = view.getUint8(1);
    if (status) throw new Refused(status, view);
    return view;
  }

  awaits(ms, fits) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.fail(new Lost("the board does not answer")), ms);
      this.waiting = { fits, resolve: (view) => { clearTimeout(timer); resolve(view); },
        reject: (error) => { clearTimeout(timer); reject(error); } };
    });
  }

  fail(error) {
    const { waiting, reading } = this;
    this.waiting = this.reading = null;
    waiting?.reject(error);
    reading?.reject(error);
  }

  hear(view) {
    const kind = view.getUint8(0);
    if (kind < 0x80 || kind === END) this.reading?.take(view);
    else if (kind === LIVE_VALUES) {
      this.heard(liveValues(view));
      this.stayLive();
    }
    else if (kind === LIVE_WORDS) this.said(view.getUint8(1), new TextDecoder().decode(rest(view, 2)));
    else if (this.waiting?.fits(view)) {
      const { resolve } = this.waiting;
      this.waiting = null;
      resolve(view);
    }
  }

  // Is the code right? Throws Refused if not.
  async prove(code) {
    const hello = await this.request(HELLO), nonce = rest(hello, 5);
    const wait = hello.getUint16(3, true);
    if (wait) throw new Refused(5, new DataView(Uint8Array.of(0, 5, wait, wait >> 8).buffer));
    const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(code), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const proof = new Uint8Array(await crypto.subtle.sign("HMAC", key, nonce));
    await this.request(PROVE, proof.subarray(0, PROOF_BYTES));
    const ms = Date.now();
    await this.request(CLOCK, number32(Math.floor(ms / 1000)), number16(ms % 1000));
  }

  // The bytes of a file from `offset` on, `most` of them; `take(bytes)` gets each part in order. One
  // read at a time.
  read(name, offset, most, take) {
    return this.reads = this.reads.catch(() => {}).then(() => this.readNow(name, offset, most, take));
  }

  async readNow(name, offset, most, take) {
    let sequence = 0, credits = WINDOW, crc = 0, count = 0, timer;
    const ended = new Promise((resolve, reject) => {
      const patient = () => {
        clearTimeout(timer);
        timer = setTimeout(() => this.fail(new Lost("the board stopped sending")), DATA_MS);
      };
      patient();
      this.reading = { reject, take: (view) => {
        patient();
        if (view.getUint8(0) === END) {
          const whole = view.getUint32(1, true) === count && view.getUint32(5, true) === crc;
          return whole ? resolve() : reject(new Lost(`${name} did not arrive intact`));
        }
        if (view.getUint8(0) !== sequence) return reject(new Lost(`a part of ${name} was lost`));
        sequence = sequence + 1 & 127;
        const part = rest(view, 1);
        crc = crc32(part, 0, part.length, crc);
        count += part.length;
        take(part);
        if (--credits <= WINDOW / 2) {
          credits += WINDOW / 2;
          this.write(false, CREDITS, WINDOW / 2).catch(reject);
        }
      } };
    });
    ended.catch(() => {});
    try {
      await this.request(READ, number32(offset), number32(most), WINDOW, new TextEncoder().encode(name));
      await ended;
    } catch (error) {
      if (this.device.gatt.connected && !(error instanceof Refused)) await this.request(STOP).catch(() => {});
      throw error;
    } finally {
      clearTimeout(timer);
      this.reading = null;
    }
  }

  async text(name) {
    const parts = [];
    await this.read(name, 0, 0xFFFFFFFF, (part) => parts.push(part));
    return new TextDecoder().decode(joined(parts));
  }

  // The error log, "" if nothing went wrong.
  async errors() {
    const texts = [];
    for (const name of ERROR_LOGS)
      texts.push(await this.text(name).catch((error) => {
        if (error.status !== NO_FILE) throw error;
        return "";
      }));
    return texts.join("");
  }

  // Sizes of the files of the log, by name.
  async files() {
    const lines = (await this.text("list")).split("\n").filter((line) => line);
    return new Map(lines.map((line) => line.split(" ")).map(([name, size]) => [name, Number(size)]));
  }

  async crc(name, count) {
    return (await this.request(CHECK, number32(count), new TextEncoder().encode(name))).getUint32(2, true);
  }
}

function liveValues(view) {
  const unknown = (x, none, unit) => (x === none ? null : x / unit);
  return { battery: view.getUint8(1), batteries: view.getUint8(2), connected: (view.getUint8(3) & 1) !== 0,
    voltage: unknown(view.getUint16(4, true), 65535, 100), current: unknown(view.getInt32(6, true), -0x80000000, 1000),
    soc: unknown(view.getUint8(10), 255, 2), temperature: view.getUint8(11) === 255 ? null : view.getUint8(11) / 2 - 40,
    low: unknown(view.getUint16(12, true), 65535, 1), high: unknown(view.getUint16(14, true), 65535, 1),
    lowCell: view.getUint8(16), highCell: view.getUint8(17), age: view.getUint16(18, true) };
}

function rest(view, from) {
  return new Uint8Array(view.buffer, view.byteOffset + from, view.byteLength - from).slice();
}

function number16(x) {
  return Uint8Array.of(x, x >> 8);
}

function number32(x) {
  return Uint8Array.of(x, x >> 8, x >> 16, x >> 24);
}

function bytesOf(...parts) {
  return joined(parts.map((part) => (typeof part === "number" ? Uint8Array.of(part) : part)));
}
