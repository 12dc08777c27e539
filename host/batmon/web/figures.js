// What a battery did, in figures: per day and month, and in all. Knows rows and local time, no page.
"use strict";

// A swing of SoC wide enough to tell the capacity from. Each counts by its width squared, as its
// ends are equally unsure; a month needs as much as one swing of 50 % is worth, a short log of 25.
const SWING_LEAST = 10, MONTH_LEAST = 50, LOG_LEAST = 25;
// Turning back by less is no new swing; near full and empty SoC is set by voltage, not counted.
const SWING_TURN = 5, SOC_COUNTED = [3, 97];
// A larger step of SoC from row to row is the BMS correcting itself.
const SOC_JUMP = 3;
// A current step as good as a test: within two polls, and large; its mean has to be this sure.
const STEP_S = 12, STEP_OF_MAX = 0.1, STEP_LEAST_A = 2, STEPS_LEAST = 5, STEP_ERROR = 0.05;
const GAP_LISTED_S = 600;
const RECENT_S = 30 * DAY_S;
const CYCLES_LEAST = 3;
const FULL_SOC = 99, LOW_SOC = 20;
const COLD_C = 0, HOT_C = 45, CELL_HIGH_MV = 3600, CELL_LOW_MV = 2800;

function figures(rows, zone, cellCount = 0, several = {}) {
  const found = {
    first: rows.time[0], last: rows.time[rows.length - 1], frames: rows.length,
    measured_s: 0, in_ah: 0, out_ah: 0, in_wh: 0, out_wh: 0,
  };
  found.days = perDay(rows, zone);
  for (const day of found.days)
    for (const name of ["measured_s", "in_ah", "out_ah", "in_wh", "out_wh"]) found[name] += day[name];
  found.months = perMonth(found.days, zone);
  capacity(found, swings(rows));
  found.cycles = cycles(rows);
  found.returned = returned(rows, found);
  found.use = use(found);
  found.now = now(rows, found);
  resistance(rows, found);
  found.cells = cells(rows, found, cellCount, several);
  found.moments = moments(rows, found);
  found.gaps = gaps(rows);
  return found;
}

function capacityAt(found) {
  return found.capacity.ah ?? null;
}

// Charge, energy and extremes of each local day that has rows; what lasts past midnight is split.
function perDay(rows, zone) {
  const { time, begins } = rows, { current, voltage, soc, temperature } = rows.values;
  const days = [];
  let day = null;
  const at = (t) => {
    if (day && t >= day.begin && t < day.end) return;
    const n = zone.day(t);
    day = { day: n, begin: zone.begin(n), end: zone.begin(n + 1), measured_s: 0, in_ah: 0, out_ah: 0,
      in_wh: 0, out_wh: 0, soc_low: null, soc_high: null, t_low: null, t_high: null };
    days.push(day);
  };
  for (let i = 0; i < rows.length; i++) {
    if (!begins[i] && current[i] === current[i]) {
      for (let from = time[i - 1]; from < time[i];) {
        at(from);
        const to = Math.min(time[i], day.end);
        const ah = current[i] * (to - from) / 3600;
        const volts = (voltage[i - 1] + voltage[i]) / 2;
        day.measured_s += to - from;
        if (ah > 0) day.in_ah += ah; else day.out_ah -= ah;
        if (volts === volts) { if (ah > 0) day.in_wh += ah * volts; else day.out_wh -= ah * volts; }
        from = to;
      }
    }
    at(time[i]);
    // a million times: no names are put together, and NaN is neither less nor more
    const percent = soc[i], degrees = temperature[i];
    if (!(percent >= day.soc_low) || day.soc_low === null) widen(day, "soc", percent);
    else if (percent > day.soc_high) day.soc_high = percent;
    if (!(degrees >= day.t_low) || day.t_low === null) widen(day, "t", degrees);
    else if (degrees > day.t_high) day.t_high = degrees;
  }
  return days;
}

function widen(into, name, value) {
  if (value === null || value !== value) return;
  const low = `${name}_low`, high = `${name}_high`;
  if (into[low] === null || value < into[low]) into[low] = value;
  if (into[high] === null || value > into[high]) into[high] = value;
}

// All months from the first to the last, those without rows too.
function perMonth(days, zone) {
  const months = [];
  for (const day of days) {
    const [n, first, next] = zone.month(day.day);
    while (!months.length || months[months.length - 1].n < n) {
      const k = months.length ? months[months.length - 1].n + 1 : n;
      const [, from, to] = k === n ? [n, first, next] : zone.month(months[months.length - 1].next);
      months.push({ n: k, name: zone.monthName(k), next: to, begin: zone.begin(from), end: zone.begin(to),
        measured_s: 0, in_ah: 0, out_ah: 0, in_wh: 0, out_wh: 0, soc_low: null, soc_high: null,
        t_low: null, t_high: null, capacity_ah: null, resistance_mohm: null,
        rest_mv: null, top_mv: null });
    }
    const month = months[months.length - 1];
    for (const name of ["measured_s", "in_ah", "out_ah", "in_wh", "out_wh"]) month[name] += day[name];
    for (const name of ["soc", "t"])
      for (const end of ["low", "high"]) widen(month, name, day[`${name}_${end}`]);
  }
  return months;
}

// Returns which month a time is in; for times that grow.
function monthOf(months) {
  let i = 0;
  return (t) => {
    while (i < months.length - 1 && t >= months[i].end) i++;
    while (i > 0 && t < months[i].begin) i--;
    return i;
  };
}

// Wide swings of SoC without gap or jump: [middle, change of SoC in percent, net charge in Ah].
// Both ends lie where SoC steps, the same way: how a BMS rounds then does not matter.
function swings(rows) {
  const { time, begins } = rows, { current, soc } = rows.values;
  const found = [];
  let charge = 0, last = NaN, rise = null, fall = null;
  const start = (t, value) => ({ t0: t, soc0: value, q0: charge, t1: t, soc1: value, q1: charge });
  const close = (swing, way) => {
    if (swing && way * (swing.soc1 - swing.soc0) >= SWING_LEAST)
      found.push([(swing.t0 + swing.t1) / 2, swing.soc1 - swing.soc0, swing.q1 - swing.q0]);
  };
  // a swing goes on with each step its own way, and ends when SoC has turned back for good
  const step = (swing, way, value, t) => {
    if (swing && way * (swing.soc1 - value) > SWING_TURN) { close(swing, way); swing = null; }
    if (way * (value - last) <= 0) return swing;
    if (!swing || way * (value - swing.soc0) < 0) return start(t, value);
    if (way * (value - swing.soc1) > 0) Object.assign(swing, { t1: t, soc1: value, q1: charge });
    return swing;
  };
  const end = () => {
    close(rise, 1);
    close(fall, -1);
    rise = fall = null;
  };
  for (let i = 0; i < rows.length; i++) {
    const value = soc[i];
    if (begins[i] || current[i] !== current[i] || Math.abs(value - last) > SOC_JUMP) {
      end();
      last = value;
      continue;
    }
    charge += current[i] * (time[i] - time[i - 1]) / 3600;
    if (value !== value || value === last) continue;
    if (last !== last) { last = value; continue; }
    if (value < SOC_COUNTED[0] || value > SOC_COUNTED[1]) end();
    else {
      rise = step(rise, 1, value, time[i]);
      fall = step(fall, -1, value, time[i]);
    }
    last = value;
  }
  end();
  return found;
}

function capacity(found, swings) {
  const { months } = found;
  const sums = months.map(() => [0, 0]), month = monthOf(months);
  for (const [t, percent, ah] of swings) {
    const sum = sums[month(t)];
    if (ah / percent <= 0) continue;  // against the sign: a sensor the wrong way round
    sum[0] += percent * percent;
    sum[1] += percent * ah;
  }
  sums.forEach(([weight, ah], i) => {
    if (weight >= MONTH_LEAST ** 2) months[i].capacity_ah = ah / weight * 100;
  });
  const [weight, ah] = sums.reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0]);
  const known = months.filter(({ capacity_ah }) => capacity_ah !== null);
  found.capacity = { ah: null, swings: swings.length, per_year_percent: null, month: null };
  if (known.length) {
    const newest = known[known.length - 1];
    Object.assign(found.capacity, { ah: newest.capacity_ah, month: newest.name });
    const year = 365.25 * DAY_S, trend = slope(known.map((m) => [(m.begin + m.end) / 2, m.capacity_ah]));
    if (known.length > 2 && newest.end - known[0].begin > 90 * DAY_S)
      found.capacity.per_year_percent = 100 * trend * year / known[0].capacity_ah;
  } else if (weight >= LOG_LEAST ** 2) Object.assign(found.capacity, { ah: ah / weight * 100 });
}

// Median of the slopes of all pairs: one odd month does not turn it.
function slope(points) {
  const slopes = [];
  points.forEach(([x0, y0], i) => {
    for (const [x1, y1] of points.slice(i + 1)) slopes.push((y1 - y0) / (x1 - x0));
  });
  return median(slopes);
}

function median(values) {
  if (!values.length) return null;
  const sorted = values.slice().sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Full cycles: the sum of all falls of SoC, without its noise of 1 %, by 100 %.
function cycles(rows) {
  const { soc } = rows.values;
  let total = 0, high = NaN, low = NaN;
  for (let i = 0; i < rows.length; i++) {
    const value = soc[i];
    if (value !== value) continue;
    if (high !== high) high = low = value;
    else if (value > low + 1) { total += high - low; high = low = value; }
    else if (value > high) high = low = value;
    if (value < low) low = value;
  }
  return high === high ? (total + high - low) / 100 : 0;
}

// The part of the energy charged that came out again; what SoC says is still in it is no loss.
function returned(rows, found) {
  if (found.cycles < CYCLES_LEAST)
    return { percent: null, why: `told from ${CYCLES_LEAST} full cycles on, so far ${Number(found.cycles.toFixed(1))}` };
  const ah = capacityAt(found);
  if (ah === null) return { percent: null, why: "the capacity is not known" };
  const { begins } = rows, { soc, voltage } = rows.values;
  let stored = 0, first = NaN, last = NaN, volts = 0, n = 0;
  const end = () => { if (last === last) stored += last - first; first = last = NaN; };
  for (let i = 0; i < rows.length; i++) {
    if (begins[i]) end();
    if (soc[i] === soc[i]) { if (first !== first) first = soc[i]; last = soc[i]; }
    if (voltage[i] === voltage[i]) { volts += voltage[i]; n++; }
  }
  end();
  const stored_wh = stored / 100 * ah * (volts / n), net = found.in_wh - stored_wh;
  return { percent: net > 0 ? 100 * found.out_wh / net : null, stored_wh, why: net > 0 ? "" : "nothing was charged" };
}

// What is taken out in a day, of the newest 30 days that were measured.
function use(found) {
  let seconds = 0, ah = 0, wh = 0, days = 0;
  for (const day of found.days.slice().reverse()) {
    if (found.last - day.end > RECENT_S && seconds >= DAY_S) break;
    seconds += day.measured_s;
    ah += day.out_ah;
    wh += day.out_wh;
    days++;
  }
  if (seconds < DAY_S * 0.9) return { ah_per_day: null, wh_per_day: null, days: 0 };
  return { ah_per_day: ah / seconds * DAY_S, wh_per_day: wh / seconds * DAY_S, days: seconds / DAY_S };
}

function now(rows, found) {
  const last = (name) => {
    const values = rows.values[name];
    for (let i = rows.length - 1; i >= 0; i--) if (values[i] === values[i]) return values[i];
    return null;
  };
  const soc = last("soc"), ah = capacityAt(found), use = found.use.ah_per_day;
  return { soc, voltage: last("voltage"), current: last("current"), temperature: last("temperature"),
    lasts_days: soc !== null && ah !== null && use > 0 ? soc / 100 * ah / use : null };
}

// The pack's resistance per month, from steps of current: two rows of one run at most 12 s apart
// with very different currents; the second row's current is then that of its moment.
function resistance(rows, found) {
  const { time, begins } = rows, { current, voltage } = rows.values;
  let most = 0, close = 0, large = 0;
  for (let i = 0; i < rows.length; i++) if (Math.abs(current[i]) > most) most = Math.abs(current[i]);
  const least = Math.max(STEP_LEAST_A, most * STEP_OF_MAX);
  const sums = found.months.map(() => ({ n: 0, ii: 0, iv: 0, vv: 0 })), month = monthOf(found.months);
  for (let i = 1; i < rows.length; i++) {
    if (begins[i] || time[i] - time[i - 1] > STEP_S) continue;
    close++;
    const di = current[i] - current[i - 1], dv = voltage[i] - voltage[i - 1];
    if (!(Math.abs(di) >= least) || dv !== dv || Math.abs(dv / di) > 1) continue;
    large++;
    const sum = sums[month(time[i])];
    sum.n++;
    sum.ii += di * di;
    sum.iv += di * dv;
    sum.vv += dv * dv;
  }
  let newest = null, unsure = 0;
  sums.forEach(({ n, ii, iv, vv }, i) => {
    if (n < STEPS_LEAST) return;
    const ohm = iv / ii, error = Math.sqrt(Math.max(0, vv - iv * ohm) / (n - 1) / ii);
    if (ohm > 0 && error < STEP_ERROR * ohm) newest = found.months[i].resistance_mohm = 1000 * ohm;
    else unsure++;
  });
  found.resistance = { mohm: newest, why: newest !== null ? ""
    : !close ? "rows are never 12 s or less apart, as they are where the current steps and the BMS is polled often"
    : large < STEPS_LEAST ? `there are ${plural(large, "step")} of ${least.toFixed(0)} A or more within 12 s; it takes ${STEPS_LEAST} in a month`
    : unsure ? "the voltage moves too little at the steps to tell it within 5 %"
    : `no month has ${STEPS_LEAST} steps` };
}

// When it last was full and low, and how long and when last beyond limits.
function moments(rows, found) {
  const { time, begins } = rows, { soc, temperature, current, low, high } = rows.values;
  const flow = Math.max(0.5, (capacityAt(found) ?? 0) / 200);
  const kinds = {
    full: (i) => soc[i] >= FULL_SOC, low: (i) => soc[i] < LOW_SOC,
    cold: (i) => temperature[i] <= COLD_C, cold_charge: (i) => temperature[i] <= COLD_C && current[i] > flow,
    hot: (i) => temperature[i] >= HOT_C,
    cell_high: (i) => high[i] >= CELL_HIGH_MV, cell_low: (i) => low[i] <= CELL_LOW_MV,
  };
  const result = { has_soc: false, has_temperature: false, has_cells: false };
  for (const name in kinds) {
    const is = kinds[name];
    let seconds = 0, last = null;
    for (let i = 0; i < rows.length; i++)
      if (is(i)) { last = time[i]; if (!begins[i]) seconds += time[i] - time[i - 1]; }
    result[name] = { seconds, last };
  }
  result.has_soc = soc.some((x) => x === x);
  result.has_temperature = temperature.some((x) => x === x);
  result.has_cells = low.some((x) => x === x);
  return result;
}

// Times without rows of ten minutes and more, longest first, and all of them together.
function gaps(rows) {
  const { time, begins } = rows, list = [];
  for (let i = 1; i < rows.length; i++)
    if (begins[i] && time[i] - time[i - 1] >= GAP_LISTED_S) list.push([time[i - 1], time[i] - time[i - 1]]);
  list.sort(([, a], [, b]) => b - a);
  return { sum_s: list.reduce((sum, [, s]) => sum + s, 0), count: list.length, list };
}
