// Shows /openapi.json. Texts become text nodes: nothing in them is markup, but `code` and lists.
"use strict";

let api;

const make = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((each) => each !== null && each !== ""));
  return made;
};

const inline = (text) =>
  text.split("`").map((part, index) => (index % 2 ? make("code", {}, part) : part)).filter((part) => part !== "");

const prose = (text) => {
  const blocks = [];
  for (const block of (text || "").split("\n\n").filter(Boolean)) {
    const lines = block.split("\n");
    const items = lines.filter((line) => line.startsWith("- "));
    const rest = lines.filter((line) => !line.startsWith("- ")).join(" ");
    if (rest) blocks.push(make("p", {}, ...inline(rest)));
    if (items.length) blocks.push(make("ul", {}, ...items.map((line) => make("li", {}, ...inline(line.slice(2))))));
  }
  return blocks;
};

// What a reference leads to, its own description before that of its target.
const resolve = (thing) => {
  if (!thing || !thing.$ref) return thing || {};
  const target = thing.$ref.slice(2).split("/").reduce((owner, key) => owner[key], api);
  return { ...target, ...thing, name: target.name || thing.$ref.split("/").pop() };
};

const plain = (schema) => (schema.anyOf && schema.anyOf[0].$ref ? { ...schema.anyOf[0], ...schema } : schema);

const kind = (given) => {
  const schema = plain(given);
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `list of ${kind(schema.items || {})}`;
  if (schema.additionalProperties instanceof Object) return `map of ${kind(schema.additionalProperties)}`;
  if ("const" in schema) return JSON.stringify(schema.const);
  const base = Array.isArray(schema.type) ? schema.type[0] : schema.type || "any";
  const extra = schema.format || schema.contentEncoding;
  const told = extra ? `${base} (${extra})` : base;
  return schema.examples ? `${told}, such as ${schema.examples[0]}` : told;
};

// The schema with fields of its own that a value of this schema holds.
const inner = (given) => {
  const schema = plain(given);
  if (schema.type === "array") return inner(schema.items || {});
  if (schema.additionalProperties instanceof Object) return inner(schema.additionalProperties);
  return resolve(schema);
};

const later = (title, content) => {
  const details = make("details", {}, make("summary", {}, title));
  details.addEventListener("toggle", () => details.children.length < 2 && details.append(content()), { once: true });
  return details;
};

const values = (schema) => {
  const target = inner(schema);
  if (target.properties && Object.keys(target.properties).length) return later("fields", () => fields(target));
  if (target.enum && target.type === "string")
    return later("values", () => make("div", {}, ...(target.description && target.description.includes("- `")
      ? prose(target.description) : [make("ul", {}, ...target.enum.map((each) => make("li", {}, make("code", {}, each))))])));
  return null;
};

const row = (name, note, schema, text) =>
  make("tr", {},
    make("td", {}, make("code", {}, name), note ? make("div", { class: "kind" }, note) : null),
    make("td", {}, make("div", { class: "kind" }, kind(schema)), ...prose(text), values(schema)));

const fields = (schema) =>
  make("table", {}, make("tbody", {},
    ...Object.entries(schema.properties || {}).map(([name, each]) => row(name, "", each, each.description))));

const part = (title, ...content) => [make("h3", {}, title), ...content];

const errors = (responses) => {
  const own = [], common = [];
  for (const [code, given] of Object.entries(responses)) {
    if (code === "200") continue;
    const response = resolve(given);
    const meanings = api.components.schemas.Reason.description.split("\n");
    const reasons = (given["x-reasons"] || []).map((reason) =>
      make("p", { class: "reason" }, ...inline(meanings.find((line) => line.startsWith(`- \`${reason}\``)).slice(2))));
    (given.$ref ? common : own).push(make("tr", {}, make("td", {}, make("code", {}, code)),
      make("td", {}, ...(reasons.length ? reasons : prose(response.description)))));
  }
  return [make("table", { class: "errors" }, make("tbody", {}, ...own)),
    later("of any call", () => make("table", { class: "errors" }, make("tbody", {}, ...common)))];
};

const who = (operation) => {
  if (!operation.security.length) return ["Anyone."];
  const [scheme] = Object.keys(operation.security[0]);
  const scopes = operation.security.flatMap((each) => each[scheme]);
  const text = api.components.securitySchemes[scheme].description;
  return [...inline("`Authorization: Bearer …` "), text, scopes.length ? ` Here: ${scopes.join(" or ")}.` : ""];
};

const inside = (operation) => {
  const found = [...prose(operation.description), ...part("Caller", make("p", {}, ...who(operation).filter(Boolean)))];
  const parameters = (operation.parameters || []).map(resolve);
  if (parameters.length)
    found.push(...part("Parameters", make("table", {}, make("tbody", {}, ...parameters.map((each) =>
      row(each.name, each.in + (each.required ? ", required" : ""), each.schema, each.description))))));
  if (operation.requestBody) {
    const { schema } = Object.values(operation.requestBody.content)[0];
    const target = inner(schema);
    const empty = !Object.keys(target.properties || {}).length;
    found.push(...part("Body", empty ? make("p", {}, "Empty.") : fields(target)));
  }
  if (operation.responses["200"]) {
    const answer = operation.responses["200"];
    const [[media, { schema }]] = Object.entries(answer.content);
    const target = inner(schema.contentSchema || schema);
    const empty = !Object.keys(target.properties || {}).length;
    found.push(...part(`Answer · ${media}`, ...(schema.contentSchema ? prose(answer.description) : []),
      empty ? make("p", {}, "Empty.") : fields(target)));
    found.push(...part("Errors", ...errors(operation.responses)));
  }
  return make("div", { class: "inside" }, ...found);
};

// All words by which an operation is found, those of the fields of its body and answer too.
const words = (path, verb, operation) => {
  const seen = new Set(), found = [];
  const walk = (value) => {
    if (typeof value === "string") found.push(value);
    else if (Array.isArray(value)) value.forEach(walk);
    else if (value instanceof Object) {
      if (typeof value.$ref === "string") {
        if (value.$ref.includes("/responses/") || value.$ref.endsWith("/Status") || seen.has(value.$ref)) return;
        seen.add(value.$ref);
        walk(resolve({ $ref: value.$ref }));
      }
      for (const [key, each] of Object.entries(value)) {
        if (key === "properties") found.push(...Object.keys(each));
        walk(each);
      }
    }
  };
  walk(operation);
  return `${verb} ${path} ${found.join(" ")}`.toLowerCase();
};

const show = () => {
  const calls = document.getElementById("calls"), main = document.getElementById("main");
  const listed = [], sections = [];
  document.title = api.info.title;
  document.querySelector("h1").textContent = api.info.title;
  main.append(make("section", {}, ...prose(api.info.description)));
  const posted = Object.entries(api.webhooks || {}).map(([name, item]) => [`→ ${name}`, item]);
  const all = [...Object.entries(api.paths), ...posted].flatMap(([path, item]) =>
    Object.entries(item).map(([verb, operation]) => ({ path, verb, operation })));
  for (const tag of api.tags) {
    const section = make("section", { id: tag.name }, make("h2", {}, tag.name), ...prose(tag.description));
    const group = make("div", {}, make("h2", {}, tag.name.replace(/Service$/, "")));
    const entries = all.filter(({ operation }) => operation.tags.includes(tag.name)).map(({ path, verb, operation }) => {
      const details = make("details", { class: "operation", id: operation.operationId },
        make("summary", {}, make("span", { class: `verb ${verb}` }, verb.toUpperCase()), make("code", {}, path),
          make("span", {}, operation.summary)));
      const fill = () => details.open && details.children.length < 2 && details.append(inside(operation));
      details.addEventListener("toggle", fill);
      const link = make("a", { href: `#${operation.operationId}` }, operation.summary);
      section.append(details);
      group.append(link);
      return { details, fill, link, words: words(path, verb, operation) };
    });
    listed.push(...entries);
    sections.push({ parts: [section, group], entries });
    main.append(section);
    calls.append(group);
  }
  // Beside the page where there is room, else above it and folded.
  const narrow = matchMedia("(max-width: 60rem)");
  const fold = () => { calls.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  calls.addEventListener("click", (event) => event.target.closest("a") && fold());
  fold();
  const search = document.getElementById("search"), nothing = document.getElementById("nothing");
  search.addEventListener("input", () => {
    const asked = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const entry of listed)
      entry.details.hidden = entry.link.hidden = !asked.every((word) => entry.words.includes(word));
    for (const { parts, entries } of sections)
      for (const each of parts) each.hidden = entries.every((entry) => entry.details.hidden);
    nothing.textContent = listed.every((entry) => entry.details.hidden) ? "Nothing found." : "";
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
  });
  const jump = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    const entry = listed.find(({ details }) => details === target);
    if (entry) {
      target.open = true;
      // The event that tells of it comes later.
      entry.fill();
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", jump);
  main.removeAttribute("aria-busy");
  jump();
};

fetch("openapi.json")
  .then((answer) => answer.ok ? answer.json() : Promise.reject(new Error(answer.status)))
  .then((found) => { api = found; show(); })
  .catch((error) => document.getElementById("main").append(make("p", {}, `openapi.json cannot be shown: ${error.message}`)));
