// The page of `batmon web`: a board by radio, shards that are kept or opened, and their report.
"use strict";

const PAUSE_S = 600;
const WHICH = "Connecting takes Chrome or Edge on Android, Windows, macOS, ChromeOS or Linux; on an iPhone or iPad an app " +
  "such as Bluefy, as no browser there may use Bluetooth; not Firefox, not Safari.";

class Desk {
  async start() {
    this.dials = new Dials(by("dials"), (battery) => this.tryTo(() => this.board.request(ACKNOWLEDGE, battery)));
    by("connect").onclick = () => (this.board ? this.board.disconnect() : this.tryTo(() => this.connect()));
    by("prove").onsubmit = (event) => {
      event.preventDefault();
      this.tryTo(() => this.unlock(by("code").value));
    };
    by("download").onclick = () => this.tryTo(() => this.download());
    by("pause").onclick = () => this.tryTo(() => this.pause());
    by("open").onclick = () => by("files").click();
    by("files").onchange = ({ target }) => this.tryTo(() => this.opened(target.files));
    by("report").onclick = () => this.tryTo(async () => this.report(await this.kept.files()));
    by("save-shards").onclick = () => this.tryTo(async () => save(zip(await this.kept.files()), "batmon-shards.zip"));
    by("save-csv").onclick = () => this.tryTo(async () => save(csv(logsOf(read(await this.kept.shards()))), "batmon.csv"));
    by("forget").onclick = () => this.tryTo(() => this.forget());
    this.listenToDrops();
    this.sayWhich();
    try {
      this.kept = await Kept.open();
    } catch {
      this.say("this browser keeps nothing here, perhaps because its window is private; files can be opened");
    }
    const files = await this.counted();
    if (files.length) await this.report(files);
    document.body.dataset.ready = "yes";
  }

  say(words) {
    by("told").textContent = words;
  }

  async tryTo(act) {
    try {
      await act();
    } catch (error) {
      // nothing was chosen: that is no mistake
      this.say(error.name === "NotFoundError" ? "" : error.message);
    }
  }

  sayWhich() {
    const can = "bluetooth" in navigator;
    by("connect").disabled = !can;
    by("browser").hidden = can;
    by("browser").textContent = isSecureContext ? `This browser cannot connect to a board; opening files works. ${WHICH}`
      : `A page may use Bluetooth only from https or from localhost. ${WHICH}`;
  }

  // ---- the board

  async connect() {
    const device = await navigator.bluetooth.requestDevice({ filters: [{ services: [SERVICE] }] });
    const board = new Board(device, (values) => this.dials.show(values), (battery, words) => this.words(battery, words), () => this.gone());
    this.say("connecting");
    await board.connect();
    this.board = board;
    this.say(`connected to ${board.name}`);
    by("connect").textContent = "Disconnect";
    by("board").hidden = false;
    by("prove").hidden = false;
    const code = localStorage.getItem(`code ${board.name}`);
    if (code) await this.unlock(code);
  }

  gone() {
    if (this.board) this.say(`${this.board.name} is no longer connected`);
    this.board = null;
    this.dials.clear();
    by("connect").textContent = "Connect";
    for (const id of ["board", "prove", "unlocked", "progress"]) by(id).hidden = true;
  }

  async unlock(code) {
    try {
      await this.board.prove(code);
    } catch (error) {
      localStorage.removeItem(`code ${this.board.name}`);
      throw error;
    }
    localStorage.setItem(`code ${this.board.name}`, code);
    by("prove").hidden = true;
    by("unlocked").hidden = false;
    const info = JSON.parse(await this.board.text("info"));
    info.batteries.forEach(({ name }, i) => this.dials.name(i, name));
    by("about").textContent = `batmon ${info.version}, running for ${duration(info.uptime_s)}, ${Math.round(info.free_bytes / 1024)} kB free; its clock is set`;
    this.complain(await this.board.errors());
  }

  // Show what an error log tells.
  complain(text) {
    const told = complaints(text).slice(0, COMPLAINTS_MOST), zone = new Zone(null);
    by("complaints").hidden = false;
    by("complained").textContent = "";
    for (const each of told) element(by("complained"), "li", complaintSentence(each, zone));
    if (!told.length) element(by("complained"), "li", "nothing");
    by("errors").textContent = text;
    by("errors-part").hidden = !text;
  }

  words(battery, words) {
    const alarm = words.startsWith("!");
    this.dials.words(battery, alarm ? words.slice(1) : words, alarm && !by("unlocked").hidden);
  }

  async pause() {
    await this.board.request(PAUSE, number16(PAUSE_S));
    this.say("the BMS is free for 10 minutes; logging goes on by itself then");
  }

  async download() {
    if (!this.kept) throw new Error("this browser keeps nothing here, so there is no place for a download");
    const bar = by("progress"), begun = performance.now();
    bar.hidden = false;
    by("download").disabled = true;
    try {
      const { problems, bytes, files } = await pull(this.board, this.kept, (done, total) => {
        bar.value = total ? done / total : 1;
        this.say(`${Math.round(done / 1024)} of ${Math.round(total / 1024)} kB`);
      });
      const seconds = (performance.now() - begun) / 1e3;
      const known = await this.counted();
      if (known.length) await this.report(known);
      this.say(problems.join("; ") || (files ? `${Math.round(bytes / 1024)} kB in ${duration(seconds)}` : "there is nothing new"));
    } finally {
      bar.hidden = true;
      by("download").disabled = false;
    }
  }

  // ---- shards

  // Say what is kept, and return it, nothing without a shard.
  async counted() {
    const files = this.kept ? await this.kept.files() : [];
    const shards = files.filter(({ name }) => SHARD_NAME.test(name));
    for (const id of ["report", "save-shards", "save-csv", "forget"]) by(id).hidden = !shards.length;
    const bytes = files.reduce((sum, { data }) => sum + data.length, 0);
    by("kept").textContent = shards.length ? `${plural(shards.length, "shard")} kept in this browser, ${Math.ceil(bytes / 1024)} kB` : "";
    return shards.length ? files : [];
  }

  async forget() {
    if (!confirm("Delete all shards that this browser keeps? What is on the board stays there.")) return;
    await this.kept.clear();
    await this.counted();
    by("shown").hidden = true;
  }

  async opened(files) {
    const named = [...files].filter(({ name }) => SHARD_NAME.test(name));
    const errors = ERROR_LOGS.map((log) => [...files].find(({ name }) => name === log)).filter((file) => file);
    if (errors.length) this.complain((await Promise.all(errors.map((file) => file.text()))).join(""));
    else if (!named.length) throw new Error("none of these is a shard; they are called like NAME-00042.raw or .bts");
    const ours = named.length ? [...files].filter(({ name }) => SHARD_NAME.test(name) || SUM_NAME.test(name)) : [];
    if (named.length) await this.report(await Promise.all(ours.map(async (file) => ({ name: file.name, data: new Uint8Array(await file.arrayBuffer()) }))));
  }

  // Show the report of `files`: shards, and lifetime counters if there are any.
  async report(files) {
    const known = read(files.filter(({ name }) => SHARD_NAME.test(name))), ever = lifetimes(files);
    const batteries = logsOf(known).map((log) => log.forReport()).filter((battery) => battery);
    for (const battery of batteries) battery.ever = ever.get(battery.name);
    by("flaws").textContent = "";
    for (const { name, damage } of known) for (const sentence of damage) element(by("flaws"), "li", `${name}: ${sentence}`);
    by("shown").hidden = !batteries.length;
    if (!batteries.length) throw new Error("there is no row in these shards");
    await show(batteries, null);
    document.body.dataset.shown = batteries.map(({ rows }) => rows).join(" ");
  }

  listenToDrops() {
    for (const [event, on] of [["dragover", true], ["dragleave", false], ["drop", false]])
      document.addEventListener(event, (dragged) => {
        dragged.preventDefault();
        document.body.classList.toggle("dropping", on);
        if (event === "drop") this.tryTo(() => this.opened(dragged.dataTransfer.files));
      });
  }
}

function read(shards) {
  return shards.map(({ name, data }) => readShard(name, data));
}

function save(parts, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

if ("serviceWorker" in navigator && location.protocol !== "file:") {  // may be installed as an app
  Object.assign(document.head.appendChild(document.createElement("link")), { rel: "manifest", href: "manifest.webmanifest" });
  navigator.serviceWorker.register("worker.js");
}
const desk = new Desk();
desk.start();
