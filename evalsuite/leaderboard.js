"use strict";
// Sorting, filtering and all examples of a row. Text reaches the page through textContent alone: it was written by models.
(() => {
  const PAGE = 25, DIFF_WORDS = 400;
  const $ = (id) => document.getElementById(id);
  const rows = [...document.querySelectorAll("table.board tr.row")];
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // ---- sort: a row keeps the row of its answers behind it
  const heads = [...document.querySelectorAll("table.board th[data-sort]")];
  const sort = (head, direction) => {
    const table = head.closest("table"), body = table.tBodies[0], column = head.cellIndex;
    const number = head.dataset.sort === "number";
    const value = (row) => row.cells[column].dataset.value ?? "";
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === ""); // rows without a value last, both ways
      return direction * (number ? x - y : x.localeCompare(y, "en", { numeric: true }));
    };
    for (const row of [...body.querySelectorAll("tr.row")].map((row) => [row, row.nextElementSibling]).sort((a, b) => compare(a[0], b[0])))
      body.append(...row);
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
  };
  for (const head of heads) {
    const button = make("button", "", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const was = head.getAttribute("aria-sort");
      const first = head.dataset.sort === "number" && !button.textContent.startsWith("p ") ? -1 : 1;
      sort(head, was ? (was === "ascending" ? -1 : 1) : first);
    });
  }
  for (const head of document.querySelectorAll("table.board thead tr")) head.cells[2].setAttribute("aria-sort", "descending");
  const titles = [...new Set(heads.map((head) => head.textContent))];
  for (const title of titles) $("sort").add(new Option(title, title, false, title === "Accuracy"));
  $("sort").addEventListener("change", () => {
    for (const head of heads) if (head.textContent === $("sort").value) sort(head, head.dataset.sort === "text" || $("sort").value.startsWith("p ") ? 1 : -1);
  });

  // ---- filter
  for (const name of ["format", "engine"])
    for (const value of [...new Set(rows.map((row) => row.dataset[name]))].sort()) $(name).add(new Option(value, value));
  const text = new Map(rows.map((row) => [row, [row.cells[0], row.cells[row.cells.length - 1]].map((cell) => cell.textContent).join(" ").toLowerCase()]));
  const filter = () => {
    const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    let kept = 0;
    for (const row of rows) {
      const shown = words.every((word) => text.get(row).includes(word))
        && ["format", "engine"].every((name) => !$(name).value || row.dataset[name] === $(name).value);
      row.classList.toggle("out", !shown);
      kept += shown;
    }
    $("count").textContent = kept === rows.length ? `${kept} rows` : `${kept} of ${rows.length} rows`;
  };
  for (const name of ["filter", "format", "engine"]) $(name).addEventListener("input", filter);
  $("tools").addEventListener("submit", (event) => event.preventDefault());
  filter();
  $("tools").hidden = false;

  // ---- all examples of a row
  const unpacked = new Map();
  const unpack = (id) => {
    if (!unpacked.has(id)) {
      const bytes = Uint8Array.from(atob($(id).textContent), (char) => char.charCodeAt(0));
      unpacked.set(id, new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json());
    }
    return unpacked.get(id);
  };
  const select = (label, options) => {
    const holder = make("label", "", `${label} `), element = make("select");
    for (const [value, title] of options) element.add(new Option(title, value));
    holder.append(element);
    return [holder, element];
  };

  // Words of both texts in order, as [kind, word]: -1 only in the first, 1 only in the second, 0 in both (longest common subsequence).
  const difference = (first, second) => {
    const a = first.match(/\s+|[^\s]+/g) ?? [], b = second.match(/\s+|[^\s]+/g) ?? [];
    if (a.length > DIFF_WORDS || b.length > DIFF_WORDS) return null;
    const length = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i--)
      for (let j = b.length - 1; j >= 0; j--)
        length[i][j] = a[i] === b[j] ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
    const out = [];
    let i = 0, j = 0;
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i] === b[j]) { out.push([0, a[i++]]); j++; }
      else if (j >= b.length || (i < a.length && length[i + 1][j] >= length[i][j + 1])) out.push([-1, a[i++]]);
      else out.push([1, b[j++]]);
    }
    return out;
  };
  const answer = (data, index, label, marks, kind) => {
    const holder = make("div", "answer");
    const verdict = make("div", "verdict");
    verdict.append(make("b", data.right[index] === "1" ? "pass" : "fail", data.reasons[data.reason[index]]));
    if (label) verdict.prepend(make("span", "sha", label));
    if (data.message[index]) verdict.append(make("span", "gold text", data.message[index]));
    const pre = make("pre", "text");
    pre.tabIndex = 0;
    if (marks) for (const [where, word] of marks) { if (where === 0) pre.append(word); else if (where === kind) pre.append(make(kind < 0 ? "del" : "ins", "", word)); }
    else pre.textContent = data.text[index];
    holder.append(verdict, pre);
    if (data.cut.includes(index)) holder.append(make("p", "gold", "The answer was cut at its longest length."));
    return holder;
  };
  const article = (questions, own, other, index, labels) => {
    const [id, , question, reference] = questions.rows[index];
    const element = make("article", "full");
    element.append(make("p", "text asked", question));
    const pair = make("div", other ? "pair" : "");
    const marks = other && difference(own.text[index], other.text[index]);
    pair.append(answer(own, index, other && labels[0], marks, -1));
    if (other) pair.append(answer(other, index, labels[1], marks, 1));
    element.append(pair, make("p", "text gold", `Reference: ${reference} · ${id}`));
    return element;
  };

  const explore = async (row) => {
    const { section, model, slice } = row.dataset, panel = row.nextElementSibling.querySelector(".list");
    const [questions, own] = await Promise.all([unpack(`q${section}`), unpack(`a${section}-${model}`)]);
    const part = questions.slices.indexOf(slice);
    const places = [...questions.rows.keys()].filter((i) => slice === "all" || questions.rows[i][1] === part);
    const count = (test) => places.filter(test).length;
    const wrong = (i) => own.right[i] === "0";
    const [showing, show] = select("Show", [["wrong", `wrong (${count(wrong)})`], ["right", `right (${places.length - count(wrong)})`], ["all", `all, wrong first (${places.length})`]]);
    own.reasons.forEach((reason, k) => { const n = count((i) => wrong(i) && own.reason[i] === k); if (n) show.add(new Option(`${reason} (${n})`, `reason ${k}`)); });
    if (!count(wrong)) show.value = "all";
    const models = [...document.querySelectorAll(`script[id^="a${section}-"]`)].map((block) => [block.id, block.dataset.label]);
    const self = `a${section}-${model}`;
    const [comparing, compare] = select("Compare with", [["", "none"], ...models.filter(([id]) => id !== self)]);
    const controls = make("div", "controls"), list = make("div"), more = make("button", "", ""), told = make("output");
    more.type = "button";
    controls.append(showing, comparing, told);
    panel.replaceChildren(controls, list, more);
    let chosen = [], shown = 0, other = null;
    const grow = () => {
      const labels = [self, compare.value].map((id) => (models.find((one) => one[0] === id) ?? ["", ""])[1]);
      for (const index of chosen.slice(shown, shown + PAGE)) list.append(article(questions, own, other, index, labels));
      shown = Math.min(chosen.length, shown + PAGE);
      more.hidden = shown === chosen.length;
      more.textContent = `Show ${Math.min(PAGE, chosen.length - shown)} more of ${chosen.length - shown}`;
    };
    const tests = {
      wrong, right: (i) => !wrong(i), all: () => true,
      differ: (i) => own.text[i] !== other.text[i],
      gained: (i) => !wrong(i) && other.right[i] === "0",
      lost: (i) => wrong(i) && other.right[i] === "1",
    };
    const update = () => {
      const kind = show.value;
      const test = tests[kind] ?? ((i) => wrong(i) && own.reason[i] === Number(kind.split(" ")[1]));
      chosen = places.filter(test).sort((a, b) => wrong(b) - wrong(a));
      shown = 0;
      list.replaceChildren();
      told.textContent = chosen.length === 1 ? "1 example" : `${chosen.length} examples`;
      grow();
    };
    compare.addEventListener("change", async () => {
      other = compare.value ? await unpack(compare.value) : null;
      for (const option of [...show.options]) if (option.dataset.pair) option.remove();
      if (other)
        for (const [value, title] of [["lost", "only the other is right"], ["gained", "only this is right"], ["differ", "answers differ"]]) {
          const option = new Option(`${title} (${count(tests[value])})`, value);
          option.dataset.pair = "1";
          show.add(option, 0);
        }
      show.value = other ? (count(tests.lost) ? "lost" : "differ") : "wrong";
      update();
    });
    show.addEventListener("change", update);
    more.addEventListener("click", grow);
    update();
  };
  const unpacks = "DecompressionStream" in window; // without it the few examples that are there stay
  for (const row of rows) {
    const details = row.querySelector("details");
    details.addEventListener("toggle", () => {
      if (details.open && unpacks && !row.dataset.explored) { row.dataset.explored = "1"; explore(row); }
    });
    row.addEventListener("click", (event) => {
      if (!event.target.closest("summary, button, a") && !String(getSelection())) details.open = !details.open;
    });
  }
})();
