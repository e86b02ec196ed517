"use strict";
/* The page's own script: the theme, and the browser of sample rows. Every text goes in as a text node or an attribute of
   ours; nothing is ever parsed as HTML. */
(() => {
  const PAGE = 25; // rows shown at once
  const SLICE = 8; // milliseconds of searching before the page may draw again
  const FACET = { values: 24, length: 60, most: 6 };
  const MATH = { length: 2000, formulas: 400, time: 600 }; // of one text: characters, formulas, milliseconds
  const $ = (id) => document.getElementById(id);
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  /* -- theme: as the system says, or as the button says */
  const themes = ["", "light", "dark"], names = ["as the system", "light", "dark"];
  const kept = (value) => {
    try { // a page opened from a file may have no storage
      if (value === undefined) return localStorage.getItem("chimera-theme") || "";
      localStorage.setItem("chimera-theme", value);
    } catch { /* then the choice lasts as long as the page */ }
    return "";
  };
  let theme = Math.max(0, themes.indexOf(kept()));
  const show = () => {
    if (themes[theme]) document.documentElement.dataset.theme = themes[theme];
    else delete document.documentElement.dataset.theme;
    $("theme").textContent = "Theme: " + names[theme];
  };
  $("theme").addEventListener("click", () => { theme = (theme + 1) % 3; kept(themes[theme]); show(); });
  $("theme").hidden = false;
  show();

  /* -- mathematics: TeX that parses becomes MathML, of elements and attributes on a list; anything else stays text */
  const OPEN = /\\\(|\\\[|\$\$|\$(?=\S)|\\begin\{(equation|align|gather|aligned|cases|[bpv]?matrix)\*?\}/g;
  const TAGS = new Set(("math mrow mi mn mo ms mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mtable mtr mtd"
    + " mstyle mpadded mphantom menclose mmultiscripts mprescripts none merror").split(" "));
  const ATTRIBUTES = new Set(("accent accentunder columnalign columnlines columnspacing depth display displaystyle fence form height"
    + " largeop linebreak linethickness lspace mathbackground mathcolor mathsize mathvariant maxsize minsize movablelimits"
    + " notation rowlines rowspacing rspace scriptlevel separator stretchy symmetric voffset width").split(" "));
  const STYLES = new Set(["color", "mathDepth", "padding", "border", "fontWeight", "fontStyle", "textAlign", "mathShift"]);
  const SPACE = "http://www.w3.org/1998/Math/MathML";
  const built = (node) => { // from Temml's own tree: no markup in between
    if (typeof node.text === "string") return document.createTextNode(node.text);
    const known = TAGS.has(node.type);
    const element = known ? document.createElementNS(SPACE, node.type) : document.createDocumentFragment();
    if (known) {
      for (const [key, value] of Object.entries(node.attributes || {})) {
        if (ATTRIBUTES.has(key)) element.setAttribute(key, value);
      }
      for (const [key, value] of Object.entries(node.style || {})) {
        if (STYLES.has(key) && /^[\w\s#.,%()-]*$/.test(value) && !/url/i.test(value)) element.style[key] = value;
      }
      const classes = (node.classes || []).filter((name) => /^tml-\w+-pad$/.test(name));
      if (classes.length) element.setAttribute("class", classes.join(" "));
    }
    for (const child of node.children || []) element.append(built(child));
    return element;
  };
  const formula = (tex, block) => {
    const tree = temml.__renderToMathMLTree(tex, {
      displayMode: block, throwOnError: true, trust: false, strict: false, maxExpand: 100, maxSize: [3, 3], xml: false,
    });
    const element = built(tree);
    if (block && element.setAttribute) element.setAttribute("class", "block");
    return element;
  };
  const CLOSE = { "\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$" };
  const closing = (text, start, opened) => { // where the formula's closing mark is; -1 without one
    const mark = CLOSE[opened] || opened.replace("\\begin", "\\end");
    for (let at = text.indexOf(mark, start); at >= 0 && at - start <= MATH.length; at = text.indexOf(mark, at + 1)) {
      if (text[at - 1] === "\\" && mark[0] === "$") continue;
      if (mark !== "$") return at;
      if (text.slice(start, at).includes("\n\n")) return -1;
      if (/\S/.test(text[at - 1]) && !/\d/.test(text[at + 1] || "")) return at; // "$5 and $6" are dollars
    }
    return -1;
  };
  const mathematics = (text) => {
    const out = document.createDocumentFragment(), until = performance.now() + MATH.time;
    let from = 0, count = 0;
    OPEN.lastIndex = 0;
    for (let found; (found = OPEN.exec(text)) && count < MATH.formulas && performance.now() < until;) {
      if (text[found.index - 1] === "\\") continue;
      const opened = found[0], start = found.index + opened.length, end = closing(text, start, opened);
      if (end < 0) continue;
      const whole = opened.startsWith("\\begin"), mark = (CLOSE[opened] || opened.replace("\\begin", "\\end")).length;
      const tex = whole ? text.slice(found.index, end + mark) : text.slice(start, end);
      try {
        const drawn = formula(tex, whole || opened === "$$" || opened === "\\[");
        out.append(text.slice(from, found.index), drawn);
        from = OPEN.lastIndex = end + mark;
        count += 1;
      } catch { /* no TeX, or too much of it: it stays text */ }
    }
    out.append(text.slice(from));
    return out;
  };

  /* -- the sample */
  const head = JSON.parse($("head").textContent);
  const rows = JSON.parse($("data").textContent);
  $("data").remove(); // the texts are in memory once, not twice
  if (!rows.length) return;
  const columns = head.columns, place = (name) => columns.indexOf(name);
  const title = ["question", "problem", "prompt", "instruction", "headline", "title", "text"].map(place).find((n) => n >= 0)
    ?? Math.max(0, columns.findIndex((name, n) => name !== "row_key" && typeof rows[0].v[n] === "string"));
  const words = (value) => (value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));
  const heap = (row) => (row.hay ??= [...row.v.map(words),
    ...row.e.flatMap((one) => [one.outcome, one.model, one.message, one.text, one.reasoning, one.answer].map(words))].join("\n").toLowerCase());

  /* facets: columns of few short values, and what became of the requests */
  const facets = [], candidates = [];
  const facet = (name, of) => {
    const values = new Map();
    for (const row of rows) {
      for (const value of of(row)) {
        if (value.length > FACET.length) return;
        values.set(value, (values.get(value) || 0) + 1);
        if (values.size > FACET.values) return;
      }
    }
    if (values.size > 1 && values.size * 2 <= Math.max(rows.length, 4)) candidates.push({ name, of, values });
  };
  const offer = ({ name, of, values }) => {
    const select = make("select", {}, make("option", { value: "" }, "all"));
    for (const [value, count] of [...values].sort((a, b) => (a[0] < b[0] ? -1 : 1))) {
      select.append(make("option", { value: "=" + value }, `${value || "(empty)"} (${count.toLocaleString("en")})`));
    }
    $("facets").append(make("label", {}, name.replaceAll("_", " ") + " ", select));
    facets.push({ select, of });
  };
  facet("outcome", (row) => [...new Set(row.e.map((one) => one.outcome))]);
  columns.forEach((name, n) => {
    if (rows.every((row) => row.v[n] === null || ["string", "boolean"].includes(typeof row.v[n]))) facet(name, (row) => [words(row.v[n])]);
  });

  const fewest = candidates.map((one) => one.values.size).sort((a, b) => a - b)[FACET.most - 1] ?? FACET.values;
  candidates.filter((one) => one.values.size <= fewest).slice(0, FACET.most).forEach(offer);

  let matches = rows.map((_, n) => n), first = 0, search = 0;
  const field = (name, value) => [make("dt", {}, name), make("dd", {}, value)];
  const text = (value) => {
    const long = value.length > 600;
    return make("div", { class: "text" + (long ? " long" : ""), ...(long ? { tabindex: "0", role: "region", "aria-label": "text" } : {}) }, mathematics(value));
  };
  const shown = (value) => {
    if (value === null || value === undefined) return "–";
    if (typeof value === "string") return text(value);
    if (Array.isArray(value)) return value.every((one) => typeof one !== "object") ? text(value.join(", ")) : make("div", {}, ...value.map(shown));
    if (typeof value === "object") return make("dl", {}, ...Object.entries(value).flatMap(([key, item]) => field(key, shown(item))));
    return typeof value === "boolean" ? (value ? "yes" : "no") : value.toLocaleString("en", { maximumFractionDigits: 12 });
  };
  const quoted = (key) => (key.startsWith("-") ? "-- " : "") + (/^[\w@%+=:,./-]+$/.test(key) ? key : "'" + key.replaceAll("'", "'\\''") + "'");
  const said = (one) => {
    const stage = head.steps[one.step];
    if (!one.prompt) return one.prompt === undefined ? [] : [make("p", { class: "soft" }, "The prompt is not what it was when this was asked.")];
    const messages = one.prompt.flatMap(([role, content]) => [make("h3", {}, role), text(typeof content === "number" ? stage.shared[content] : content)]);
    return [make("details", {}, make("summary", {}, "Prompt"), ...messages)];
  };
  const evidence = (one) => {
    const facts = [one.model, one.attempts > 1 && `sent ${one.attempts} times`, one.input_tokens !== undefined && `${one.input_tokens.toLocaleString("en")} tokens in, ${one.output_tokens.toLocaleString("en")} out`,
      one.usd !== undefined && `$${one.usd.toFixed(6)}`].filter(Boolean).join(" · ");
    const bad = one.outcome !== "ok";
    const sample = one.sample > 1 ? `, sample ${one.sample}` : "";
    const box = make("div", { class: "step" + (bad ? " bad" : "") }, make("h3", {}, `${head.steps[one.step].stage}: ${one.outcome}`), make("p", { class: "soft" }, `${one.row_key}${sample}${facts ? " · " : ""}${facts}`));
    if (one.message) box.append(make("p", {}, one.message));
    box.append(...said(one));
    if (one.reasoning) box.append(make("details", {}, make("summary", {}, "Thinking"), text(one.reasoning)));
    if (one.answer !== undefined) box.append(shown(one.answer));
    else if (one.text !== undefined) box.append(text(one.text));
    return box;
  };
  const body = (row) => {
    const box = make("div", { class: "body" });
    box.append(make("dl", {}, ...columns.flatMap((name, n) => field(name.replaceAll("_", " "), shown(row.v[n])))));
    if (row.e.length) box.append(make("h3", {}, "What was asked on the way"), ...row.e.map(evidence));
    const key = row.v[place("row_key")];
    if (typeof key === "string") box.append(make("p", { class: "soft" }, "Every request, batch and cent behind it: ", make("code", {}, `${head.trace} ${quoted(key)}`)));
    return box;
  };
  const start = (value) => (value.length > 240 ? value.slice(0, 240).replace(/\s\S*$/, "") + " …" : value || "(empty)");
  const item = (n) => {
    const row = rows[n], label = start(words(row.v[title])), key = words(row.v[place("row_key")]);
    const details = make("details", {}, make("summary", {}, label, " ", make("small", {}, title === place("row_key") ? "" : key)));
    details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(body(row)); });
    return make("li", { "data-row": n }, details);
  };
  const draw = (more) => {
    $("rows").replaceChildren(...matches.slice(first, first + PAGE).map(item));
    $("count").textContent = `${matches.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows${more ? " so far …" : ""}`;
    const pages = Math.max(1, Math.ceil(matches.length / PAGE)), page = first / PAGE + 1;
    $("pager").hidden = pages < 2;
    $("page").textContent = `Page ${page.toLocaleString("en")} of ${pages.toLocaleString("en")}`;
    $("previous").disabled = page <= 1;
    $("next").disabled = page >= pages;
  };
  const filter = () => { // in slices, so that no key has to wait for the one before
    const mine = ++search, wanted = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = facets.filter(({ select }) => select.value), found = [];
    let n = 0, drawn = false;
    const step = () => {
      if (mine !== search) return;
      const until = performance.now() + SLICE;
      for (; n < rows.length && performance.now() < until; n++) {
        const row = rows[n];
        if (chosen.every(({ select, of }) => of(row).includes(select.value.slice(1))) && wanted.every((word) => heap(row).includes(word))) found.push(n);
      }
      const done = n >= rows.length;
      if (done || (!drawn && found.length >= PAGE)) {
        matches = found;
        first = 0;
        drawn = true;
        draw(!done);
      }
      if (done) document.documentElement.dataset.filtered = mine;
      else setTimeout(step);
    };
    step();
  };
  const turn = (by) => { first += by * PAGE; draw(); $("rows").scrollIntoView({ block: "nearest" }); $("rows").querySelector("summary")?.focus(); };
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  $("controls").addEventListener("input", filter);
  $("controls").addEventListener("reset", () => setTimeout(filter));
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("controls").hidden = false;
  draw();
  performance.mark("first-row");
})();
