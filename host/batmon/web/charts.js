// Charts of rows, all showing the same range, and charts of what was counted per day or week.
const COLORS = ["#1769aa", "#d1495b", "#2e8b57", "#8a5ea8"];

function zoned(tz) {
  return (t) => uPlot.tzDate(new Date(t * 1e3), tz);
}

// Smallest step of the axis, its words, and what stands below them where a new year or day begins.
const TICKS = [
  [31536000, "{YYYY}", null, null, null, null, null, null, 1],
  [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
];

function axes() {
  const axis = { stroke: "#5d6b7a", grid: { stroke: "#e6ebf0" }, ticks: { stroke: "#e6ebf0" } };
  return [{ ...axis, space: 70, values: TICKS }, { ...axis, size: 58 }];
}

function box(parent, title) {
  const div = parent.appendChild(document.createElement("div"));
  div.className = "chart";
  div.appendChild(document.createElement("h3")).textContent = title;
  return div;
}

function reading(unit, digits) {
  return (u, value) => (value == null ? "–" : value.toFixed(digits) + " " + unit);
}

// One chart of rows. A series is [name of the column, label]. step: values are no line; -1: they
// hold since the row before, 1: until the next.
class RowChart {
  constructor(parent, { title, unit, digits, series, step, zero }, tz, onRange, onTouch) {
    this.names = series.map(([name]) => name);
    this.div = box(parent, `${title}, ${unit}`);
    this.plot = new uPlot({
      width: this.width(), height: 170, tzDate: zoned(tz),
      cursor: { sync: { key: "rows" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      scales: {
        x: { time: true },
        y: { range: (u, low, high) => {
          if (low == null) return [0, 1];
          if (zero) [low, high] = [Math.min(0, low), Math.max(0, high)];
          const room = (high - low || Math.abs(high) || 1) * 0.06;
          return [zero && low === 0 ? 0 : low - room, high + room];
        } },
      },
      axes: axes(),
      series: [{ value: "{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}" }, ...series.map(([, label], i) => ({
        label, stroke: COLORS[i], width: 1.2, points: { show: false }, spanGaps: false,
        value: reading(unit, digits),
        ...(step ? { paths: uPlot.paths.stepped({ align: step }) } : {}),
      }))],
      hooks: { setSelect: [(u) => {
        if (u.select.width > 4)
          onRange(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
      }] },
    }, [[], ...series.map(() => [])], this.div);
    this.plot.over.addEventListener("dblclick", () => onRange(-Infinity, Infinity));
    onTouch(this.plot);
  }

  width() {
    return Math.max(240, this.div.clientWidth - 12);
  }

  show(xs, values, from, to) {
    this.plot.setData([xs, ...this.names.map((name) => values[name])], false);
    this.plot.batch(() => {
      this.plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      this.plot.setScale("x", { min: from, max: to });
    });
  }
}

// A chart of few points: bars side by side, or lines. onPick gets the range that was chosen.
function countChart(parent, { title, unit, digits, time, series, bars }, tz, onPick) {
  const div = box(parent, `${title}, ${unit}`);
  const step = time.length > 1 ? Math.min(...time.slice(1).map((t, i) => t - time[i])) : 86400;
  const plot = new uPlot({
    width: Math.max(240, div.clientWidth - 12), height: 170, tzDate: zoned(tz),
    cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: "counts" } },
    scales: { x: { range: (u, low, high) => [low - step / 2, high + step * 1.5] } },
    axes: axes(),
    series: [{ value: "{YYYY}-{MM}-{DD}" }, ...series.map(([label, , color], i) => ({
      label, stroke: COLORS[color ?? i], width: bars ? 0 : 1.5, value: reading(unit, digits),
      points: { show: !bars && time.length < 80, size: 4 }, spanGaps: true,
      ...(bars ? { fill: COLORS[color ?? i] + "c0", paths: uPlot.paths.bars({ size: [0.8, 60], align: 1 }) } : {}),
    }))],
    hooks: { setSelect: [(u) => {
      if (!onPick || u.select.width < 4) return;
      onPick(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
      u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    }] },
  }, [time, ...series.map(([, values]) => values)], div);
  if (onPick) plot.over.addEventListener("click", () => {
    const i = plot.cursor.idx;
    if (i != null && time[i] != null) onPick(time[i], time[i] + 86400);
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
