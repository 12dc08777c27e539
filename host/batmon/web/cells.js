// How far a battery's cells are apart where they can be compared, and which one it is.
"use strict";

// Cells can be compared at rest (less than a fiftieth of the capacity flows, or of the largest
// current) in the flat middle, when full and when nearly empty.
const REST_OF_CAPACITY = 1 / 50, REST_LEAST_A = 0.5, REST_SOC = [40, 80], TOP_SOC = 98, BOTTOM_SOC = 15;

// Where cells can be compared: how far they are apart, and which is lowest and highest.
function cells(rows, found, count, several) {
  const { time, begins } = rows, { current, soc, low, high, lowCell, highCell } = rows.values;
  const ah = capacityAt(found);
  let most = 0;
  for (let i = 0; i < rows.length; i++) {
    if (Math.abs(current[i]) > most) most = Math.abs(current[i]);
    if (lowCell[i] < 255 && lowCell[i] > count) count = lowCell[i];
    if (highCell[i] < 255 && highCell[i] > count) count = highCell[i];
  }
  const rest = ah !== null ? ah * REST_OF_CAPACITY : Math.max(REST_LEAST_A, most * REST_OF_CAPACITY);
  const places = {};
  for (const name of ["rest", "top", "bottom"])
    places[name] = { seconds: 0, recent: new Map(), months: found.months.map(() => new Map()),
      moments: new Float64Array(found.months.length),  // sum of each time by how long
      low: new Float64Array(count), high: new Float64Array(count) };
  const share = { low: new Float64Array(count), high: new Float64Array(count) };
  const since = found.last - RECENT_S, month = monthOf(found.months);
  for (let i = 1; i < rows.length; i++) {
    const spread = high[i] - low[i], s = time[i] - time[i - 1];
    if (begins[i] || spread !== spread) continue;
    if (lowCell[i] < 255) share.low[lowCell[i] - 1] += s;
    if (highCell[i] < 255) share.high[highCell[i] - 1] += s;
    const name = soc[i] >= TOP_SOC ? "top" : soc[i] <= BOTTOM_SOC ? "bottom"
      : Math.abs(current[i]) <= rest && Math.abs(current[i - 1]) <= rest && soc[i] >= REST_SOC[0] && soc[i] <= REST_SOC[1]
        ? "rest" : null;
    if (name === null) continue;
    const place = places[name];
    place.seconds += s;
    const m = month(time[i]);
    add(place.months[m], spread, s);
    place.moments[m] += (time[i] - s / 2 - found.first) * s;
    if (time[i] >= since) add(place.recent, spread, s);
    if (lowCell[i] < 255) place.low[lowCell[i] - 1] += s;
    if (highCell[i] < 255) place.high[highCell[i] - 1] += s;
  }
  // with more than 16 cells a frame may not tell which of two or three it is
  const names = Array.from({ length: count }, (_, i) => several[i + 1] ?? String(i + 1));
  const result = { count, list: [] };
  for (const name of ["rest", "top", "bottom"]) {
    const place = places[name];
    const monthly = place.months.map(weighted);
    if (name !== "bottom") monthly.forEach((mv, i) => { found.months[i][`${name}_mv`] = mv; });
    // a month's figure is of when cells could be compared in it, which may be at one end of it
    const known = monthly.flatMap((mv, i) =>
      (mv === null ? [] : [[place.moments[i] / lasted(place.months[i]), mv]]));
    const long = known.length > 2 && known[known.length - 1][0] - known[0][0] > 75 * DAY_S;
    result[name] = { hours: place.seconds / 3600, mv: weighted(place.recent),
      months: monthly, ever_mv: known.length ? known[known.length - 1][1] : null,
      per_year_mv: long ? slope(known) * 365.25 * DAY_S : null,
      lowest: mostly(place.low, names), highest: mostly(place.high, names) };
  }
  const percent = (seconds, i) => {
    const all = seconds.reduce((a, b) => a + b, 0);
    return all ? 100 * seconds[i] / all : null;
  };
  for (let i = 0; i < count; i++)
    if (!covered(names, i)) result.list.push([names[i], percent(share.low, i), percent(share.high, i),
      percent(places.top.high, i), percent(places.bottom.low, i)]);
  return result;
}

// Is this cell one of the several that an earlier name stands for?
function covered(names, i) {
  return names.slice(0, i).some((name) => Number(name.split(" ").pop()) > i);
}

function add(map, key, value) {
  map.set(key, (map.get(key) ?? 0) + value);
}

function lasted(spent) {
  return [...spent.values()].reduce((sum, s) => sum + s, 0);
}

// The mean of values by how long each was, without those far from the middle half: a millivolt, to
// which cells are told, and 1.5 times its width beyond it. Within that all count alike, so that
// values told in whole millivolts have the mean of the true ones.
function weighted(spent) {
  const sorted = [...spent].sort(([a], [b]) => a - b), all = lasted(spent);
  const at = (part) => {
    let passed = 0;
    return sorted.find(([, s]) => (passed += s) >= part * all)?.[0];
  };
  const low = at(1 / 4), high = at(3 / 4), beyond = 1 + 1.5 * (high - low);
  let seconds = 0, sum = 0;
  for (const [value, s] of sorted)
    if (value >= low - beyond && value <= high + beyond) { seconds += s; sum += value * s; }
  return seconds ? sum / seconds : null;
}

function mostly(seconds, names) {  // the cell that it is most of the time, and its share
  const all = seconds.reduce((a, b) => a + b, 0), most = Math.max(0, ...seconds);
  return most ? { cell: names[seconds.indexOf(most)], percent: 100 * most / all } : null;
}
