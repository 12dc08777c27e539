// What a page of one battery and that of a bank have in common: charts over one range, and tables.
const RANGES = [["All", Infinity], ["Year", 366], ["Month", 31], ["Week", 7], ["Day", 1]];
const SHORTEST_S = 30;
const by = (id) => document.getElementById(id);

function element(parent, tag, text) {
  const node = parent.appendChild(document.createElement(tag));
  if (text !== undefined) node.textContent = text;
  return node;
}

class View {
  // Empties the page. `rows` are drawn, from the time `first` to `last`.
  constructor(rows, zone, first, last) {
    Object.assign(this, { rows, zone, first, from: first, counts: [], charts: [], asked: false });
    this.last = this.to = Math.max(last, first + SHORTEST_S);
    for (const id of ["span", "summary", "notes", "units", "overview", "detail", "happened", "health", "wide-tables", "tables", "tools"])
      by(id).textContent = "";
    by("happened").hidden = true;
    this.pick = (from, to) => {
      this.range(from, to);
      by("tools").scrollIntoView({ behavior: "smooth", block: "start" });
    };
  }

  // Keep of the charts those of which anything is known; their series are columns of the rows.
  choose(all) {
    const { values } = this.rows;
    this.known = all.filter(({ series }) => series.some(([name]) => values[name].some((x) => x === x)));
    by("detail-part").hidden = !this.known.length;
  }

  // Make them.
  chart() {
    this.charts = this.known.map((what) => new RowChart(by("detail"), what, this.zone, (from, to) => this.range(from, to),
      (plot) => touchable(plot, () => [this.from, this.to], (from, to) => this.range(from, to))));
  }

  // A card for each answer; opened, it tells the rule, and where on the page its evidence is.
  cards(answers) {
    for (const { question, value, words, rule, fine, see } of answers) {
      const card = element(by("summary"), "details");
      card.className = fine === null ? "" : fine ? "fine" : "look";
      const head = element(card, "summary");
      element(head, "span", question);
      element(head, "b", value);
      // a number keeps its unit on the same line
      element(head, "span", words.replace(/(\d) (?=[A-Za-z°]{1,4}\b|%|mΩ)/g, "$1\u00a0")).className = "words";
      element(card, "p", rule);
      const target = by(see);
      if (!(see === "detail" ? this.known : target?.children ?? []).length) continue;
      const link = element(card, "a", "show");
      link.href = `#${see}`;
      link.onclick = (event) => {
        event.preventDefault();
        target.scrollIntoView({ behavior: "smooth", block: "start" });
      };
    }
  }

  tools() {
    const tools = by("tools");
    this.buttons = RANGES.filter(([, days], i) => !i || days * DAY_S < this.last - this.first)
      .map(([words, days]) => {
        const button = element(tools, "button", words);
        button.onclick = () => {
          const middle = (this.from + this.to) / 2, half = days * DAY_S / 2;
          // from everything to its newest part, else around what is shown
          if (this.whole()) this.range(this.last - 2 * half, this.last);
          else this.range(middle - half, middle + half);
        };
        return [button, days];
      });
    for (const [words, move] of [["←", -1], ["→", 1]])
      element(tools, "button", words).onclick = () => {
        const by = (this.to - this.from) * 0.5 * move;
        this.range(this.from + by, this.to + by);
      };
    for (const [words, by] of [["+", 0.25], ["−", -0.5]])
      element(tools, "button", words).onclick = () => {
        const cut = (this.to - this.from) * by;
        this.range(this.from + cut, this.to - cut);
      };
  }

  whole() {
    return this.from === this.first && this.to === this.last;
  }

  // Show this range, kept within the log; drawn once per frame of the screen.
  range(from, to) {
    const length = Math.min(Math.max(to - from, SHORTEST_S), this.last - this.first);
    if (from === -Infinity) from = this.first;
    if (from + length > this.last) from = this.last - length;
    this.from = Math.max(this.first, from);
    this.to = this.from + length;
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  draw() {
    if (!this.charts.length) return;
    const names = this.charts.flatMap((chart) => chart.names);
    const pixels = this.charts[0].plot.bbox.width / devicePixelRatio || 800;
    const [xs, ys] = this.rows.slice(names, this.from, this.to, pixels);
    const values = Object.fromEntries(names.map((name, i) => [name, ys[i]]));
    for (const chart of this.charts) chart.show(xs, values, this.from, this.to);
    this.drawMarks?.();
    by("range").textContent = `${this.zone.time(this.from)} to ${this.zone.time(this.to)}, ${duration(Math.round(this.to - this.from))}`;
    for (const [button, days] of this.buttons)
      button.className = (days === Infinity ? this.whole()
        : Math.abs(this.to - this.from - days * DAY_S) < 1) ? "on" : "";
    document.body.dataset.points = xs.length;
  }

  table(parent, id, title, heads, lines, { spans, note } = {}) {
    const div = element(parent, "div");
    div.className = lines.length > 40 ? "table long" : "table";
    div.id = id;
    element(div, "h3", title);
    if (!lines.length) return element(div, "small", "none");
    const table = element(div, "table"), head = element(table, "tr");
    for (const words of heads) element(head, "th", words);
    lines.forEach((cells, i) => {
      const row = element(table, "tr");
      for (const words of cells) element(row, "td", words);
      if (!spans) return;
      row.dataset.at = spans[i];
      row.onclick = () => this.pick(...spans[i]);
    });
    if (note) element(div, "p", note);
  }

  resize() {
    for (const { div, plot } of [...this.charts, ...this.counts])
      plot.setSize({ width: plotWidth(div), height: HEIGHT });
    this.draw();
  }
}
