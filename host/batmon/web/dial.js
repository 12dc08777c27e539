// What a battery does now, as its display shows it: a dial of its state of charge, and the values.
"use strict";

const DIAL_TURN = 270 / 360, DIAL_ROUND = 2 * Math.PI * 50, DIAL_LOW = 20, STALE_S = 30;

class Dials {
  // `acknowledge(battery)` is asked for by a button beside an alarm.
  constructor(parent, acknowledge) {
    Object.assign(this, { parent, acknowledge, cards: [] });
  }

  clear() {
    this.parent.textContent = "";
    this.cards = [];
  }

  card(battery) {
    if (this.cards[battery]) return this.cards[battery];
    const div = element(this.parent, "div"), values = {};
    div.className = "dial";
    div.innerHTML = '<svg viewBox="0 0 120 120" role="img"><circle cx="60" cy="60" r="50"></circle>' +
      '<circle class="level" cx="60" cy="60" r="50"></circle><text x="60" y="66"></text><text class="unit" x="60" y="86">% SoC</text></svg>';
    const side = element(div, "div");
    values.name = element(side, "span", `battery ${battery + 1}`);
    for (const name of ["volts", "amps"]) values[name] = element(side, "b", "–");
    for (const name of ["cells", "warmth", "words"]) values[name] = element(side, "span");
    values.words.className = "words";
    values.seen = element(side, "button", "Seen");
    values.seen.hidden = true;
    values.seen.onclick = () => this.acknowledge(battery);
    const [track, level] = div.querySelectorAll("circle");
    track.style.strokeDasharray = `${DIAL_ROUND * DIAL_TURN} ${DIAL_ROUND}`;
    track.style.transform = "rotate(135deg)";
    track.style.transformOrigin = "60px 60px";
    return this.cards[battery] = { div, values, level, percent: div.querySelector("text") };
  }

  name(battery, name) {
    this.card(battery).values.name.textContent = name;
  }

  show({ battery, connected, voltage, current, soc, temperature, low, high, lowCell, highCell, age }) {
    const { div, values, level, percent } = this.card(battery);
    const part = soc === null ? 0 : Math.min(100, soc) / 100;
    level.style.strokeDasharray = `${DIAL_ROUND * DIAL_TURN * part} ${DIAL_ROUND}`;
    level.style.visibility = part ? "visible" : "hidden";
    div.classList.toggle("low", soc !== null && soc < DIAL_LOW);
    div.classList.toggle("stale", !connected || age > STALE_S);
    percent.textContent = soc === null ? "–" : Math.round(soc);
    values.volts.textContent = voltage === null ? "– V" : `${voltage.toFixed(2)} V`;
    values.amps.textContent = current === null ? "– A" : `${current.toFixed(Math.abs(current) < 10 ? 2 : 1)} A`.replace("-", "−");
    const which = (cell) => (cell ? ` (${cell})` : "");
    values.cells.textContent = low === null ? "" : `cells ${low}${which(lowCell)} to ${high}${which(highCell)} mV`;
    values.warmth.textContent = [temperature === null ? "" : `${temperature} °C`,
      voltage === null || current === null ? "" : `${Math.round(voltage * current)} W`.replace("-", "−"),
      age > STALE_S && age < 65535 ? `${duration(age)} ago` : ""].filter((words) => words).join(", ");
  }

  words(battery, words, alarm) {
    const { values } = this.card(battery);
    values.words.textContent = words;
    values.seen.hidden = !alarm;
  }
}
