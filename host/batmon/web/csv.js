// Rows as CSV, letter by letter what `batmon export -o FILE.csv` writes.
"use strict";

const CSV_HEAD = "battery,time_utc,time_known,boot,uptime_s,voltage_V,current_A,temperature_degC,soc_percent,cell_min_mV," +
  "cell_max_mV,cell_min_index,cell_max_index,interval_s,energy_Wh\n";
const CSV_PART = 5000;  // rows that are joined at a time

// Parts of the text, of which a Blob can be made.
function csv(logs) {
  const parts = [CSV_HEAD];
  for (const { battery, rows } of logs.map((log) => ({ battery: log.battery, rows: log.rows() })))
    for (let from = 0; from < rows.length; from += CSV_PART) {
      const lines = [];
      for (let i = from; i < Math.min(from + CSV_PART, rows.length); i++) lines.push(csvLine(battery, rows, i));
      parts.push(lines.join(""));
    }
  return parts;
}

function csvLine(battery, rows, i) {
  const t = rows.unix[i], volts = HALVES[rows.voltage[i]], amps = HALVES[rows.current[i]], interval = rows.interval[i];
  const whole = (x, unknown) => (x === unknown ? "" : x);
  return [battery, t === t ? `${new Date(t * 1e3).toISOString().slice(0, 19)}Z` : "", rows.known[i] === 1,
    whole(rows.boot[i], NO_BOOT), rows.uptime[i], sixDigits(volts), sixDigits(amps),
    rows.temperature[i] === UNKNOWN_8 ? "" : rows.temperature[i] / 2 - 40, rows.soc[i] === UNKNOWN_8 ? "" : rows.soc[i] / 2,
    whole(rows.low[i], UNKNOWN_16), whole(rows.high[i], UNKNOWN_16),
    cellWords(rows.lowCell[i], rows.lowCellTo[i]), cellWords(rows.highCell[i], rows.highCellTo[i]),
    interval, sixDigits(amps * interval / 3600 * (HALVES[rows.before[i]] + volts) / 2)].join(",") + "\n";
}

function cellWords(first, last) {
  if (first === UNKNOWN_8) return "";
  return first === last ? first : `${first} ${last === first + 1 ? "or" : "to"} ${last}`;
}

function sixDigits(x) {
  if (x !== x) return "";
  if (x === 0) return "0";
  const scale = 10 ** Math.min(15, Math.max(0, 5 - Math.floor(Math.log10(Math.abs(x)))));
  return String(roundEven(x * scale) / scale + 0);
}
