// Charts of rows, all showing the same range, and charts of what was counted per day or month.
const HEIGHT = 170;
// What an axis may step by, in seconds, below a day; labels are then counted in these.
const STEPS_S = [1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200];
const LABELS = [4, 6];

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// Every one of `all`, or every second, third ..., so that at most six are left.
function thinned(all) {
  const step = Math.ceil(all.length / LABELS[1]);
  return all.filter((_, i) => i % step === 0);
}

// The times to label from `from` to `to`: four to six of one kind, in local time.
function timeTicks(from, to, zone) {
  const first = zone.day(from), last = zone.day(to);
  const years = [], months = [], days = [];
  if (to - from > 3 * DAY_S) {
    for (let day = first; day <= last + 1;) {
      const [n, begin, next] = zone.month(day), t = zone.begin(begin);
      if (t >= from && t <= to) { months.push(t); if (n % 12 === 0) years.push(t); }
      day = next;
    }
    if (zone.clock && years.length >= LABELS[0]) return { unit: "year", at: thinned(years) };
    if (zone.clock && months.length >= LABELS[0]) return { unit: "month", at: thinned(months) };
    for (let day = first; day <= last; day++) {
      const t = zone.begin(day);
      if (t >= from && t <= to) days.push(t);
    }
    const mondays = days.filter((t) => zone.monday(zone.day(t)) === zone.day(t));
    if (zone.clock && mondays.length >= LABELS[0]) return { unit: "day", at: thinned(mondays) };
    if (days.length >= LABELS[0]) return { unit: "day", at: thinned(days) };
  }
  for (const step of STEPS_S.slice().reverse()) {
    const ahead = zone.offset(from), at = [];
    if ((to - from) / step > 60) break;
    for (let t = Math.ceil((from + ahead) / step) * step - ahead; t <= to; t += step) at.push(t);
    if (at.length >= LABELS[0]) return { unit: step < 60 ? "second" : "minute", at: thinned(at) };
  }
  return { unit: "second", at: [from, to] };
}

// The words of a label; a date stands where it begins, and at the first label if the next has the same.
function timeWords(unit, t, before, after, zone) {
  const iso = zone.iso(t), differs = (other, n) => zone.iso(other).slice(0, n) !== iso.slice(0, n);
  const new_ = (n) => before === null || differs(before, n);
  const year = iso.slice(0, 4), day = `${Number(iso.slice(8, 10))} ${MONTHS[Number(iso.slice(5, 7)) - 1]}`;
  if (!zone.clock) {
    const on = zone.date(t);
    return unit === "day" || unit === "month" ? on : iso.slice(11, unit === "second" ? 19 : 16) + (new_(10) ? `\n${on}` : "");
  }
  const dated = before === null ? after === null || !differs(after, 10) : new_(10);
  if (unit === "year") return year;
  if (unit === "month") return MONTHS[Number(iso.slice(5, 7)) - 1] + (new_(4) ? `\n${year}` : "");
  if (unit === "day") return day + (new_(4) ? `\n${year}` : "");
  return iso.slice(11, unit === "second" ? 19 : 16) + (dated ? `\n${day}` : "");
}

// Round numbers to label, four to six of them, the first and last not within the values.
function valueTicks(low, high) {
  const power = 10 ** Math.floor(Math.log10((high - low) / 10));
  for (const step of [1, 2, 2.5, 5, 10, 20, 25, 50, 100].map((x) => x * power)) {
    const first = Math.floor(low / step + 1e-6), last = Math.ceil(high / step - 1e-6);
    if (last - first < LABELS[1])
      return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
  }
  return [low, high];
}

function axes(zone) {
  const axis = { stroke: () => ink("soft"), grid: { stroke: () => ink("line") }, ticks: { stroke: () => ink("line") } };
  return [
    { ...axis, splits: (u, k, low, high) => { u.ticks = timeTicks(low, high, zone); return u.ticks.at; },
      values: (u, at) => at.map((t, i) => timeWords(u.ticks.unit, t, at[i - 1] ?? null, at[i + 1] ?? null, zone)) },
    { ...axis, size: 54, splits: (u, k, low, high) => valueTicks(low, high),
      values: (u, at) => {
        const digits = Math.max(...at.map((value) => (String(value).split(".")[1] ?? "").length));
        return at.map((value) => value.toFixed(digits).replace("-", "−"));
      } },
  ];
}

// A line from value to value that ends where the data end; uPlot's own would blank a gap up to its
// neighbours. step: values are no line; -1: they hold since the row before, 1: until the next.
function trace(step) {
  return (u, series, first, last) => {
    const path = new Path2D(), [xs] = u.data, ys = u.data[series];
    let y0 = null, x0 = null;
    for (let i = first; i <= last; i++) {
      if (ys[i] == null) { y0 = null; continue; }
      const x = u.valToPos(xs[i], "x", true), y = u.valToPos(ys[i], "y", true);
      if (y0 === null) {  // a row between two gaps is a dot
        path.moveTo(x - devicePixelRatio, y);
        path.lineTo(x, y);
      } else if (step === 1) path.lineTo(x, y0);
      else if (step === -1) path.lineTo(x0, y);
      if (y0 !== null) path.lineTo(x, y);
      x0 = x;
      y0 = y;
    }
    return { stroke: path, fill: null, clip: null, band: null, gaps: null, flags: 1 };
  };
}

// Bars that fill their days, from zero or from the series before (`floating`).
function bars(ends, floating) {
  return (u, series, first, last) => {
    const path = new Path2D(), [xs] = u.data, ys = u.data[series];
    for (let i = first; i <= last; i++) {
      if (ys[i] == null) continue;
      const x = u.valToPos(xs[i], "x", true), width = u.valToPos(ends[i], "x", true) - x;
      const from = u.valToPos(floating ? u.data[series - 1][i] : 0, "y", true), to = u.valToPos(ys[i], "y", true);
      const space = width > 6 * devicePixelRatio ? devicePixelRatio : 0;
      path.rect(x + space / 2, Math.min(from, to), width - space, Math.max(Math.abs(to - from), floating ? devicePixelRatio : 0));
    }
    return { stroke: null, fill: path, clip: null, band: null, gaps: null, flags: 1 };
  };
}

function box(parent, title, series) {
  const div = parent.appendChild(document.createElement("div"));
  div.className = "chart";
  const head = div.appendChild(document.createElement("h3"));
  head.textContent = title;
  if (series.length > 1)
    for (const [label, color] of series) {
      const key = head.appendChild(document.createElement("span"));
      key.textContent = label;
      key.style.setProperty("--key", `var(--${color})`);
    }
  return div;
}

function plotWidth(div) {
  return Math.max(240, div.clientWidth - 12);
}

function reading(unit, digits) {
  return (u, value) => (value == null ? "–" : `${value.toFixed(digits).replace("-", "−")} ${unit}`);
}

// The range of a value axis, which ends at labels.
function room(low, high, zero) {
  if (low == null) return [0, 1];
  if (zero) [low, high] = [Math.min(0, low), Math.max(0, high)];
  const space = high > low ? 0 : Math.abs(high) * 0.02 || 1;
  const ticks = valueTicks(low - space, high + space);
  return [ticks[0], ticks[ticks.length - 1]];
}

// One chart of rows. A series is [name of the column, label].
class RowChart {
  constructor(parent, { title, unit, digits, series, colors, step, zero, range }, zone, onRange, onTouch) {
    this.names = series.map(([name]) => name);
    colors ??= series.length > 1 ? ["second", "first"] : ["first"];
    this.div = box(parent, `${title}, ${unit}`, series.map(([, label], i) => [label, colors[i]]));
    this.plot = new uPlot({
      width: plotWidth(this.div), height: HEIGHT,
      cursor: { sync: { key: "rows" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      scales: { x: { time: false }, y: { range: range ?? ((u, low, high) => room(low, high, zero)) } },
      axes: axes(zone),
      series: [{ label: "time", value: (u, t) => (t == null ? "–" : zone.time(t, true)) }, ...series.map(([, label], i) => ({
        label, stroke: () => ink(colors[i]), width: 1.2, points: { show: false },
        value: reading(unit, digits), paths: trace(step),
      }))],
      hooks: { setSelect: [(u) => {
        if (u.select.width > 4)
          onRange(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
      }] },
    }, [[], ...series.map(() => [])], this.div);
    this.plot.over.addEventListener("dblclick", () => onRange(-Infinity, Infinity));
    onTouch(this.plot);
  }

  show(xs, values, from, to) {
    this.plot.setData([xs, ...this.names.map((name) => values[name])], false);
    this.plot.batch(() => {
      this.plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      this.plot.setScale("x", { min: from, max: to });
    });
  }
}

// A chart of few values, each from its `time` to its `end`: bars, floating bars from the first
// series to the second, or a line. A series is [label, values, color]. onPick gets what was chosen.
function countChart(parent, { title, unit, digits, time, end, series, kind, range }, zone, onPick) {
  const keys = kind === "floating" ? [] : series.map(([label, , color]) => [label, color]);
  const div = box(parent, `${title}, ${unit}`, keys);
  const name = (t) => (kind === "line" ? zone.iso(t).slice(0, 7) : zone.date(t));
  const xs = kind === "line" ? time.map((t, i) => (t + end[i]) / 2) : time;
  const style = (color, i) => kind === "line"
    ? { stroke: () => ink(color), width: 1.6, paths: trace(0), points: { show: true, size: 5, fill: () => ink(color) } }
    : kind === "floating" && !i ? { paths: () => null, points: { show: false } }
    : { fill: () => ink(color), width: 0, points: { show: false }, paths: bars(end, kind === "floating") };
  const plot = new uPlot({
    width: plotWidth(div), height: HEIGHT,
    cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: "counts" }, points: { size: 6 } },
    scales: { x: { time: false, range: () => [time[0], end[end.length - 1]] },
      y: { range: range ?? ((u, low, high) => room(low, high, kind === "bars")) } },
    axes: axes(zone),
    series: [{ label: kind === "line" ? "month" : "day", value: (u, t) => (t == null ? "–" : name(t)) },
      ...series.map(([label, , color], i) => ({ label, value: reading(unit, digits), ...style(color, i) }))],
    hooks: { setSelect: [(u) => {
      if (!onPick || u.select.width < 4) return;
      onPick(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
      u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    }] },
  }, [xs, ...series.map(([, values]) => values)], div);
  if (onPick) plot.over.addEventListener("click", () => {
    const t = plot.posToVal(plot.cursor.left, "x"), i = time.findLastIndex((begin) => begin <= t);
    if (i >= 0) onPick(time[i], end[i]);
  });
  return { plot, div };
}

// Fingers: one moves, two zoom.
function touchable(plot, range, onRange) {
  const fingers = new Map();
  let start = null;
  const over = plot.over;
  function begin() {
    const xs = [...fingers.values()];
    start = { xs, range: range(), width: over.clientWidth };
  }
  over.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") return;
    fingers.set(event.pointerId, event.clientX);
    begin();
  });
  over.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, event.clientX);
    const [a0, b0] = start.xs, [a1, b1] = [...fingers.values()];
    const [from, to] = start.range, left = over.getBoundingClientRect().left;
    const time = (x) => from + ((x - left) / start.width) * (to - from);
    if (b0 === undefined) {
      onRange(from - time(a1) + time(a0), to - time(a1) + time(a0));
    } else if (Math.abs(b1 - a1) > 10) {
      const scale = Math.abs(b0 - a0) / Math.abs(b1 - a1);
      const middle = time((a0 + b0) / 2), now = (a1 + b1) / 2 - left;
      const length = (to - from) * scale;
      onRange(middle - (now / start.width) * length, middle + (1 - now / start.width) * length);
    }
  });
  for (const name of ["pointerup", "pointercancel"])
    over.addEventListener(name, (event) => {
      if (fingers.delete(event.pointerId)) begin();
    });
}
