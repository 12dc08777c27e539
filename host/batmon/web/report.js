// The page: which battery, which range, and everything drawn for it.
const PERCENT = () => [0, 100];
const DETAIL = [
  { title: "State of charge", unit: "%", digits: 1, series: [["soc", "SoC"]], step: 1, range: PERCENT },
  { title: "Voltage", unit: "V", digits: 2, series: [["voltage", "pack"]] },
  { title: "Current", unit: "A", digits: 2, series: [["current", "+ charging"]], step: -1, zero: true },
  { title: "Power", unit: "W", digits: 0, series: [["power", "+ charging"]], step: -1, zero: true },
  { title: "Cells", unit: "mV", digits: 0, series: [["low", "lowest"], ["high", "highest"]] },
  { title: "Cells apart", unit: "mV", digits: 0, series: [["spread", "highest − lowest"]], zero: true },
  { title: "Temperature", unit: "°C", digits: 1, series: [["temperature", "sensor"]], step: 1 },
];
const DAYS_LEAST = 3;  // fewer are told in numbers alone
const TREND_LEAST = 3;  // months that make a curve
const UNSEEN_MS = 200;
const LONGEST_LIST = 100;
const LOOK_S = 60;  // so near to the look that ends a rest a gap is what that rest left
const AROUND_S = 150;  // of what happened that is shown of its minutes
const IN_WORDS = new Set(["alarm", "switched", "health", "limit of the settings", "changes that were only counted", "make of the BMS"]);

// The answers are on the screen first, then `drawRows` adds every row.
class Page extends View {
  constructor(battery, { rows, zone, found, answers }) {
    super(rows, zone, found.first, found.last);
    Object.assign(this, { battery, found });
    this.happened = battery.happened ?? [];
    this.notes();
    this.byDay = found.days.length >= DAYS_LEAST;
    by("overview-part").hidden = !this.byDay;
    if (this.byDay) this.unitsSwitch();
    this.health();
    by("health-part").hidden = !by("health").children.length;
    this.tables();
    this.choose(DETAIL);
    this.cards(answers);
  }

  drawRows() {
    this.chart();
    this.marks = this.happened.filter(([, , kind]) => kind !== "health" && kind !== "log").map((what) => this.mark(what));
    this.tools();
    this.draw();
  }

  notes() {
    const { found, battery, rows, zone } = this;
    by("span").textContent = zone.clock
      ? `${zone.time(found.first)} to ${zone.time(found.last)}, time zone ${zone.name}`
      : `${duration(found.last - found.first)} of uptime; the board never knew the time of day`;
    const say = (text) => element(by("notes"), "div", text);
    if (battery.undated)
      say(`${plural(battery.undated, "row")} of boots in which the clock was not set: their time is the earliest possible.`);
    if (battery.left_out)
      say(`${plural(battery.left_out, "row")} from before the first known time ${battery.left_out === 1 ? "is" : "are"} left out.`);
    if (rows.wild.count)
      say(`${plural(rows.wild.count, "voltage")} that cannot be (the first: ${number(rows.wild.value, 1)} V) ${rows.wild.count === 1 ? "is" : "are"} left out.`);
  }

  unitsSwitch() {
    const buttons = [["Energy", "wh", "kWh", 1000], ["Charge", "ah", "Ah", 1]].map(([words, ...unit]) => {
      const button = element(by("units"), "button", words);
      button.onclick = () => {
        for (const other of buttons) other.className = other === button ? "on" : "";
        this.overview(...unit);
      };
      return button;
    });
    buttons[0].onclick();
  }

  overview(name, unit, by_) {
    this.counts = this.counts.filter(({ div }) => div.parentNode !== by("overview"));
    by("overview").textContent = "";
    const { days } = this.found, of = (pick) => days.map(pick);
    const per = (what) => this.counts.push(countChart(by("overview"),
      { time: of((d) => d.begin), end: of((d) => d.end), ...what }, this.zone, this.pick));
    if (days.some((d) => d.soc_low !== null))
      per({ title: "State of charge, lowest to highest", unit: "%", digits: 1, kind: "floating", range: PERCENT,
        series: [["lowest", of((d) => d.soc_low), "band"], ["highest", of((d) => d.soc_high), "band"]] });
    per({ title: unit === "Ah" ? "Charge" : "Energy", unit, digits: unit === "Ah" ? 1 : 2, kind: "bars",
      series: [["in", of((d) => d[`in_${name}`] / by_), "in"], ["out", of((d) => -d[`out_${name}`] / by_), "out"]] });
  }

  health() {
    const { months } = this.found;
    const per = (id, what) => {
      const series = what.series.filter(([, values]) => values.filter((x) => x !== null).length >= TREND_LEAST);
      if (!series.length) return;
      const chart = countChart(by("health"), { time: months.map((m) => m.begin), end: months.map((m) => m.end),
        kind: "line", ...what, series,
        title: series.length < what.series.length ? `${what.title} ${series[0][0]}` : what.title }, this.zone, this.pick);
      chart.div.id = id;
      this.counts.push(chart);
    };
    const of = (name) => months.map((m) => m[name]);
    per("capacity", { title: "Capacity", unit: "Ah", digits: 1, series: [["capacity", of("capacity_ah"), "first"]] });
    per("drift", { title: "Cells apart", unit: "mV", digits: 1, range: (u, low, high) => room(low, high, true),
      series: [["at rest", of("rest_mv"), "first"], ["when full", of("top_mv"), "second"]] });
    per("resistance", { title: "Resistance of the pack", unit: "mΩ", digits: 2, series: [["resistance", of("resistance_mohm"), "first"]] });
  }

  // A mark on the line below the curves, which leads to the minutes of what happened then.
  mark([at, end, kind, words]) {
    const node = element(by("happened"), "button");
    node.className = kind;
    node.title = `${this.zone.time(at)} ${words}`;
    node.onclick = () => this.pick(at - AROUND_S, end + AROUND_S);
    return { node, at, end };
  }

  drawMarks() {
    const line = by("happened"), { plot } = this.charts[0] ?? {};
    line.hidden = !this.marks.length || !plot;
    if (line.hidden) return;
    const { left, width } = plot.bbox, scale = width / devicePixelRatio / (this.to - this.from);
    for (const { node, at, end } of this.marks) {
      node.hidden = end < this.from || at > this.to;
      if (node.hidden) continue;
      const first = Math.max(at, this.from);
      node.style.left = `${left / devicePixelRatio + (first - this.from) * scale}px`;
      node.style.width = `${Math.max(6, (Math.min(end, this.to) - first) * scale)}px`;
    }
  }

  tables() {
    const { found, zone } = this, { months, moments, cells, gaps } = found, length = found.last - found.first;
    const share = (percent) => (percent === null ? "–" : `${number(percent)} %`), whole = by("wide-tables"), small = by("tables");
    const all = { ...found, name: "all", soc_low: null, t_low: null, capacity_ah: null, rest_mv: null, top_mv: null, resistance_mohm: null };
    const with_ = (value, text) => (value === null ? "–" : text(value));
    const columns = [
      ["", (m) => m.name], ["measured", (m) => duration(m.measured_s)],
      ["energy in", (m) => energy(m.in_wh)], ["energy out", (m) => energy(m.out_wh)],
      ["charge in", (m) => charge(m.in_ah)], ["charge out", (m) => charge(m.out_ah)],
      ["SoC", (m) => span(m.soc_low, m.soc_high, "%")], ["temperature", (m) => span(m.t_low, m.t_high, "°C")],
      ["capacity", (m) => with_(m.capacity_ah, charge)],
      ["cells apart at rest", (m) => with_(m.rest_mv, (mv) => `${number(mv)} mV`)],
      ["when full", (m) => with_(m.top_mv, (mv) => `${number(mv)} mV`)],
      ["resistance", (m) => with_(m.resistance_mohm, (mohm) => `${number(mohm, 2)} mΩ`)],
    ].filter(([, cell]) => months.some((m) => cell(m) !== "–"));
    this.table(whole, "months", "Months", columns.map(([head]) => head),
      (months.length > 1 ? [...months, all] : months).map((m) => columns.map(([, cell]) => cell(m))),
      { note: "What no month tells is left out; the cards say what it takes." });
    if (cells.list.length)
      this.table(small, "cells", "Cells", ["cell", "lowest", "highest", "highest when full", "lowest when low"],
        cells.list.map(([cell, ...parts]) => [cell, ...parts.map(share)]), { note: "Parts of the time." });
    const { ever } = this.battery;
    if (ever)
      this.table(small, "ever", "Ever, also what is no longer in the log", ["", ""], [
        ["in", `${energy(1000 * ever.energy_in_kWh)}, ${charge(ever.charge_in_Ah)}`],
        ["out", `${energy(1000 * ever.energy_out_kWh)}, ${charge(ever.charge_out_Ah)}`],
        ["full charges", number(ever.full_charges)],
        ["lowest SoC", share(ever.soc_min_percent)],
        ["cells", ever.cell_min_mV === null ? "–" : `${ever.cell_min_mV} to ${ever.cell_max_mV} mV`],
        ["measured", duration(Math.round(3600 * ever.logged_h))],
        ["since", ever.first_unix_s && zone.clock ? zone.time(ever.first_unix_s) : "–"],
      ], { note: "As the board counted, up to four hours before the end of the log." });
    this.table(small, "extremes", "Time at extremes", ["", "in all", "last"],
      [["full", `SoC ${FULL_SOC} % or more`], ["low", `SoC below ${LOW_SOC} %`], ["cold", `${COLD_C} °C or less`],
        ["cold_charge", `charging at ${COLD_C} °C or less`], ["hot", `${HOT_C} °C or more`],
        ["cell_high", `a cell at ${(CELL_HIGH_MV / 1000).toFixed(2)} V or more`],
        ["cell_low", `a cell at ${(CELL_LOW_MV / 1000).toFixed(2)} V or less`]]
        .map(([name, words]) => [words, moments[name].last === null ? "–" : duration(moments[name].seconds),
          moments[name].last === null ? "never" : zone.time(moments[name].last)]));
    const looks = this.battery.events.filter(([, words, every]) => words === "rest" && !every);
    const looked = (end) => looks.some(([at]) => Math.abs(at - end) <= LOOK_S);
    this.table(small, "gaps", "Gaps of 10 minutes and more, longest first", ["from", "without data for"],
      gaps.list.slice(0, LONGEST_LIST).map(([at, s]) => [zone.time(at), duration(s) + (looked(at + s) ? ", asleep at rest" : "")]),
      { spans: gaps.list.map(([at]) => [at - DAY_S / 2, at + DAY_S / 2]), note: gaps.count
        ? `${plural(gaps.count, "gap")}, ${duration(gaps.sum_s)} in all, ${number(100 * gaps.sum_s / length)} % of the time.` : "" });
    const { happened } = this;
    if (happened.length)
      this.table(whole, "story", "What happened, newest first", ["time", "what"],
        happened.map(([at, , , words]) => [zone.time(at), words]),
        { spans: happened.map(([at, end]) => [at - AROUND_S, end + AROUND_S]) });
    const events = this.battery.events.filter(([, words]) => !happened.length || !IN_WORDS.has(words));
    this.table(small, "events", "Events, newest first", ["time", "event"],
      events.map(([at, words, a, b]) => [zone.time(at), a || b ? `${words} (${a}${b ? ", " + b : ""})` : words]),
      { spans: events.map(([at]) => [at - DAY_S / 2, at + DAY_S / 2]) });
  }
}

let page;

// Resolves when what was drawn is on the screen, or soon where there is none to draw on.
function painted() {
  return new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, UNSEEN_MS);
  });
}

// Show the first of `batteries`, as web/report.py makes them, and a button for each and, of several,
// for all of them together; `tz` names a time zone or is null for the reader's own.
function show(batteries, tz) {
  const press = (button) => {
    for (const other of by("batteries").children) other.className = other === button ? "on" : "";
  };
  const open = async (battery, button) => {
    press(button);
    battery.counted ??= await count(battery, tz);
    const opened = page = new Page(battery, battery.counted);
    await painted();
    document.body.dataset.answered ??= Math.round(performance.now());
    if (page === opened) page.drawRows();
  };
  by("batteries").textContent = "";
  for (const battery of batteries) {
    const button = element(by("batteries"), "button", battery.name);
    button.onclick = () => open(battery, button);
  }
  if (batteries.filter(({ clock }) => clock).length > 1) {
    const button = element(by("batteries"), "button", "All together");
    let bank = null;
    button.id = "bank";
    button.onclick = async () => {
      press(button);
      page = new BankPage(bank ??= await bankOf(batteries, tz));
    };
  }
  document.title = `batmon: ${batteries.map(({ name }) => name).join(", ")}`;
  return open(batteries[0], by("batteries").firstChild);
}

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width || !page) return;  // phones resize in height while scrolling
  width = innerWidth;
  page.resize();
});
for (const [query, event] of [["(prefers-color-scheme: dark)", "change"], ["print", "change"]])
  matchMedia(query).addEventListener(event, () => page?.resize());
