// Local time: days, Mondays and months of a time zone, and times in words.
"use strict";

const DAY_S = 86400;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

class Zone {
  // `name` as Europe/Berlin, or null for the reader's own. `clock` false: times are the board's
  // uptime, which has days but no dates.
  constructor(name, clock = true) {
    this.clock = clock;
    const style = { timeZone: clock ? name ?? undefined : "UTC", hourCycle: "h23", year: "numeric",
      month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric" };
    try {
      this.format = new Intl.DateTimeFormat("en-US", style);
    } catch {  // a browser that does not know it: rather UTC, which is named, than nothing
      this.format = new Intl.DateTimeFormat("en-US", { ...style, timeZone: "UTC" });
    }
    this.name = this.format.resolvedOptions().timeZone;
    this.offsets = new Map();  // by day of UTC; null where it changes
  }

  // Seconds that local time is ahead of UTC at t.
  offset(t) {
    const day = Math.floor(t / DAY_S);
    let known = this.offsets.get(day);
    if (known === undefined) {
      const begin = this.measured(day * DAY_S);
      known = begin === this.measured((day + 1) * DAY_S) ? begin : null;
      this.offsets.set(day, known);
    }
    return known ?? this.measured(t);
  }

  measured(t) {
    const part = {};
    for (const { type, value } of this.format.formatToParts(new Date(Math.floor(t) * 1e3)))
      part[type] = Number(value);
    return Date.UTC(part.year, part.month - 1, part.day, part.hour, part.minute, part.second) / 1e3
      - Math.floor(t);
  }

  day(t) {  // number of the local day since 1970-01-01
    return Math.floor((t + this.offset(t)) / DAY_S);
  }

  begin(day) {  // when a local day begins
    const t = day * DAY_S - this.offset(day * DAY_S - this.offset(day * DAY_S));
    return this.day(t) < day ? t + 3600 : t;  // there are zones where summer time skips midnight
  }

  monday(day) {  // the day that begins its week; 1970-01-01 was a Thursday
    return day - ((((day + 3) % 7) + 7) % 7);
  }

  month(day) {  // [number of the month since 1970, its first day, the first of the next]
    const date = new Date(day * DAY_S * 1e3);
    const n = (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth();
    const first = (k) => Date.UTC(1970, k, 1) / 1e3 / DAY_S;
    return [n, first(n), first(n + 1)];
  }

  iso(t) {
    return new Date((t + this.offset(t)) * 1e3).toISOString();
  }

  date(t) {
    return this.clock ? this.iso(t).slice(0, 10) : `day ${Math.floor(t / DAY_S) + 1}`;
  }

  time(t, seconds) {
    return `${this.date(t)} ${this.iso(t).slice(11, seconds ? 19 : 16)}`;
  }

  monthName(n) {
    return this.clock ? `${MONTHS[n % 12]} ${1970 + Math.floor(n / 12)}` : `month ${n + 1}`;
  }
}

function plural(n, word) {
  return `${n} ${word}${Number(n) === 1 ? "" : "s"}`;
}

function inDays(n) {
  return plural(Number(n.toFixed(n < 99.95 ? 1 : 0)), "day");
}

function duration(s) {
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return s < 2 * DAY_S ? `${Number((s / 3600).toFixed(1))} h` : inDays(s / DAY_S);
}
