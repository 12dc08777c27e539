// Several batteries as one bank: their rows on one axis, the sums of those that are parallel, and
// how the current splits. Knows rows and figures, no page.
"use strict";

// Parallel packs have one voltage but for their leads, and for what their BMSs are wrong by.
const PARALLEL = 0.015;
// Rows of two packs are of different moments, so that a share is told of what flowed in a quarter of
// an hour, and where that is not less than this part of the most.
const SHARE_S = 900, SHARE_OF_MAX = 0.05;
// A pack that has more or less than its part of the charge by this part of it is marked.
const SPLIT_FINE = 0.25;
// A pack of whose charge more than this part runs against the sum of all may tell the wrong sign.
const AGAINST = 0.4;

// `batteries` as count() gives them, with their names; those without a clock have no common time.
class Bank {
  constructor(batteries) {
    this.parts = batteries.map(({ name, counted: { rows, zone, found } }) => ({ name, rows, zone, found }));
    this.merge();
    this.likely();
    this.sum(this.parallel);
  }

  // Columns of all on the times of all. A current holds since the row before, a charge until the
  // next, a voltage lies on a line between two; where a battery has no data they are NaN, and
  // `covered` is 0 for the interval that ends there.
  merge() {
    const times = this.times(), n = times.length, out = new Rows();
    Object.assign(out, { time: times, length: n, begins: new Uint8Array(n).fill(1), values: {}, pyramids: {} });
    this.parts.forEach((part, k) => {
      const { time, begins, length, values } = part.rows;
      const current = new Float32Array(n).fill(NaN), voltage = new Float32Array(n).fill(NaN), soc = new Float32Array(n).fill(NaN);
      part.covered = new Uint8Array(n);
      for (let j = 0, i = 0; j < n && i < length; j++) {
        const t = times[j];
        while (i < length - 1 && time[i] < t) i++;
        if (t > time[i]) break;
        if (t === time[i]) {
          soc[j] = values.soc[i];
          voltage[j] = values.voltage[i];
        } else if (i && !begins[i]) {
          soc[j] = values.soc[i - 1];
          voltage[j] = values.voltage[i - 1] + (values.voltage[i] - values.voltage[i - 1]) * (t - time[i - 1]) / (time[i] - time[i - 1]);
        } else continue;
        current[j] = values.current[i];
        if (i && !begins[i] && current[j] === current[j]) part.covered[j] = 1;
        if (!begins[i]) out.begins[j] = 0;
      }
      Object.assign(out.values, { [`current${k}`]: current, [`voltage${k}`]: voltage, [`soc${k}`]: soc });
    });
    this.rows = out;
  }

  // The times of all rows, and one within each gap, so that no line crosses it.
  times() {
    const all = [];
    for (const { rows: { time, begins, length } } of this.parts)
      for (let i = 0; i < length; i++) {
        if (i && begins[i] && time[i] > time[i - 1]) all.push((time[i - 1] + time[i]) / 2);
        all.push(time[i]);
      }
    return Float64Array.from(all).sort().filter((t, i, times) => !i || t !== times[i - 1]);
  }

  // Which of them are parallel, as their voltages say: the most that agree with one of them.
  likely() {
    const agree = (a, b) => {
      const one = this.rows.values[`voltage${a}`], other = this.rows.values[`voltage${b}`];
      let sum = 0, n = 0;
      for (let j = 0; j < one.length; j++) {
        const apart = Math.abs(one[j] - other[j]) / one[j];
        if (apart === apart) { sum += apart; n++; }
      }
      return n > 0 && sum / n <= PARALLEL;
    };
    const all = this.parts.map((_, k) => k);
    const sets = all.map((a) => all.filter((b) => a === b || agree(a, b)));
    this.parallel = sets.reduce((most, some) => (some.length > most.length ? some : most));
  }

  // Sum up the batteries with these indices: current and power where all of them are known, and
  // what part of the charge goes through each; then the figures.
  sum(chosen) {
    const { values, pyramids, length } = this.rows;
    this.chosen = chosen;
    values.current = new Float32Array(length);
    values.power = new Float32Array(length);
    for (let j = 0; j < length; j++)
      for (const k of chosen) {
        values.current[j] += values[`current${k}`][j];
        values.power[j] += values[`current${k}`][j] * values[`voltage${k}`][j];
      }
    for (const k of chosen) values[`share${k}`] = new Float32Array(length).fill(NaN);
    this.share(chosen);
    for (const name of ["current", "power", ...chosen.map((k) => `share${k}`)]) delete pyramids[name];
    this.figures = this.counted();
  }

  // The share of each in the charge of each quarter of an hour, at all rows that end in it.
  share(chosen) {
    const { time, values, length } = this.rows, quarters = [];
    for (let j = 1; j < length; j++) {
      const n = Math.floor(time[j] / SHARE_S);
      if (quarters.at(-1)?.n !== n) quarters.push({ n, first: j, all: 0, each: chosen.map(() => 0) });
      const quarter = quarters.at(-1);
      quarter.end = j + 1;
      if (!this.measured(j)) continue;
      quarter.all += values.current[j] * (time[j] - time[j - 1]);
      chosen.forEach((k, i) => { quarter.each[i] += values[`current${k}`][j] * (time[j] - time[j - 1]); });
    }
    const most = quarters.reduce((most, { all }) => Math.max(most, Math.abs(all)), 0);
    for (const { first, end, all, each } of quarters)
      if (Math.abs(all) > most * SHARE_OF_MAX)
        chosen.forEach((k, i) => values[`share${k}`].fill(100 * each[i] / all, first, end));
  }

  // Were all that are summed up measured in the interval that ends at this row?
  measured(j) {
    return this.chosen.every((k) => this.parts[k].covered[j]);
  }

  // What flowed while all of them were measured, in all and through each, and what is in them now.
  counted() {
    const { time, values, length } = this.rows;
    const none = () => ({ in_ah: 0, out_ah: 0, in_wh: 0, out_wh: 0 });
    const all = { ...none(), measured_s: 0 }, each = this.chosen.map(none), against = each.map(() => 0);
    const add = (into, amps, volts, hours) => {
      const way = amps > 0 ? "in" : "out", ah = Math.abs(amps) * hours;
      into[`${way}_ah`] += ah;
      if (volts === volts) into[`${way}_wh`] += ah * volts;
    };
    for (let j = 1; j < length; j++) {
      if (!this.measured(j)) continue;
      const hours = (time[j] - time[j - 1]) / 3600;
      all.measured_s += time[j] - time[j - 1];
      this.chosen.forEach((k, i) => {
        const volts = (values[`voltage${k}`][j - 1] + values[`voltage${k}`][j]) / 2;
        add(each[i], values[`current${k}`][j], volts, hours);
        if (values[`current${k}`][j] * values.current[j] < 0) against[i] += Math.abs(values[`current${k}`][j]) * hours;
      });
      add(all, values.current[j], values.power[j] / values.current[j], hours);
    }
    const capacities = this.chosen.map((k) => capacityAt(this.parts[k].found));
    const known = capacities.every((ah) => ah !== null), whole = capacities.reduce((sum, ah) => sum + ah, 0);
    const moved = each.map(({ in_ah, out_ah }) => in_ah + out_ah), total = moved.reduce((sum, ah) => sum + ah, 0);
    const packs = this.chosen.map((k, i) => {
      const { name, found } = this.parts[k];
      return { name, ...each[i], soc: found.now.soc, capacity_ah: capacities[i],
        against: against[i] > AGAINST * moved[i], moved_percent: total ? 100 * moved[i] / total : null,
        due_percent: known ? 100 * capacities[i] / whole : 100 / this.chosen.length };
    });
    const told = packs.every(({ soc }) => soc !== null);
    return { ...all, packs, by_capacity: known, capacity_ah: known ? whole : null,
      soc: told ? packs.reduce((sum, { soc, due_percent }) => sum + soc * due_percent / 100, 0) : null,
      fine: total && packs.length > 1 ? packs.every(({ against, moved_percent, due_percent }) =>
        !against && Math.abs(moved_percent - due_percent) <= SPLIT_FINE * due_percent) : null };
  }
}

// Answers as those of a battery, see verdicts.js.
function bankAnswers({ packs, soc, capacity_ah, by_capacity, fine, ...all }) {
  const found = [{ id: "bank-charge", question: "Charge at the end", fine: null, see: "split",
    value: soc === null ? "–" : `${number(soc, 0)} %`,
    words: soc === null ? "not every BMS tells its state of charge"
      : capacity_ah === null ? "the mean of its packs" : `${charge(soc / 100 * capacity_ah)} of ${charge(capacity_ah)}`,
    rule: "The newest SoC of each, weighed by the capacities where those are known." },
  { id: "bank-energy", question: `In and out in ${duration(all.measured_s)}`, fine: null, see: "split",
    value: energy(all.out_wh), words: `out, ${energy(all.in_wh)} in; ${charge(all.out_ah)} out, ${charge(all.in_ah)} in`,
    rule: "The sum of what flowed while all were measured; what one pack gives another is in neither." }];
  if (packs.length > 1)
    found.push({ id: "bank-split", question: "How the current splits", fine, see: "split",
      value: packs.map(({ moved_percent }) => number(moved_percent, 0)).join(" : "),
      words: packs.map(({ name }) => name).join(" : ") +
        packs.filter(({ against }) => against).map(({ name }) => `; ${name} runs against the others: is the sign of its current right?`).join(""),
      rule: `Parts of the charge that went in and out of each; marked where one has ${100 * SPLIT_FINE} % more or less than its part ` +
        `by ${by_capacity ? "capacity" : "number, for not every capacity is known"}, or where ${100 * AGAINST} % ` +
        "of what flows through one runs against the sum." });
  return found;
}

// The bank of all batteries that know the time, or null if those are fewer than two.
async function bankOf(batteries, tz) {
  const timed = batteries.filter(({ clock }) => clock);
  if (timed.length < 2) return null;
  for (const battery of timed) battery.counted ??= await count(battery, tz);
  return new Bank(timed);
}
