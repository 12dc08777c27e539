// The page: which battery, which range, and everything drawn for it.
const DATA = JSON.parse(document.getElementById("data").textContent);
const DETAIL = [
  { title: "State of charge", unit: "%", digits: 1, series: [["soc", "SoC"]], step: 1 },
  { title: "Voltage", unit: "V", digits: 2, series: [["voltage", "pack"]] },
  { title: "Current", unit: "A", digits: 2, series: [["current", "+ charging"]], step: -1, zero: true },
  { title: "Power", unit: "W", digits: 0, series: [["power", "+ charging"]], step: -1, zero: true },
  { title: "Cells", unit: "mV", digits: 0, series: [["low", "lowest"], ["high", "highest"]] },
  { title: "Cell spread", unit: "mV", digits: 0, series: [["spread", "highest − lowest"]], zero: true },
  { title: "Temperature", unit: "°C", digits: 1, series: [["temperature", "sensor"]], step: 1 },
];
const RANGES = [["All", Infinity], ["Year", 366], ["Month", 31], ["Week", 7], ["Day", 1]];
const SHORTEST_S = 30;
const by = (id) => document.getElementById(id);

function element(parent, tag, text) {
  const node = parent.appendChild(document.createElement(tag));
  if (text !== undefined) node.textContent = text;
  return node;
}

function when(t, seconds) {
  return new Date(t * 1e3).toLocaleString("sv-SE", { timeZone: DATA.tz, ...(seconds ? {} : {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" }) });
}

function duration(s) {
  return s < 120 ? `${s} s` : s < 7200 ? `${Math.round(s / 60)} min`
    : s < 172800 ? `${(s / 3600).toFixed(1)} h` : `${(s / 86400).toFixed(1)} days`;
}

class Page {
  constructor(battery, rows) {
    this.battery = battery;
    this.rows = rows;
    this.first = battery.summary.first;
    this.last = Math.max(battery.summary.last, this.first + SHORTEST_S);
    this.from = this.first;
    this.to = this.last;
    this.asked = false;
    for (const id of ["summary", "overview", "detail", "health", "tables", "tools"])
      by(id).textContent = "";
    this.summary();
    const pick = (from, to) => {
      this.range(from, to);
      by("tools").scrollIntoView({ behavior: "smooth", block: "start" });
    };
    this.counts = this.counted(pick);
    this.charts = DETAIL.map((what) => new RowChart(
      by("detail"), what, DATA.tz, (from, to) => this.range(from, to),
      (plot) => touchable(plot, () => [this.from, this.to], (from, to) => this.range(from, to))));
    this.tools();
    this.tables();
    this.draw();
  }

  summary() {
    const s = this.battery.summary;
    const show = (value, unit) => (value == null ? "–" : `${value} ${unit}`);
    for (const [words, value] of [
      ["begin", when(s.first)], ["end", when(s.last)],
      ["charge at the end", show(s.soc, "%")], ["voltage at the end", show(s.voltage, "V")],
      ["full cycles", show(s.cycles, "")], ["capacity by SoC, about", show(s.capacity_ah, "Ah")],
      [`charged, ${show(s.in_ah, "Ah")}`, show(s.in_kwh, "kWh")],
      [`discharged, ${show(s.out_ah, "Ah")}`, show(s.out_kwh, "kWh")],
      ["out of in", show(s.efficiency, "%")],
      ["measured", duration(s.hours * 3600)], ["rows", s.frames.toLocaleString("en")],
    ]) {
      const card = element(by("summary"), "div");
      element(card, "b", value);
      element(card, "span", words);
    }
    if (s.undated)
      element(element(by("summary"), "div"), "span",
        `${s.undated} rows are from before the clock was set; their time is the earliest possible.`);
  }

  counted(pick) {
    const { days, spread, resistance } = this.battery;
    const per = (what, pick) => countChart(by(what.place), what, DATA.tz, pick);
    const minus = (values) => values.map((x) => (x == null ? null : -x));
    const kwh = (values) => values.map((x) => (x == null ? null : x / 1000));
    const charts = [];
    if (days.time.length) charts.push(
      per({ place: "overview", title: "State of charge", unit: "%", digits: 1, time: days.time,
        series: [["lowest", days.soc_min, 1], ["highest", days.soc_max, 0]] }, pick),
      per({ place: "overview", title: "Energy in and out", unit: "kWh", digits: 2, time: days.time, bars: true,
        series: [["in", kwh(days.energy_in_Wh), 2], ["out", minus(kwh(days.energy_out_Wh)), 1]] }, pick),
      per({ place: "overview", title: "Charge in and out", unit: "Ah", digits: 1, time: days.time, bars: true,
        series: [["in", days.charge_in_Ah, 2], ["out", minus(days.charge_out_Ah), 1]] }, pick));
    if (spread.time.length) charts.push(
      per({ place: "health", title: "Cell drift: median spread per week", unit: "mV", digits: 1,
        time: spread.time, series: [["always", spread.all, 0], ["at rest", spread.rest, 2]] }));
    if (resistance.time.length) charts.push(
      per({ place: "health", title: "Internal resistance of the pack, from steps of current", unit: "mΩ",
        digits: 2, time: resistance.time, series: [["median of the week", resistance.mohm, 3]] }));
    return charts;
  }

  tools() {
    const tools = by("tools");
    this.buttons = RANGES.filter(([, days], i) => !i || days * 86400 < this.last - this.first)
      .map(([words, days]) => {
        const button = element(tools, "button", words);
        button.onclick = () => {
          const middle = (this.from + this.to) / 2, half = days * 43200;
          // from everything to its newest part, else around what is shown
          if (this.whole()) this.range(this.last - 2 * half, this.last);
          else this.range(middle - half, middle + half);
        };
        return [button, days];
      });
    for (const [words, move] of [["←", -1], ["→", 1]])
      element(tools, "button", words).onclick = () => {
        const by = (this.to - this.from) * 0.5 * move;
        this.range(this.from + by, this.to + by);
      };
    for (const [words, by] of [["+", 0.25], ["−", -0.5]])
      element(tools, "button", words).onclick = () => {
        const cut = (this.to - this.from) * by;
        this.range(this.from + cut, this.to - cut);
      };
  }

  whole() {
    return this.from === this.first && this.to === this.last;
  }

  // Show this range, kept within the log; drawn once per frame of the screen.
  range(from, to) {
    const length = Math.min(Math.max(to - from, SHORTEST_S), this.last - this.first);
    if (from === -Infinity) from = this.first;
    if (from + length > this.last) from = this.last - length;
    this.from = Math.max(this.first, from);
    this.to = this.from + length;
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  draw() {
    const names = DETAIL.flatMap(({ series }) => series.map(([name]) => name));
    const pixels = this.charts[0].plot.bbox.width / devicePixelRatio || 800;
    const [xs, ys] = this.rows.slice(names, this.from, this.to, pixels);
    const values = Object.fromEntries(names.map((name, i) => [name, ys[i]]));
    for (const chart of this.charts) chart.show(xs, values, this.from, this.to);
    by("range").textContent = `${when(this.from)} to ${when(this.to)}, ${duration(Math.round(this.to - this.from))}`;
    for (const [button, days] of this.buttons)
      button.className = (days === Infinity ? this.whole()
        : Math.abs(this.to - this.from - days * 86400) < 1) ? "on" : "";
    document.body.dataset.points = xs.length;
  }

  tables() {
    const { extremes, cells, gaps, events } = this.battery;
    this.table("Time at extremes", ["", "hours", "share"],
      extremes.map(([what, hours, percent]) => [what, hours, `${percent} %`]));
    this.table("Cells", ["cell", "is lowest", "is highest"],
      cells.map(([cell, low, high]) => [cell, `${low} %`, `${high} %`]));
    this.table("Gaps, longest first", ["from", "without data for"],
      gaps.map(([at, s]) => [when(at), duration(s)]), gaps.map(([at]) => at));
    this.table("Events, newest first", ["time", "event"],
      events.map(([at, words, a, b]) => [when(at), a || b ? `${words} (${a}${b ? ", " + b : ""})` : words]),
      events.map(([at]) => at));
  }

  table(title, heads, lines, times) {
    const div = element(by("tables"), "div");
    div.className = "table";
    element(div, "h3", title);
    if (!lines.length) return element(div, "small", "none");
    const table = element(div, "table"), head = element(table, "tr");
    for (const words of heads) element(head, "th", words);
    lines.forEach((cells, i) => {
      const row = element(table, "tr");
      for (const words of cells) element(row, "td", words);
      if (!times) return;
      row.dataset.at = times[i];
      row.onclick = () => this.range(times[i] - 43200, times[i] + 43200);
    });
  }

  resize() {
    for (const { div, plot } of [...this.charts, ...this.counts])
      plot.setSize({ width: Math.max(240, div.clientWidth - 12), height: 170 });
    this.draw();
  }
}

let page;

async function open(battery, button) {
  for (const other of by("batteries").children) other.className = other === button ? "on" : "";
  battery.rows ??= await Rows.of(battery.columns, battery.summary.first);
  page = new Page(battery, battery.rows);
}

for (const battery of DATA.batteries) {
  const button = element(by("batteries"), "button", battery.name);
  button.onclick = () => open(battery, button);
}
document.title = `batmon: ${DATA.batteries.map(({ name }) => name).join(", ")}`;
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width || !page) return;  // phones resize in height while scrolling
  width = innerWidth;
  page.resize();
});
open(DATA.batteries[0], by("batteries").firstChild).then(() => {
  document.body.dataset.ready = Math.round(performance.now());
});
