// Parts of the page beside the charts, shared by page and report: the tip, the table behind a chart, the decision log.
"use strict";

const Parts = (() => {
  const { node, swatch } = Charts;
  const LIMITS = {
    none: "", min: "held at min", max: "held at max", tolerance: "within tolerance", stabilization: "held by the stabilisation window",
    rate: "rate-limited", cool_in: "held by cool-in", cool_out: "held by cool-out", forecast: "held by the forecast",
    missing_data: "data missing", stale_data: "data stale", owner: "not ours to scale",
  };
  const LOG_ENTRIES = 200;
  const TIP_DECISIONS = 3;
  const HOUR_LOOKS = { serving: "ready", starting: "starting", draining: "draining", warm: "warm", idle: "idle" };

  // What is at the instant under the pointer; screen readers get the same from the chart's value text.
  class Tip {
    constructor() {
      this.element = node("div", { class: "tip", hidden: true, "aria-hidden": "true" });
      document.body.append(this.element);
    }
    hide() {
      this.element.hidden = true;
    }
    show(frame, x, time, rows, decisions) {
      const list = rows.map(([style, label, text]) => node("div", { class: "tip-row" }, swatch(style), node("span", {}, label), node("b", {}, text)));
      const said = decisions.slice(0, TIP_DECISIONS).map((each) => node("p", {}, ...(each.who ? [node("b", {}, `${each.who} `)] : []), `${change(each)} · ${each.reason}`));
      if (decisions.length > TIP_DECISIONS) said.push(node("p", {}, `and ${decisions.length - TIP_DECISIONS} more`));
      this.element.replaceChildren(node("div", { class: "tip-time" }, time), ...list, ...said);
      this.element.hidden = false;
      const box = frame.getBoundingClientRect();
      const width = this.element.offsetWidth;
      const left = box.left + x + 12 + width > window.innerWidth ? box.left + x - width - 12 : box.left + x + 12;
      this.element.style.left = `${Math.max(4, left)}px`;
      const top = Math.min(box.top + 4, window.innerHeight - this.element.offsetHeight - 4);
      this.element.style.top = `${Math.max(4, top)}px`;
    }
  }

  // The table behind a chart, in a dialog: frozen when opened, so that it can be read.
  class TableDialog {
    constructor() {
      this.title = node("h2", { id: "table-title" });
      this.note = node("p", { class: "muted" });
      this.place = node("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-labelledby": "table-title" });
      const close = node("button", { type: "button", onclick: () => this.element.close() }, "Close");
      this.element = node("dialog", { class: "table-dialog", "aria-labelledby": "table-title" }, node("div", { class: "dialog-head" }, this.title, close), this.note, this.place);
      document.body.append(this.element);
    }
    show(chart) {
      const { title, unit } = chart.definition;
      const { head, rows } = chart.rows();
      this.title.textContent = title;
      this.note.textContent = rows.length ? `${unit ? `${unit}; ` : ""}newest first, ${rows.length} rows` : "nothing measured yet";
      this.place.replaceChildren(table(head, rows));
      this.element.showModal();
    }
  }

  function table(head, rows, { numbers = true } = {}) {
    return node("table", { class: numbers ? "numbers" : "" },
      node("thead", {}, node("tr", {}, ...head.map((text) => node("th", { scope: "col" }, text || "value")))),
      node("tbody", {}, ...rows.map((row) => node("tr", {}, ...row.map((text) => node("td", {}, text))))));
  }

  function change(decision) {
    const { current, desired } = decision;
    if (desired === current) return `= ${current}`;
    return `${desired > current ? "▲" : "▼"} ${current} → ${desired}`;
  }

  // Newest first. What changed nothing is hidden unless asked for: a planner says "keep" every few seconds.
  class DecisionLog {
    constructor(page, { list, filter, all, empty }) {
      Object.assign(this, { page, list, filter, all, empty });
      this.seen = 0;
      filter.addEventListener("change", () => this.redraw());
      all.addEventListener("change", () => this.redraw());
    }
    begin() {
      const { pools } = this.page.store.meta;
      const chosen = this.filter.value;
      const options = [["", "All pools"], ...pools.map((pool) => [pool.name, pool.name])];
      this.filter.replaceChildren(...options.map(([value, text]) => node("option", { value, selected: value === chosen }, text)));
      this.redraw();
    }
    wanted(decision) {
      return (!this.filter.value || decision.component === this.filter.value) && (this.all.checked || decision.desired !== decision.current);
    }
    redraw() {
      const wanted = this.page.store.decisions.filter((each) => this.wanted(each)).slice(-LOG_ENTRIES).reverse();
      this.list.replaceChildren(...wanted.map((each) => this.entry(each)));
      this.seen = this.page.store.decisions.at(-1)?.seq ?? 0;
      this.sayEmpty();
    }
    add() {
      const fresh = this.page.store.decisions.filter((each) => each.seq > this.seen && this.wanted(each));
      for (const decision of fresh) this.list.prepend(this.entry(decision));
      while (this.list.children.length > LOG_ENTRIES) this.list.lastElementChild.remove();
      this.seen = this.page.store.decisions.at(-1)?.seq ?? this.seen;
      this.sayEmpty();
    }
    sayEmpty() {
      this.empty.hidden = this.list.children.length > 0;
      this.empty.textContent = this.page.store.decisions.length ? "No count has changed; tick the box to see every decision." : "No decision yet.";
    }
    entry(decision) {
      const { clock, meta } = this.page.store;
      const limit = LIMITS[decision.limited_by] ?? decision.limited_by;
      const at = clock.text(decision.time_s);
      return node("li", {},
        node("a", { href: `#t=${decision.time_s}`, title: "Show this moment in the charts", "aria-label": `${at}: show in the charts` }, at),
        node("span", { class: "change" }, change(decision)),
        ...(meta.pools.length > 1 ? [node("span", { class: "tag" }, decision.component)] : []),
        ...(limit ? [node("span", { class: "tag limit" }, limit)] : []),
        node("p", {}, decision.reason));
    }
  }

  // `#t=125` points every chart at that second of the run.
  function followHash(page) {
    const follow = () => {
      const wanted = /^#t=([0-9.]+)$/.exec(location.hash);
      if (!wanted || !page.store?.time.length) return;
      const charts = page.charts.filter((chart) => chart.definition.id.endsWith("-replicas"));
      const chart = charts[0] ?? page.charts[0];
      chart.element.scrollIntoView({ block: "nearest" });
      page.cursor.set(Number(wanted[1]), { pinned: true, from: chart });
    };
    window.addEventListener("hashchange", follow);
    document.addEventListener("click", (event) => {
      if (event.target.closest?.('a[href^="#t="]')?.getAttribute("href") === location.hash) follow();
    });
    document.addEventListener("pointerdown", (event) => {
      if (page.cursor.pinned && !event.target.closest?.('.frame, a[href^="#t="]')) page.cursor.set(null);
    });
    return follow;
  }

  // The states in which any of them was paid for, each with its look: [[state, look], ...].
  function hourStates(all) {
    const states = [...new Set(all.flatMap((hours) => Object.keys(hours ?? {})))].filter((state) => state !== "total");
    return states.filter((state) => all.some((hours) => hours?.[state] > 0)).map((state) => [state, HOUR_LOOKS[state] ?? "idle"]);
  }

  // Hours as a bar of its states; as long as it is of `most`.
  function hourBar(hours, states, most) {
    const bar = node("div", { class: "bar", "aria-hidden": "true" }, ...states.filter(([state]) => hours?.[state] > 0).map(([state, look]) => {
      const part = node("span", { class: `fill-${look}` });
      part.style.flexGrow = String((100 * hours[state]) / hours.total);
      return part;
    }));
    bar.style.width = `${(100 * (hours?.total ?? 0)) / most}%`;
    return bar;
  }

  // A figure, and below it the band of several runs: a line from low to high on a scale that its column shares.
  function whisker(text, value, band, [least, most], format) {
    if (!band) return text;
    const place = (at) => (most > least ? (100 * (at - least)) / (most - least) : 50);
    const line = node("span", { class: "whisker-line" });
    line.style.left = `${place(band[0])}%`;
    line.style.width = `${place(band[1]) - place(band[0])}%`;
    const mark = node("span", { class: "whisker-mark" });
    mark.style.left = `${place(value)}%`;
    return node("div", { class: "whisker" }, text,
      node("div", { class: "whisker-scale", "aria-hidden": "true" }, line, mark),
      node("span", { class: "muted" }, between(band, format)));
  }

  function between(band, format) {
    return `${format(band[0])} to ${format(band[1])}`;
  }

  function gpuHours(place, hours) {
    const states = hourStates([hours]);
    place.replaceChildren(...(states.length ? [
      hourBar(hours, states, hours.total),
      node("ul", { class: "bar-legend" }, ...states.map(([state, look]) => node("li", {}, swatch(look), node("span", {}, state), node("b", {}, Format.hours(hours[state]))))),
    ] : [node("p", { class: "muted" }, "none yet")]));
  }

  return { Tip, TableDialog, DecisionLog, followHash, table, change, gpuHours, hourStates, hourBar, whisker, between, LIMITS };
})();
