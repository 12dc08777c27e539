// An owner's questions, each answered in words from the figures, with the rule it was judged by.
"use strict";

const REST_FINE_MV = 20, TOP_FINE_MV = 60, BOTTOM_FINE_MV = 120, DRIFT_FINE_MV = 8;
const SAME_CELL_PERCENT = 75;
const FADE_FINE_PERCENT = 4;
const LASTS_FINE_DAYS = 1;
const COLD_FINE_S = 600, HOT_FINE_S = 600, CELL_FINE_S = 60;

// A number with as many digits as tell something: three, and never more than `most` after the point.
function number(value, most = 1) {
  if (value === null || value !== value) return "–";
  const digits = Math.max(0, Math.min(most, 2 - Math.floor(Math.log10(Math.abs(Number(value.toPrecision(3))) || 1))));
  return value.toFixed(digits).replace(/^-?0(\.0*)?$/, "0").replace("-", "−");
}

function signed(value, most) {
  return (value > 0 ? "+" : "") + number(value, most);
}

function charge(ah) {
  return `${number(ah)} Ah`;
}

function volts(v) {
  return `${number(v, 2)} V`;
}

function span(low, high, unit) {
  if (low === null) return "–";
  const [from, to] = [number(low, 0), number(high, 0)];
  return from === to ? `${to} ${unit}` : `${from} to ${to} ${unit}`;
}

function energy(wh) {
  return Math.abs(wh) >= 1000 ? `${number(wh / 1000, 2)} kWh` : `${number(wh, 0)} Wh`;
}

// Each answer: id, question, value, words, rule (how it is judged), fine (true, false, or null
// where there is nothing to judge), see (what on the page shows it).
function answers(found, zone) {
  return [answerNow, answerLasts, answerUse, answerFull, answerLow, answerCapacity, answerCells,
    answerTemperature, answerAlarms, answerReturned, answerResistance]
    .map((answer) => ({ fine: null, rule: "", see: "detail", ...answer(found, zone) }));
}

function answerNow({ now, last, first }, zone) {
  return { id: "now", question: now.soc === null ? "Voltage at the end" : "Charge at the end",
    value: now.soc !== null ? `${number(now.soc, 0)} %` : now.voltage !== null ? volts(now.voltage) : "–",
    words: zone.time(last) + (now.soc === null ? "; the BMS tells no state of charge" : now.voltage === null ? "" : `, ${volts(now.voltage)}`),
    rule: `The newest row; the log has ${duration(last - first)} up to then.` };
}

function answerLasts({ now, use, capacity }) {
  const base = { id: "lasts", question: "Lasts for", see: "overview",
    rule: `What is left, by what is taken out in a day (newest 30 days), without charging. Less than ${plural(LASTS_FINE_DAYS, "day")} is marked.` };
  if (now.lasts_days === null)
    return { ...base, value: "–", words: now.soc === null ? "the BMS tells no state of charge"
      : capacity.ah === null ? `takes the capacity, so a swing of SoC of ${LOG_LEAST} %` : use.ah_per_day === null ? "takes a day of data" : "nothing was taken out" };
  const left = now.lasts_days;
  return { ...base, value: left < 2 ? `${number(left * 24, 0)} h` : left > 99 ? "over 99 days" : inDays(left),
    words: "at the usual use, without charging", fine: left >= LASTS_FINE_DAYS };
}

function answerUse({ use, out_ah, out_wh, in_ah, measured_s }) {
  if (!measured_s)
    return { id: "use", question: "Used", value: "–", words: "takes two rows with a current" };
  if (use.ah_per_day === null)
    return { id: "use", question: `Used in ${duration(measured_s)}`, value: energy(out_wh),
      words: `${charge(out_ah)} out, ${charge(in_ah)} in`, rule: "Use per day is told from a day of data on." };
  return { id: "use", question: "Used per day", value: energy(use.wh_per_day), see: "overview",
    words: `${charge(use.ah_per_day)}, mean of ${inDays(use.days)} measured`,
    rule: "All that was taken out in the newest 30 days, by the time that was measured." };
}

function since(last, end, zone) {
  if (last >= end) return "at the end";
  return zone.clock ? `${duration(end - last)} before the end` : zone.time(last);
}

function answerFull({ moments, last }, zone) {
  const at = moments.full.last;
  return { id: "full", question: "Last full", value: at === null ? (moments.has_soc ? "never" : "–") : zone.date(at),
    words: at === null ? (moments.has_soc ? "in this log" : "the BMS tells no state of charge") : since(at, last, zone),
    rule: `The newest row with ${FULL_SOC} % or more.` };
}

function answerLow({ moments, last }, zone) {
  const { last: at, seconds } = moments.low;
  return { id: "low", question: `Last below ${LOW_SOC} %`,
    value: at === null ? (moments.has_soc ? "never" : "–") : zone.date(at),
    words: at === null ? (moments.has_soc ? "in this log" : "the BMS tells no state of charge")
      : `${since(at, last, zone)}; ${duration(seconds)} in all`,
    rule: `The newest row with less than ${LOW_SOC} %.` };
}

function answerCapacity({ capacity, months }) {
  const rule = `Net charge over swings of SoC of ${SWING_LEAST} % and more between ${SOC_COUNTED[0]} and ${SOC_COUNTED[1]} %; ` +
    `a month needs what one of ${MONTH_LEAST} % is worth, and wide ones count more. A loss of more than ${FADE_FINE_PERCENT} % a year is marked once three months over 90 days tell it.`;
  const base = { id: "capacity", question: "Capacity", see: "capacity", rule };
  if (capacity.ah === null)
    return { ...base, see: "detail", value: "–", words: `takes a swing of SoC of ${LOG_LEAST} % without a gap` };
  const first = months.find(({ capacity_ah }) => capacity_ah !== null);
  const fade = capacity.per_year_percent;
  return { ...base, value: charge(capacity.ah), see: fade === null ? "detail" : "capacity",
    fine: fade === null ? null : fade >= -FADE_FINE_PERCENT,
    words: fade !== null ? `in ${capacity.month}, ${charge(first.capacity_ah)} in ${first.name}: ${signed(fade)} % a year`
      : capacity.month ? `in ${capacity.month}` : `from ${plural(capacity.swings, "swing")} of SoC` };
}

function answerCells({ cells, moments }) {
  const { rest, top, bottom } = cells;
  const rule = `Fine is: at rest between ${REST_SOC[0]} and ${REST_SOC[1]} % apart by up to ${REST_FINE_MV} mV, ` +
    `when full (${TOP_SOC} %) ${TOP_FINE_MV} mV, below ${BOTTOM_SOC} % ${BOTTOM_FINE_MV} mV, in the newest 30 days; ` +
    `and drifting by up to ${DRIFT_FINE_MV} mV a year. A cell is named when it is the one for ${SAME_CELL_PERCENT} % of that time.`;
  const base = { id: "cells", question: "Cells", see: "cells", rule };
  if (!moments.has_cells) return { ...base, see: "detail", value: "–", words: "the BMS tells no cell voltages" };
  const one = (who) => (who && who.percent >= SAME_CELL_PERCENT ? `cell ${who.cell}` : null);
  const weak = [];
  const say = (cell, words) => weak.push({ cell, words });
  if (top.mv > TOP_FINE_MV) say(one(top.highest), `is full first, ${number(top.mv)} mV above the lowest`);
  if (bottom.mv > BOTTOM_FINE_MV) say(one(bottom.lowest), `is empty first, ${number(bottom.mv)} mV below the highest`);
  if (rest.mv > REST_FINE_MV) say(one(rest.lowest), `is low at rest, ${number(rest.mv)} mV below the highest`);
  if (top.per_year_mv > DRIFT_FINE_MV) say(one(top.highest), `drifts up when full, ${signed(top.per_year_mv, 0)} mV a year`);
  if (rest.per_year_mv > DRIFT_FINE_MV) say(one(rest.highest), `drifts away from ${one(rest.lowest) ?? "the lowest"} at rest, ${signed(rest.per_year_mv, 0)} mV a year`);
  const measured = [["at rest", rest.mv], ["when full", top.mv], ["when low", bottom.mv]]
    .filter(([, mv]) => mv !== null).map(([words, mv]) => `${number(mv)} mV ${words}`).join(", ");
  if (weak.length)
    return { ...base, fine: false, value: weak[0].cell ? weak[0].cell.replace("c", "C") : "Apart",
      words: weak.map(({ cell, words }) => `${cell ?? "a cell"} ${words}`).join("; ") };
  if (!measured) return { ...base, value: "–", words: "were not at rest, full or low in the newest 30 days" };
  return { ...base, fine: true, value: "Fine", words: `apart by ${measured}` };
}

function answerTemperature({ moments, months }, zone) {
  const base = { id: "temperature", question: "Temperature", see: "extremes",
    rule: `Marked from ${duration(COLD_FINE_S)} of charging at ${COLD_C} °C or less on, or ${duration(HOT_FINE_S)} at ${HOT_C} °C or more.` };
  if (!moments.has_temperature) return { ...base, see: "detail", value: "–", words: "the BMS tells none" };
  const low = Math.min(...months.flatMap(({ t_low }) => (t_low === null ? [] : [t_low])));
  const high = Math.max(...months.flatMap(({ t_high }) => (t_high === null ? [] : [t_high])));
  const said = [];
  const { cold_charge, hot } = moments;
  if (cold_charge.seconds >= COLD_FINE_S)
    said.push(`charged at ${COLD_C} °C or less for ${duration(cold_charge.seconds)}, last ${zone.date(cold_charge.last)}`);
  if (hot.seconds >= HOT_FINE_S)
    said.push(`${HOT_C} °C or more for ${duration(hot.seconds)}, last ${zone.date(hot.last)}`);
  return { ...base, value: span(low, high, "°C"), fine: !said.length,
    words: said.join("; ") || "no warning" };
}

function answerAlarms({ moments, alarms, first }, zone) {
  const base = { id: "alarms", question: "Alarms", see: alarms.length ? "story" : "extremes",
    rule: `Marked when the BMS raised an alarm, as far as the log tells, or a cell is at ${(CELL_HIGH_MV / 1000).toFixed(2)} V or more, or ${(CELL_LOW_MV / 1000).toFixed(2)} V or less, for ${duration(CELL_FINE_S)} in all.` };
  const said = [];
  if (alarms.length) {
    const [at, , , words] = alarms.reduce((a, b) => (b[0] >= a[0] ? b : a));
    said.push(`${plural(alarms.length, "alarm")} of the BMS, last ${zone.date(at)}: ${words}`);
  }
  for (const [name, words] of [["cell_low", "too low"], ["cell_high", "too high"]])
    if (moments[name].seconds >= CELL_FINE_S)
      said.push(`a cell ${words} for ${duration(moments[name].seconds)}, last ${zone.date(moments[name].last)}`);
  if (!said.length && !moments.has_cells)
    return { ...base, see: "detail", value: "–", words: `none of the BMS since ${zone.date(first)}; it tells no cells` };
  return { ...base, fine: !said.length, value: said.length ? "Look" : "None",
    words: said.join("; ") || `since ${zone.date(first)}, and no cell too low or too high` };
}

function answerReturned({ returned, cycles, in_wh, out_wh }) {
  return { id: "returned", question: "Came back of what was charged", see: "months",
    value: returned.percent === null ? "–" : `${number(returned.percent)} %`,
    words: returned.why || `${energy(out_wh)} out, ${energy(in_wh)} in, ${energy(Math.abs(returned.stored_wh))} ` +
      `${returned.stored_wh < 0 ? "from what was in it before" : "still in it"}; ${number(cycles)} full cycles`,
    rule: `Energy out by energy in, less what SoC says is still stored; told from ${CYCLES_LEAST} full cycles on.` };
}

function answerResistance({ resistance }) {
  return { id: "resistance", question: "Resistance of the pack", see: resistance.mohm === null ? "detail" : "resistance",
    value: resistance.mohm === null ? "–" : `${number(resistance.mohm, 2)} mΩ`,
    words: resistance.why || "newest month, with the leads up to where the BMS measures",
    rule: `ΔV by ΔI of rows at most ${STEP_S} s apart, from ${STEPS_LEAST} large steps a month on, where they agree within ${100 * STEP_ERROR} %.` };
}

// Everything counted of one battery as the page's data have it.
async function count(battery, tz) {
  const rows = await Rows.of(battery), zone = new Zone(tz, battery.clock);
  const found = figures(rows, zone, battery.cells, battery.several);
  found.alarms = (battery.happened ?? []).filter(([, , kind, words]) => kind === "alarm" && /^alarm(?! over)/.test(words));
  return { rows, zone, found, answers: answers(found, zone) };
}
