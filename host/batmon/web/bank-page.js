// The page of a bank: its packs on one axis, their sum, and how the current splits.
const PACK_COLORS = ["first", "second", "in", "out", "third", "fourth", "fifth", "sixth"];

class BankPage extends View {
  constructor(bank) {
    const { rows, parts } = bank, { zone } = parts[0];
    super(rows, zone, rows.time[0], rows.time[rows.length - 1]);
    this.bank = bank;
    by("overview-part").hidden = by("health-part").hidden = true;
    by("span").textContent = `${zone.time(this.first)} to ${zone.time(this.last)}, time zone ${zone.name}`;
    this.tools();
    this.switches();
    this.summedUp();
  }

  // A switch for each battery: is it one of the bank?
  switches() {
    const { bank } = this, notes = by("notes");
    element(notes, "div", `Summed up are the batteries that are marked. At first these are those whose voltages agree within ${100 * PARALLEL} %, as those of parallel packs do. Packs in series look alike, and their current is no sum: mark one of them.`);
    const line = element(notes, "div");
    line.id = "packs";
    this.buttons_of = bank.parts.map(({ name }, k) => {
      const button = element(line, "button", name);
      button.onclick = () => {
        const rest = bank.chosen.filter((other) => other !== k);
        const chosen = rest.length < bank.chosen.length ? rest : [...rest, k].sort((a, b) => a - b);
        if (!chosen.length) return;  // the sum of nothing
        bank.sum(chosen);
        this.summedUp();
      };
      return button;
    });
  }

  // Draw anew what depends on which batteries are summed up.
  summedUp() {
    const { bank } = this, { chosen, parts } = bank;
    for (const id of ["summary", "detail", "wide-tables"]) by(id).textContent = "";
    this.buttons_of.forEach((button, k) => { button.className = chosen.includes(k) ? "on" : ""; });
    const color = (k) => PACK_COLORS[k % PACK_COLORS.length], all = parts.map((_, k) => k);
    const of = (name, which = all) => ({ series: which.map((k) => [`${name}${k}`, parts[k].name]), colors: which.map(color) });
    const sum = (name, packs) => ({ series: [...packs.series, [name, "sum"]], colors: [...packs.colors, "ink"] });
    const several = chosen.length > 1;
    this.choose([
      { title: "Current", unit: "A", digits: 2, step: -1, zero: true, ...(several ? sum("current", of("current")) : of("current")) },
      ...(several ? [{ title: "Share of the charge of a quarter of an hour", unit: "%", digits: 0, step: -1, zero: true, ...of("share", chosen) }] : []),
      { title: "Power of the bank", unit: "W", digits: 0, step: -1, zero: true, series: [["power", "+ charging"]] },
      { title: "Voltage", unit: "V", digits: 2, ...of("voltage") },
      { title: "State of charge", unit: "%", digits: 1, step: 1, range: PERCENT, ...of("soc") },
    ]);
    this.chart();
    this.split();
    this.cards(bankAnswers(bank.figures));
    this.draw();
  }

  split() {
    const { packs, ...all } = this.bank.figures;
    const cells = (what) => [what.name, energy(what.in_wh), energy(what.out_wh), charge(what.in_ah), charge(what.out_ah)];
    const percent = (value) => (value === null ? "–" : `${number(value)} %`);
    const lines = packs.map((pack) => [...cells(pack), percent(pack.moved_percent), percent(pack.due_percent),
      pack.capacity_ah === null ? "–" : charge(pack.capacity_ah), percent(pack.soc)]);
    if (packs.length > 1)
      lines.push([...cells({ ...all, name: "sum" }), "", "", all.capacity_ah === null ? "–" : charge(all.capacity_ah), percent(all.soc)]);
    this.table(by("wide-tables"), "split", "How the current splits",
      ["", "energy in", "energy out", "charge in", "charge out", "share of the charge", "its part", "capacity", "SoC at the end"], lines,
      { note: `Counted while all of these were measured, ${duration(all.measured_s)}. ` +
        `The part that is due to each is ${all.by_capacity ? "that of its capacity" : "the same, for not every capacity is known"}.` });
  }
}
