// @ts-check
// The page of a comfyctl service. No framework, no build.

/** @type {(id: string) => any} */
const $ = (id) => /** @type {any} */ (document.getElementById(id));

/** @param {string} tag @param {Record<string, any>} [props] @param {...(Node|string)} kids */
function el(tag, props = {}, ...kids) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(props)) {
    if (v === undefined || v === null || v === false) continue;
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (k in e && k !== "list" && k !== "form") /** @type {any} */ (e)[k] = v;
    else e.setAttribute(k, v === true ? "" : String(v));
  }
  e.append(...kids);
  return e;
}

/** @type {any} */ let workflow = null;
/** @type {any} */ let running = null; // {id, abort}
/** @type {Map<string, File>} */ const chosen = new Map();
const histKey = () => "comfyctl.history." + location.pathname + (workflow ? workflow.name : "");

function headers() {
  const key = sessionStorage.getItem("comfyctl.key");
  return key ? { Authorization: "Bearer " + key } : {};
}

/** @param {string} path @param {RequestInit} [init] */
async function api(path, init = {}) {
  const resp = await fetch(path.replace(/^\//, ""), { ...init, headers: { ...headers(), ...(init.headers || {}) } });
  if (resp.status === 401) {
    $("key-box").open = true;
    $("key").focus();
  }
  if (!resp.ok) throw await problem(resp);
  return resp;
}

/** @param {Response} resp */
async function problem(resp) {
  let body;
  try { body = await resp.json(); } catch { body = { code: "http", message: "The service answered " + resp.status, errors: [] }; }
  return body;
}

// ── the form ────────────────────────────────────────────────────────────────

/** @param {string} name @param {any} p */
function field(name, p) {
  const id = "in-" + name, required = workflow.inputs.required.includes(name);
  const about = p.description ? el("p", { className: "about", id: id + "-about" }, p.description) : "";
  const wrong = el("p", { className: "wrong", id: id + "-wrong", hidden: true });
  const common = { id, name, "aria-describedby": [p.description ? id + "-about" : "", id + "-wrong"].join(" ").trim(), "aria-required": required ? "true" : undefined };
  const label = el("label", { htmlFor: id }, name + (required ? " (required)" : ""));
  const type = p["x-type"], value = p.default ?? (p.examples ? p.examples[0] : undefined);
  /** @type {any} */ let input;
  if (p.enum) {
    input = el("select", common, ...p.enum.map((/** @type {any} */ v) => el("option", { value: JSON.stringify(v), selected: v === value }, String(v))));
  } else if (type === "bool") {
    input = el("input", { ...common, type: "checkbox", checked: value === true });
    return el("div", { className: "field" }, el("div", { className: "check" }, input, label), about, wrong);
  } else if (type === "seed") {
    input = el("input", { ...common, type: "text", inputMode: "numeric", placeholder: "random", value: p["x-random"] ? "" : String(p.default ?? "") });
    const dice = el("button", { type: "button", onclick: () => { input.value = String(Math.floor(Math.random() * 2 ** 53)); refresh(); } }, "Draw one");
    return el("div", { className: "field" }, label, el("div", { className: "row" }, input, dice), about, wrong);
  } else if (type === "int" || type === "float") {
    const step = p["x-step"] ?? (type === "int" ? 1 : "any");
    input = el("input", { ...common, type: "number", min: p.minimum, max: p.maximum, step, value: value ?? "" });
    if (p.minimum !== undefined && p.maximum !== undefined && p.maximum - p.minimum <= 10000) {
      const range = el("input", { type: "range", min: p.minimum, max: p.maximum, step: step === "any" ? (p.maximum - p.minimum) / 100 : step, value: value ?? p.minimum, "aria-label": name + ", slider", tabIndex: -1 });
      range.addEventListener("input", () => { input.value = /** @type {any} */ (range).value; refresh(); });
      input.addEventListener("input", () => { /** @type {any} */ (range).value = input.value; });
      return el("div", { className: "field" }, label, el("div", { className: "row" }, range, input), about, wrong);
    }
  } else if (p["x-file"]) {
    return fileField(name, p, common, label, about, wrong);
  } else if (type === "text") {
    input = el("textarea", { ...common, value: value ?? "", maxLength: p.maxLength || undefined });
  } else {
    input = el("input", { ...common, type: "text", value: value ?? "", maxLength: p.maxLength || undefined });
  }
  return el("div", { className: "field" }, label, input, about, wrong);
}

/** @param {string} name @param {any} p @param {any} common @param {Node} label @param {any} about @param {Node} wrong */
function fileField(name, p, common, label, about, wrong) {
  const kind = p["x-type"] === "mask" ? "image" : p["x-type"];
  const input = /** @type {HTMLInputElement} */ (el("input", { ...common, type: "file", accept: kind === "file" ? undefined : kind + "/*" }));
  const shown = el("div");
  /** @param {File|undefined} f */
  const take = (f) => {
    shown.replaceChildren();
    if (!f) { chosen.delete(name); refresh(); return; }
    chosen.set(name, f);
    shown.append(el("p", { className: "hint" }, f.name + ", " + size(f.size)));
    if (f.type.startsWith("image/")) {
      const url = URL.createObjectURL(f);
      shown.append(el("img", { src: url, alt: "Chosen file for " + name, onload: () => URL.revokeObjectURL(url) }));
    }
    refresh();
  };
  input.addEventListener("change", () => take(input.files?.[0]));
  const drop = el("div", { className: "drop" }, input, el("p", { className: "hint" }, "Choose, drop or paste a file."), shown);
  drop.addEventListener("dragover", (e) => { e.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (e) => { e.preventDefault(); drop.classList.remove("over"); take(/** @type {DragEvent} */ (e).dataTransfer?.files[0]); });
  /** @type {any} */ (drop).take = take;
  drop.dataset.file = name;
  return el("div", { className: "field" }, label, drop, about, wrong);
}

document.addEventListener("paste", (e) => {
  const f = /** @type {ClipboardEvent} */ (e).clipboardData?.files[0];
  const first = /** @type {any} */ (document.querySelector("[data-file]"));
  if (f && first) { e.preventDefault(); first.take(f); }
});

function build() {
  chosen.clear();
  const props = workflow.inputs.properties;
  $("fields").replaceChildren(...workflow.inputs["x-order"].map((/** @type {string} */ n) => field(n, props[n])));
  fromLink();
  refresh();
}

/** The values of the form; files are left out. */
function values() {
  /** @type {Record<string, any>} */ const out = {};
  for (const name of workflow.inputs["x-order"]) {
    const e = $("in-" + name), p = workflow.inputs.properties[name];
    if (!e || /** @type {any} */ (p)["x-file"]) continue;
    if (/** @type {any} */ (p).enum) out[name] = JSON.parse(e.value);
    else if (e.type === "checkbox") out[name] = e.checked;
    else if (e.value === "") continue;
    else if (e.type === "number") out[name] = Number(e.value);
    else out[name] = e.value; // seeds go as text, so that every digit arrives
  }
  return out;
}

/** @param {Record<string, any>} v */
function fill(v) {
  for (const [name, value] of Object.entries(v)) {
    const e = $("in-" + name), p = workflow.inputs.properties[name];
    if (!e || !p || e.type === "file") continue;
    if (p.enum) e.value = JSON.stringify(value);
    else if (e.type === "checkbox") e.checked = value === true;
    else e.value = String(value);
    e.dispatchEvent(new Event("input"));
  }
  refresh();
}

// ── errors ──────────────────────────────────────────────────────────────────

function clearErrors() {
  $("summary").hidden = true;
  for (const e of document.querySelectorAll("[aria-invalid]")) e.removeAttribute("aria-invalid");
  for (const e of document.querySelectorAll(".wrong")) /** @type {any} */ (e).hidden = true;
}

/** @param {any} p a problem document */
function showErrors(p) {
  const items = [];
  for (const e of p.errors || []) {
    const name = (e.pointer || "").replace(/^\/input\//, "").replace(/~1/g, "/").replace(/~0/g, "~");
    const input = $("in-" + name);
    const text = e.message + (e.suggestion ? " — did you mean " + e.suggestion + "?" : "");
    if (!input) { items.push(el("li", {}, text)); continue; }
    input.setAttribute("aria-invalid", "true");
    const w = $("in-" + name + "-wrong");
    w.textContent = text;
    w.hidden = false;
    items.push(el("li", {}, el("a", { href: "#in-" + name, onclick: (/** @type {Event} */ ev) => { ev.preventDefault(); input.focus(); } }, text)));
  }
  const node = p.node ? ` (node ${p.node.id} ${p.node.class_type}${p.node.title ? " “" + p.node.title + "”" : ""})` : "";
  $("summary").replaceChildren(el("strong", {}, (p.title || "It did not work") + node), items.length ? el("ul", {}, ...items) : el("p", {}, p.message || ""), p.hint ? el("p", {}, p.hint) : "");
  $("summary").hidden = false;
  $("summary").focus();
}

// ── running ─────────────────────────────────────────────────────────────────

async function run() {
  if (running) return;
  clearErrors();
  for (const name of workflow.inputs.required) {
    const v = values();
    if (v[name] === undefined && !chosen.has(name)) {
      showErrors({ title: "Something is missing", errors: [{ pointer: "/input/" + name, message: name + " is required" }] });
      return;
    }
  }
  const input = values(), body = new FormData();
  body.append("request", JSON.stringify({ input }));
  for (const [name, f] of chosen) body.append(name, f, f.name);
  const abort = new AbortController();
  running = { id: null, abort };
  busy(true);
  const began = performance.now();
  try {
    const init = chosen.size ? { body } : { body: JSON.stringify({ input }), headers: { "Content-Type": "application/json" } };
    const resp = await api("v1/workflows/" + encodeURIComponent(workflow.name) + "/jobs", { method: "POST", ...init, headers: { ...(init.headers || {}), Prefer: "respond-async" } });
    let job = await resp.json();
    running.id = job.id;
    if (!final(job.status)) job = await follow(job.id, abort.signal);
    done(job, input, began);
  } catch (err) {
    if (!abort.signal.aborted) showErrors(/** @type {any} */ (err).code ? err : { title: "The service cannot be reached", message: String(err) });
  } finally {
    running = null;
    busy(false);
  }
}

/** @param {string} s */
const final = (s) => ["succeeded", "failed", "canceled", "expired"].includes(s);

/** Reads the event stream; a dropped one goes on where it was.
 * @param {string} id @param {AbortSignal} signal */
async function follow(id, signal) {
  let last = "", waits = 0;
  for (;;) {
    try {
      const resp = await api("v1/jobs/" + id + "/events", { signal, headers: /** @type {any} */ (last ? { "Last-Event-ID": last } : {}) });
      const reader = /** @type {ReadableStream<Uint8Array>} */ (resp.body).getReader(), text = new TextDecoder();
      let buf = "";
      for (;;) {
        const { done: over, value } = await reader.read();
        if (over) break;
        buf += text.decode(value, { stream: true });
        let at;
        while ((at = buf.indexOf("\n\n")) >= 0) {
          const e = parse(buf.slice(0, at));
          buf = buf.slice(at + 2);
          if (!e) continue;
          last = e.id || last;
          waits = 0;
          if (e.event === "done") return JSON.parse(e.data);
          event(e.event, JSON.parse(e.data));
        }
      }
      const job = await (await api("v1/jobs/" + id)).json();
      if (final(job.status)) return job;
    } catch (err) {
      if (signal.aborted || /** @type {any} */ (err).code || ++waits > 8) throw err;
    }
    await new Promise((r) => setTimeout(r, Math.min(250 * 2 ** waits, 5000)));
  }
}

/** @param {string} block */
function parse(block) {
  const e = { id: "", event: "message", data: "" };
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at <= 0) continue;
    const key = line.slice(0, at), value = line.slice(at + 1).replace(/^ /, "");
    if (key === "data") e.data += value;
    else if (key === "id" || key === "event") e[key] = value;
  }
  return e.data ? e : null;
}

let quarter = 0;
/** @param {string} type @param {any} d */
function event(type, d) {
  if (type === "progress") {
    const percent = Math.round(d.value * 100), n = d.current_node;
    $("bar").value = percent;
    $("state").textContent = (n ? (n.title || n.class_type) : "Running") + (d.steps ? ` · step ${d.step} of ${d.steps}` : "") + ` · ${percent} %`;
    document.title = percent + " % · " + workflow.name;
    const q = Math.floor(percent / 25);
    if (q > quarter) { quarter = q; say(percent + " percent"); }
  } else if (type === "preview") {
    $("preview").src = "data:" + d.content_type + ";base64," + d.data;
    $("preview").hidden = false;
  } else if (type === "status") {
    $("state").textContent = d.status === "queued" ? "Waiting, place " + (d.queue_position || 1) : d.status === "running" ? "Running" : d.status;
  } else if (type === "warning") {
    $("state").textContent = d.message;
  }
}

/** @param {string} text */
function say(text) { $("live").textContent = text; }

/** @param {boolean} on */
function busy(on) {
  quarter = 0;
  $("run").disabled = on;
  $("cancel").hidden = !on;
  $("progress").hidden = !on;
  $("preview").hidden = true;
  $("bar").value = 0;
  $("state").textContent = "Sending";
  if (on) { $("empty").hidden = true; say("Running"); }
  else document.title = workflow.name;
}

/** @param {any} job @param {any} input @param {number} began */
function done(job, input, began) {
  const took = ((performance.now() - began) / 1000).toFixed(1);
  if (job.status !== "succeeded") {
    say("The job " + job.status);
    if (job.error) showErrors(job.error);
    else $("gallery").prepend(el("p", { className: "hint" }, "The job was " + job.status + "."));
    return;
  }
  say(`Done in ${took} seconds, ${job.outputs.length} output${job.outputs.length === 1 ? "" : "s"}`);
  $("gallery").replaceChildren(...job.outputs.map((/** @type {any} */ o) => output(o, job)), timing(job, took));
  remember({ at: Date.now(), id: job.id, input: { ...input, ...seeds(job) } });
}

/** Seeds that the service drew, so that a run can be had again. @param {any} job */
function seeds(job) {
  /** @type {Record<string, string>} */ const out = {};
  for (const [name, p] of Object.entries(workflow.inputs.properties)) {
    if (/** @type {any} */ (p)["x-type"] === "seed" && job.input[name] !== undefined) out[name] = String(job.input[name]);
  }
  return out;
}

/** @param {any} o @param {any} job */
function output(o, job) {
  const href = o.url.replace(/^\//, "");
  const caption = el("figcaption", {}, o.name + " · " + o.content_type + (o.width ? ` · ${o.width}×${o.height}` : "") + " · " + size(o.size_bytes) + (job.engine === "stub" ? " · STUB" : "") + " · ");
  const link = el("a", { href, download: o.filename || o.name }, "Download");
  caption.append(link);
  /** @type {Node} */ let body = el("p", {}, "A file of type " + o.content_type);
  if (o.type === "image") body = media("img", href, { alt: "Output " + o.name }, link);
  else if (o.type === "video") body = media("video", href, { controls: true }, link);
  else if (o.type === "audio") body = media("audio", href, { controls: true }, link);
  else if (o.type === "text") body = el("pre", { tabIndex: 0 }, o.text || "");
  return el("figure", {}, body, caption);
}

/** Media of a service with keys is fetched, since a tag sends no header.
 * @param {string} tag @param {string} href @param {any} props @param {any} link */
function media(tag, href, props, link) {
  const e = /** @type {any} */ (el(tag, props));
  if (!sessionStorage.getItem("comfyctl.key")) { e.src = href; return e; }
  api(href).then((r) => r.blob()).then((b) => { e.src = link.href = URL.createObjectURL(b); }).catch(() => {});
  return e;
}

/** @param {any} job @param {string} took */
function timing(job, took) {
  const t = job.timings || {}, rows = Object.entries(t.nodes || {}).sort((a, b) => Number(b[1]) - Number(a[1])).slice(0, 12);
  const head = `${took} s` + (job.reused ? " · from the cache" : "") + ` · waited ${t.queue_ms} ms, ran ${t.run_ms} ms` + Object.entries(seeds(job)).map(([n, v]) => ` · ${n} ${v}`).join("");
  return el("details", {}, el("summary", {}, head), el("table", {}, el("tbody", {}, ...rows.map(([id, ms]) => el("tr", {}, el("td", {}, "node " + id), el("td", {}, ms + " ms"))))));
}

/** @param {number} n bytes */
function size(n) { return n < 1000 ? n + " B" : n < 1e6 ? (n / 1e3).toFixed(0) + " kB" : (n / 1e6).toFixed(1) + " MB"; }

async function cancel() {
  if (!running) return;
  if (!running.id) { running.abort.abort(); return; }
  $("state").textContent = "Cancelling";
  try { await api("v1/jobs/" + running.id + "/cancel", { method: "POST" }); } catch (e) { showErrors(e); }
}

// ── code ────────────────────────────────────────────────────────────────────

const langs = ["curl", "Python", "JavaScript", "Go"];
let lang = "curl";

function snippet() {
  const v = values(), json = JSON.stringify({ input: v }, null, 2), files = [...chosen.keys()];
  const base = new URL(".", location.href).href, url = base + "v1/workflows/" + workflow.name + "/jobs", auth = !!sessionStorage.getItem("comfyctl.key");
  const bash = (/** @type {string} */ s) => "'" + s.replace(/'/g, "'\\''") + "'";
  switch (lang) {
    case "Python":
      return `import json, os, urllib.request\n\nbody = json.loads(${JSON.stringify(JSON.stringify({ input: v }))})\n` +
        files.map((f) => `# body["input"]["${f}"] = id of POST ${base}v1/files\n`).join("") +
        `req = urllib.request.Request("${url}", json.dumps(body).encode(), {"Content-Type": "application/json"${auth ? ', "Authorization": "Bearer " + os.environ["COMFYCTL_KEY"]' : ""}})\njob = json.load(urllib.request.urlopen(req))\nprint(job["status"], [o["url"] for o in job["outputs"]])`;
    case "JavaScript":
      return `const resp = await fetch("${url}", {\n  method: "POST",\n  headers: { "Content-Type": "application/json"${auth ? ', Authorization: "Bearer " + process.env.COMFYCTL_KEY' : ""} },\n  body: JSON.stringify(${json.replace(/\n/g, "\n  ")}),\n});\nconst job = await resp.json();\nconsole.log(job.status, job.outputs.map((o) => o.url));`;
    case "Go":
      return `body := strings.NewReader(\`${json}\`)\nreq, _ := http.NewRequest("POST", "${url}", body)\nreq.Header.Set("Content-Type", "application/json")\n${auth ? 'req.Header.Set("Authorization", "Bearer "+os.Getenv("COMFYCTL_KEY"))\n' : ""}resp, err := http.DefaultClient.Do(req)`;
  }
  const key = auth ? ` \\\n  -H "Authorization: Bearer $COMFYCTL_KEY"` : "";
  if (files.length) return `curl ${url}${key} \\\n  -F ${bash("request=" + JSON.stringify({ input: v }))}` + files.map((f) => ` \\\n  -F ${bash(f + "=@" + /** @type {File} */ (chosen.get(f)).name)}`).join("");
  return `curl ${url}${key} \\\n  -H 'Content-Type: application/json' \\\n  -d ${bash(json)}`;
}

function tabs() {
  $("tabs").replaceChildren(...langs.map((l) => el("button", {
    type: "button", role: "tab", id: "tab-" + l, "aria-selected": String(l === lang), "aria-controls": "panel", tabIndex: l === lang ? 0 : -1,
    onclick: () => pick(l, false), onkeydown: (/** @type {KeyboardEvent} */ e) => {
      const by = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
      if (by) { e.preventDefault(); pick(langs[(langs.indexOf(l) + by + langs.length) % langs.length], true); }
    },
  }, l)));
  $("panel").setAttribute("aria-labelledby", "tab-" + lang);
}

/** @param {string} l @param {boolean} focus */
function pick(l, focus) {
  lang = l;
  for (const t of langs) {
    const e = $("tab-" + t);
    e.setAttribute("aria-selected", String(t === l));
    e.tabIndex = t === l ? 0 : -1;
  }
  $("panel").setAttribute("aria-labelledby", "tab-" + l);
  if (focus) $("tab-" + l).focus();
  refresh();
}

function refresh() { if (workflow) $("code").textContent = snippet(); }

// ── history, links ──────────────────────────────────────────────────────────

/** @returns {any[]} */
function past() { try { return JSON.parse(localStorage.getItem(histKey()) || "[]"); } catch { return []; } }

/** @param {any} entry */
function remember(entry) {
  try { localStorage.setItem(histKey(), JSON.stringify([entry, ...past()].slice(0, 50))); } catch { /* storage is full or off */ }
  history();
}

function history() {
  const list = past();
  $("no-history").hidden = list.length > 0;
  $("clear").hidden = list.length === 0;
  $("history").replaceChildren(...list.map((h) => el("li", {}, el("button", { type: "button", onclick: () => { fill(h.input); $("run").focus(); say("Inputs restored"); } },
    new Date(h.at).toLocaleTimeString() + " · " + (Object.values(h.input).map(String).join(", ") || "no inputs")))));
}

async function share() {
  const url = new URL(location.href);
  url.hash = new URLSearchParams(Object.entries(values()).map(([k, v]) => [k, String(v)])).toString();
  history_replace(url);
  try { await navigator.clipboard.writeText(url.href); say("Link copied"); $("share").textContent = "Copied"; } catch { $("share").textContent = "Link is in the address bar"; }
  setTimeout(() => { $("share").textContent = "Copy link"; }, 2500);
}

/** @param {URL} url */
function history_replace(url) { window.history.replaceState(null, "", url); }

function fromLink() {
  const h = new URLSearchParams(location.hash.slice(1));
  /** @type {Record<string, any>} */ const v = {};
  for (const [k, s] of h) {
    const p = workflow.inputs.properties[k];
    if (!p) continue;
    v[k] = p.enum ? p.enum.find((/** @type {any} */ e) => String(e) === s) ?? p.default : p["x-type"] === "bool" ? s === "true" : s;
  }
  if (Object.keys(v).length) fill(v);
}

// ── the service ─────────────────────────────────────────────────────────────

/** @type {any} */ let timer;
async function watch() {
  clearTimeout(timer);
  const notes = [];
  let again = 0;
  try {
    const r = await (await fetch("readyz", { headers: headers() })).json();
    if (r.engine.kind === "stub") notes.push("Stub engine: pictures are made up and marked STUB; no model runs.");
    if (!r.ready) {
      notes.push(r.draining ? "The service is shutting down." : `The engine is ${r.engine.stage}, for ${Math.round(r.engine.stage_ms / 1000)} s so far. Jobs wait until it is ready.` + (r.engine.reason ? " " + r.engine.reason : ""));
      again = 1500;
    }
    if (r.auth === false && !["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) notes.push("Auth is off: whoever reaches this address can use the service.");
  } catch {
    notes.push("The service does not answer.");
    again = 3000;
  }
  $("banners").replaceChildren(...notes.map((n) => el("div", { className: "banner" }, n)));
  timer = setTimeout(watch, again || 15000);
}

/** @param {string} name */
async function choose(name) {
  workflow = await (await api("v1/workflows/" + encodeURIComponent(name))).json();
  $("name").textContent = document.title = workflow.name;
  $("about").textContent = workflow.description || "";
  build();
  history();
}

async function start() {
  tabs();
  watch();
  $("form").addEventListener("submit", (/** @type {Event} */ e) => { e.preventDefault(); run(); });
  $("form").addEventListener("input", refresh);
  $("cancel").addEventListener("click", cancel);
  $("reset").addEventListener("click", () => { clearErrors(); history_replace(new URL(location.pathname, location.href)); build(); });
  $("share").addEventListener("click", share);
  $("clear").addEventListener("click", () => { localStorage.removeItem(histKey()); history(); });
  $("copy").addEventListener("click", async () => { try { await navigator.clipboard.writeText(snippet()); say("Code copied"); } catch { say("The browser did not allow it"); } });
  $("key").value = sessionStorage.getItem("comfyctl.key") || "";
  $("key").addEventListener("change", () => { sessionStorage.setItem("comfyctl.key", $("key").value); load(); });
  document.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); run(); }
    if (e.key === "Escape" && running) cancel();
  });
  await load();
}

async function load() {
  try {
    const list = (await (await api("v1/workflows")).json()).data;
    const select = $("workflows");
    select.replaceChildren(...list.map((/** @type {any} */ w) => el("option", { value: w.name }, w.name)));
    select.hidden = list.length < 2;
    select.onchange = () => choose(select.value);
    await choose(list[0].name);
  } catch (err) {
    showErrors(/** @type {any} */ (err).code ? err : { title: "The service cannot be reached", message: String(err) });
  }
}

start();
