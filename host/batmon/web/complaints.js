// The board's error log in words for its owner: what it complained of, how often, and when last.
// app/errorlog.py writes it; what is in it that only a developer reads stays in the page's fold.
"use strict";

const COMPLAINT = /^(?:time unknown,|(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\dZ)) batmon \S+ boot (\d+) \+(\d+) s (\w+)(?: \((\d+) not logged\))?: (.*)$/;
const COMPLAINTS_MOST = 20;
const RESTARTED = "restart", RAISED = /^(\w*(?:Error|Exception|Exit))(?:: ?(.*))?$/, TRACED = /^(?:Traceback \(|\.\.\.)/;
// Parts of the program by their names there.
const PARTS = { app: "batmon", link: "the link to the BMS", display: "the display", housekeeping: "the supervision of the board", phone: "the service for phones",
  outputs: "what tells others", bthome: "the broadcast for Home Assistant", mqtt: "what goes to MQTT", influx: "what goes to InfluxDB", clock: "the DS3231",
  buzzer: "the alarm output", button: "the button", search: "the search for batteries" };
// What an error number of the system means to an owner; 84 is littlefs's.
const FAULTS = { 5: "a device or the flash does not answer as it should", 12: "memory ran out", 19: "a device on its wires is not there", 28: "there is no room on its flash",
  84: "a file on its flash is damaged", 110: "an answer took too long", 116: "an answer took too long", 113: "the other side cannot be reached", 104: "the other side hung up" };
const SENSELESS = new Set(["ValueError", "IndexError", "KeyError", "LookupError", "AssertionError"]);

// [{ words, count, when }] of the text of an error log, its older file first, newest first; `when`
// is of the newest: unix time, or null and `boot` and `uptime`. Equal ones are told once.
function complaints(text) {
  const known = new Map();
  for (const { head, lines } of entries(text)) {
    const [, day, time, boot, uptime, part, skipped, first] = head;
    const words = complaintWords(part, [first, ...lines]);
    const before = known.get(words);
    known.delete(words);  // its newest place is what counts
    known.set(words, { words, count: (before?.count ?? 0) + 1, when: day ? Date.parse(`${day}T${time}`) / 1e3 : null,
      boot: Number(boot), uptime: Number(uptime), skipped: (before?.skipped ?? 0) + Number(skipped ?? 0) });
  }
  return [...known.values()].reverse();
}

function entries(text) {
  const found = [];
  for (const line of text.split("\n")) {
    const head = COMPLAINT.exec(line.trimEnd());
    if (head) found.push({ head, lines: [] });
    else if (line.trim()) found[found.length - 1]?.lines.push(line.trim());
  }
  return found;
}

function complaintWords(part, lines) {
  const what = PARTS[part] ?? part, raised = RAISED.exec(lines[lines.length - 1]);
  if (part === RESTARTED) return `the board started itself again: ${lines.join(" ")}`;
  if (lines[0] === "it ended") return `${what} stopped and was started again`;
  if (!raised && !TRACED.test(lines[0])) return `${what}: ${lines.join(" ")}`;
  const [, kind, message] = raised ?? [];
  if (part === "link" && (!kind || SENSELESS.has(kind))) return "the BMS said what its driver cannot make sense of; polling went on";
  const number = /^(?:\[Errno )?(\d+)/.exec(message ?? "")?.[1];
  const why = kind === "MemoryError" ? FAULTS[12] : kind === "OSError" ? FAULTS[number] : undefined;
  const then = part === "app" ? "the board started again" : part === "link" ? "polling went on" : "it was started again";
  return `${what} failed${why ? `: ${why}` : " by a mistake in batmon, please report it"}; ${then}`;
}

// The sentence of a complaint, with the time in `zone`.
function complaintSentence({ words, count, when, boot, uptime, skipped }, zone) {
  const at = when === null ? `${duration(uptime)} after start ${boot}, at a time the board did not know` : zone.time(when);
  const often = count > 1 ? `; ${count} times, the last then` : "", more = skipped ? `; ${skipped} more were not logged` : "";
  return `${at}: ${words}${often}${more}`;
}
