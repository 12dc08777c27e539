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
    add(place.months[month(time[i])], spread, s);
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
    const known = found.months.flatMap(({ begin, end }, i) =>
      (monthly[i] === null ? [] : [[(begin + end) / 2, monthly[i]]]));
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

// The mean of the middle half of values, by how long each was: as robust as a median, and finer
// than the whole millivolts that cells are told in.
function weighted(spent) {
  const sorted = [...spent].sort(([a], [b]) => a - b);
  const all = sorted.reduce((sum, [, s]) => sum + s, 0);
  let passed = 0, sum = 0;
  for (const [value, s] of sorted) {
    const from = Math.max(passed, all / 4), to = Math.min(passed += s, all * 3 / 4);
    if (to > from) sum += value * (to - from);
  }
  return all ? sum / (all / 2) : null;
}

function mostly(seconds, names) {  // the cell that it is most of the time, and its share
  const all = seconds.reduce((a, b) => a + b, 0), most = Math.max(0, ...seconds);
  return most ? { cell: names[seconds.indexOf(most)], percent: 100 * most / all } : null;
}
