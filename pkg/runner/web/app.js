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
/** @type {any} */ let running = null; // {id, abort, since, wish}
/** Titles of nodes, as events name them. @type {Record<string, string>} */ const titles = {};
/** @type {Map<string, File>} */ const chosen = new Map();
const runKey = () => "comfyctl.job." + location.pathname + (workflow ? workflow.name : "");
const histKey = () => "comfyctl.history." + location.pathname + (workflow ? workflow.name : "");

/** @returns {Record<string, string>} */
function headers() {
  const key = sessionStorage.getItem("comfyctl.key");
  return key ? { Authorization: "Bearer " + key } : {};
}

/** @param {string} path @param {RequestInit & {headers?: Record<string, string>}} [init] */
async function api(path, init = {}) {
  const resp = await fetch(path.replace(/^\//, ""), { ...init, headers: { ...headers(), ...init.headers } });
  if (resp.status === 401) {
    $("key-box").hidden = false;
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
  /** @type {any} */ let about = p.description ? el("p", { className: "about", id: id + "-about" }, p.description) : "";
  const wrong = el("p", { className: "wrong", id: id + "-wrong", hidden: true });
  const common = { id, name, "aria-describedby": [p.description ? id + "-about" : "", id + "-wrong"].join(" ").trim(), "aria-required": required ? "true" : undefined };
  const label = el("label", { htmlFor: id }, name + (required ? " (required)" : ""));
  const type = p["x-type"], value = shown(p.default) ?? (required && p.examples ? p.examples[0] : undefined);
  /** @type {any} */ let input;
  if (p.enum) {
    const none = value === undefined ? [el("option", { value: "" }, required ? "Choose one" : "As in the workflow")] : [];
    input = el("select", common, ...none, ...p.enum.map((/** @type {any} */ v) => el("option", { value: JSON.stringify(v), selected: v === value }, String(v))));
  } else if (type === "bool" && value === undefined) {
    input = el("select", common, el("option", { value: "" }, "As in the workflow"), el("option", { value: "true" }, "yes"), el("option", { value: "false" }, "no"));
  } else if (type === "bool") {
    input = el("input", { ...common, type: "checkbox", checked: value === true });
    return el("div", { className: "field" }, el("div", { className: "check" }, input, label), about, wrong);
  } else if (type === "seed") {
    input = el("input", { ...common, type: "text", inputMode: "numeric", placeholder: p["x-random"] ? "random" : "as in the workflow", value: p["x-random"] ? "" : String(shown(p.default) ?? "") });
    const dice = el("button", { type: "button", "aria-label": "Draw a number for " + name, onclick: () => { input.value = String(Math.floor(Math.random() * 2 ** 53)); refresh(); } }, "⚄ Draw");
    return el("div", { className: "field" }, label, el("div", { className: "row" }, input, dice), about, wrong);
  } else if (type === "int" || type === "float") {
    const step = p["x-step"] ?? (type === "int" ? 1 : "any");
    about = bounds(p, about, common);
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

/** A value that this page can show exactly; JavaScript rounds greater numbers. @param {any} v */
function shown(v) { return v === null || typeof v === "number" && Number.isInteger(v) && !Number.isSafeInteger(v) ? undefined : v; }

/** Adds what numbers are taken to what a field is about. @param {any} p @param {any} about @param {any} common */
function bounds(p, about, common) {
  const low = shown(p.minimum), high = shown(p.maximum);
  const text = low !== undefined && high !== undefined ? `${low} to ${high}` : low !== undefined ? `from ${low}` : high !== undefined ? `up to ${high}` : "";
  if (!text) return about;
  if (about) { about.append(" · " + text); return about; }
  const id = common.id + "-about";
  common["aria-describedby"] = id + " " + common["aria-describedby"];
  return el("p", { className: "about", id }, text);
}

/** @param {string} name @param {any} p @param {any} common @param {Node} label @param {any} about @param {Node} wrong */
function fileField(name, p, common, label, about, wrong) {
  const kind = p["x-type"] === "mask" ? "image" : p["x-type"];
  const input = /** @type {HTMLInputElement} */ (el("input", { ...common, type: "file", accept: kind === "file" ? undefined : kind + "/*" }));
  const what = el("div");
  /** @param {File|undefined} f */
  const take = (f) => {
    what.replaceChildren();
    clearError(name);
    if (!f) { chosen.delete(name); input.value = ""; refresh(); return; }
    if (p["x-max-size"] && f.size > p["x-max-size"]) {
      chosen.delete(name);
      input.value = "";
      wrongField(name, `${f.name} has ${size(f.size)}; at most ${size(p["x-max-size"])} are taken`);
      refresh();
      return;
    }
    chosen.set(name, f);
    what.append(el("div", { className: "chosen" }, el("span", { className: "hint" }, f.name + ", " + size(f.size)),
      el("button", { type: "button", className: "quiet", "aria-label": "Remove the file of " + name, onclick: () => { take(undefined); input.focus(); } }, "Remove")));
    if (f.type.startsWith("image/")) {
      const url = URL.createObjectURL(f);
      what.append(el("img", { src: url, alt: "Chosen file for " + name, onload: () => URL.revokeObjectURL(url) }));
    }
    refresh();
  };
  input.addEventListener("change", () => { if (input.files?.[0]) take(input.files[0]); });
  const drop = el("div", { className: "drop" }, input, el("p", { className: "hint" }, "Choose, drop or paste a file."), what);
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
    if (e.type === "checkbox") out[name] = e.checked;
    else if (e.value === "") continue;
    else if (e.tagName === "SELECT") out[name] = JSON.parse(e.value);
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
    if (e.tagName === "SELECT") e.value = JSON.stringify(value);
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

/** @param {string} name @param {string} text */
function wrongField(name, text) {
  $("in-" + name).setAttribute("aria-invalid", "true");
  const w = $("in-" + name + "-wrong");
  w.textContent = text;
  w.hidden = false;
}

/** @param {string} name */
function clearError(name) {
  $("in-" + name)?.removeAttribute("aria-invalid");
  const w = $("in-" + name + "-wrong");
  if (w) w.hidden = true;
}

/** What a form can tell before it is sent. */
function missing() {
  const v = values(), errors = [];
  for (const name of workflow.inputs["x-order"]) {
    if ($("in-" + name).validity?.badInput) errors.push({ pointer: "/input/" + name, message: name + " is not a number" });
    else if (workflow.inputs.required.includes(name) && v[name] === undefined && !chosen.has(name)) errors.push({ pointer: "/input/" + name, message: name + " is required" });
  }
  return errors;
}

/** Text of the service, without the marks that it puts around names. @param {string} [s] */
const prose = (s) => (s || "").replace(/`([^`]*)`/g, "$1");

/** @param {any} p a problem document */
function showErrors(p) {
  if (p.code === "unauthorized") {
    const wrong = sessionStorage.getItem("comfyctl.key") ? "The service does not know this key." : "Enter the key of this service below.";
    $("summary").replaceChildren(el("strong", {}, "An API key is needed"), el("p", {}, wrong));
    $("summary").hidden = false; // an alert is said aloud; the focus is in the field for the key
    return;
  }
  const items = [];
  for (const e of p.errors || []) {
    const name = (e.pointer || "").replace(/^\/input\//, "").replace(/~1/g, "/").replace(/~0/g, "~");
    const input = $("in-" + name);
    const text = prose(e.message) + (e.suggestion ? " — did you mean " + e.suggestion + "?" : "");
    if (!input) { items.push(el("li", {}, text)); continue; }
    wrongField(name, text);
    items.push(el("li", {}, el("a", { href: "#in-" + name, onclick: (/** @type {Event} */ ev) => { ev.preventDefault(); input.focus(); } }, text)));
  }
  const node = p.node ? ` (node ${p.node.id} ${p.node.class_type}${p.node.title ? " “" + p.node.title + "”" : ""})` : "";
  $("summary").replaceChildren(el("strong", {}, (p.title || "It did not work") + node), items.length ? el("ul", {}, ...items) : el("p", {}, prose(p.message)), p.hint ? el("p", {}, prose(p.hint)) : "");
  $("summary").hidden = false;
  $("summary").focus();
}

// ── running ─────────────────────────────────────────────────────────────────

async function run() {
  if (running || !workflow) return;
  clearErrors();
  const errors = missing();
  if (errors.length) { showErrors({ title: "The form is not complete", errors }); return; }
  const input = values(), body = new FormData(), json = JSON.stringify({ input });
  body.append("request", json);
  for (const [name, f] of chosen) body.append(name, f, f.name);
  const init = chosen.size ? { body } : { body: json, headers: { "Content-Type": "application/json" } };
  await track(async () => (await api("v1/workflows/" + encodeURIComponent(workflow.name) + "/jobs",
    { method: "POST", ...init, headers: { ...(init.headers || {}), Prefer: "respond-async" } })).json(), input, Date.now());
}

/** Follows a job to its end. A reload of the page takes it up again.
 * @param {() => Promise<any>} start @param {any} input @param {number} began */
async function track(start, input, began) {
  const abort = new AbortController();
  running = { id: null, abort };
  busy(true);
  try {
    let job = await start();
    running.id = job.id;
    sessionStorage.setItem(runKey(), JSON.stringify({ id: job.id, input, began }));
    if (running.wish) cancel();
    if (!final(job.status)) job = await follow(job.id, abort.signal);
    done(job, input, began);
  } catch (err) {
    if (!abort.signal.aborted) showErrors(/** @type {any} */ (err).code ? err : { title: "The service cannot be reached", message: String(err) });
  } finally {
    sessionStorage.removeItem(runKey());
    running = null;
    busy(false);
  }
}

/** Takes up the job that ran when the page was left. */
function resume() {
  const kept = sessionStorage.getItem(runKey());
  if (!kept || running) return;
  const { id, input, began } = JSON.parse(kept);
  fill(input);
  track(async () => (await api("v1/jobs/" + id)).json(), input, began);
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
    if (n) titles[n.id] = n.title || n.class_type;
    $("bar").value = percent;
    $("state").textContent = (n ? (n.title || n.class_type) : "Running") + (d.steps ? ` · step ${d.step} of ${d.steps}` : "") + ` · ${percent} %` + left(d.value);
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

/** How long it may still take. @param {number} value 0 to 1 */
function left(value) {
  if (!running) return "";
  running.since ??= performance.now();
  const went = performance.now() - running.since;
  return value < 0.15 || value >= 1 || went < 1500 ? "" : ` · about ${Math.ceil(went * (1 - value) / value / 1000)} s left`;
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
  if (on) { $("empty").hidden = $("outcome").hidden = true; say("Running"); }
  else {
    document.title = workflow.name;
    $("empty").hidden = $("gallery").childElementCount > 0 || !$("outcome").hidden;
  }
}

/** @param {any} job @param {any} input @param {number} began */
function done(job, input, began) {
  const took = (Date.now() - began) / 1000;
  if (job.status !== "succeeded") {
    say("The job " + (job.status === "failed" ? "failed" : "was " + job.status));
    if (job.error) showErrors(job.error);
    else outcome("The job was " + job.status + ".");
    return;
  }
  say(`Done in ${took.toFixed(1)} seconds, ${job.outputs.length} output${job.outputs.length === 1 ? "" : "s"}`);
  present(job, took);
  remember({ at: Date.now(), id: job.id, took, input: { ...input, ...seeds(job) } });
  usual();
}

/** @param {string} text */
function outcome(text) {
  $("outcome").textContent = text;
  $("outcome").hidden = false;
}

/** Shows what a job made. @param {any} job @param {number} took seconds */
function present(job, took) {
  $("empty").hidden = true;
  $("gallery").replaceChildren(...job.outputs.map((/** @type {any} */ o) => output(o, job)), timing(job, took.toFixed(1)));
}

/** Seeds that the service drew, so that a run can be had again. @param {any} job */
function seeds(job) {
  /** @type {Record<string, string>} */ const out = {};
  for (const [name, p] of Object.entries(workflow.inputs.properties)) {
    if (/** @type {any} */ (p)["x-type"] === "seed" && shown(job.input[name]) !== undefined) out[name] = String(job.input[name]);
  }
  return out;
}

/** @param {any} o @param {any} job */
function output(o, job) {
  const href = (o.url || "").replace(/^\//, "");
  const caption = el("figcaption", {}, o.name + " · " + o.content_type + (o.width ? ` · ${o.width}×${o.height}` : "") + " · " + size(o.size_bytes) + (job.engine === "stub" ? " · STUB" : ""));
  const link = el("a", { href, download: o.filename || o.name }, "Download");
  if (href) caption.append(" · ", link);
  /** @type {Node} */ let body = el("p", {}, "A file of type " + o.content_type);
  if (o.type === "image") body = media("img", href, { alt: "Output " + o.name }, link);
  else if (o.type === "video") body = media("video", href, { controls: true }, link);
  else if (o.type === "audio") body = media("audio", href, { controls: true }, link);
  else if (o.type === "text") body = written(o, href);
  return el("figure", {}, body, caption);
}

/** A text, from the reply or from its file. @param {any} o @param {string} href */
function written(o, href) {
  const e = el("pre", { tabIndex: 0, "aria-label": "Output " + o.name }, o.text || "");
  if (!o.text && o.url) api(href).then((r) => r.text()).then((t) => { e.textContent = t; }).catch(() => {});
  return e;
}

/** Media of a service with keys is fetched, since a tag sends no header.
 * @param {string} tag @param {string} href @param {any} props @param {any} link */
function media(tag, href, props, link) {
  const e = /** @type {any} */ (el(tag, props)), whole = tag === "img" ? el("a", { href, target: "_blank", rel: "noopener", "aria-label": props.alt + ", whole size in a new tab" }, e) : e;
  if (!sessionStorage.getItem("comfyctl.key")) { e.src = href; return whole; }
  api(href).then((r) => r.blob()).then((b) => {
    e.src = link.href = URL.createObjectURL(b);
    if (whole !== e) /** @type {any} */ (whole).href = e.src;
  }).catch(() => { link.textContent = "It could not be fetched"; });
  return whole;
}

/** @param {any} job @param {string} took */
function timing(job, took) {
  const t = job.timings || {}, rows = Object.entries(t.nodes || {}).sort((a, b) => Number(b[1]) - Number(a[1])).slice(0, 12);
  const head = `${took} s` + (job.reused ? " · from the cache" : "") + ` · waited ${t.queue_ms} ms, ran ${t.run_ms} ms` + Object.entries(seeds(job)).map(([n, v]) => ` · ${n} ${v}`).join("");
  return el("details", {}, el("summary", {}, head), el("table", {}, el("tbody", {}, ...rows.map(([id, ms]) => el("tr", {}, el("td", {}, titles[id] ? `${titles[id]} (node ${id})` : "node " + id), el("td", {}, ms + " ms"))))));
}

/** @param {number} n bytes */
function size(n) { return n < 1000 ? n + " B" : n < 1e6 ? (n / 1e3).toFixed(0) + " kB" : (n / 1e6).toFixed(1) + " MB"; }

async function cancel() {
  if (!running) return;
  $("state").textContent = "Cancelling";
  if (!running.id) { running.wish = true; return; }
  try { await api("v1/jobs/" + running.id + "/cancel", { method: "POST" }); } catch (e) { showErrors(e); }
}

// ── code ────────────────────────────────────────────────────────────────────

let lang = "curl";

/** What the snippets are made of. */
function call() {
  const v = values(), base = new URL(".", location.href).href;
  return {
    v, base, url: base + "v1/workflows/" + encodeURIComponent(workflow.name) + "/jobs", auth: !!sessionStorage.getItem("comfyctl.key"),
    files: [...chosen].map(([name, f]) => [name, f.name]), json: JSON.stringify({ input: v }, null, 2),
  };
}

const quote = JSON.stringify;
const bash = (/** @type {string} */ s) => "'" + s.replace(/'/g, "'\\''") + "'";
const python = (/** @type {any} */ v) => v === true ? "True" : v === false ? "False" : quote(v);
const indent = (/** @type {string} */ s, /** @type {string} */ by) => s.replace(/\n/g, "\n" + by);

/** @type {Record<string, (c: ReturnType<typeof call>) => string>} */
const snippets = {
  curl: (c) => {
    const key = c.auth ? ` \\\n  -H "Authorization: Bearer $COMFYCTL_KEY"` : "";
    if (!c.files.length) return `curl ${bash(c.url)}${key} \\\n  -H 'Content-Type: application/json' \\\n  -d ${bash(c.json)}`;
    const form = c.files.map(([name, f]) => ` \\\n  -F ${bash(`${name}=@"${f.replace(/(["\\])/g, "\\$1")}"`)}`).join("");
    return `curl ${bash(c.url)}${key} \\\n  --form-string ${bash("request=" + quote({ input: c.v }))}${form}`;
  },
  Python: (c) => {
    const input = Object.entries(c.v).map(([k, v]) => `    ${quote(k)}: ${python(v)},\n`).join("");
    const auth = c.auth ? `headers["Authorization"] = "Bearer " + os.environ["COMFYCTL_KEY"]\n` : "";
    const body = c.files.length ? `form = b""\nfor name, path in [("request", None), ${c.files.map(([n, f]) => `(${quote(n)}, ${quote(f)})`).join(", ")}]:
    content = open(path, "rb").read() if path else json.dumps(request).encode()
    form += f'--frontier\\r\\nContent-Disposition: form-data; name="{name}"'.encode()
    form += (f'; filename="{name}"' if path else "").encode() + b"\\r\\n\\r\\n" + content + b"\\r\\n"
form += b"--frontier--\\r\\n"
headers = {"Content-Type": "multipart/form-data; boundary=frontier"}\n` : `form = json.dumps(request).encode()\nheaders = {"Content-Type": "application/json"}\n`;
    return `import json, ${c.auth ? "os, " : ""}urllib.request\n\nbase = ${quote(c.base)}\nrequest = {"input": {\n${input}}}\n${body}${auth}` +
      `reply = urllib.request.urlopen(urllib.request.Request(${quote(c.url)}, form, headers))\njob = json.load(reply)\nprint(job["status"])\nfor output in job["outputs"]:\n    print(output["name"], base + output.get("url", "").lstrip("/"))`;
  },
  JavaScript: (c) => {
    const auth = c.auth ? `Authorization: "Bearer " + process.env.COMFYCTL_KEY` : "";
    const form = c.files.length ? `import { openAsBlob } from "node:fs";\n\nconst body = new FormData();\nbody.append("request", JSON.stringify(${c.json}));\n` +
      c.files.map(([n, f]) => `body.append(${quote(n)}, await openAsBlob(${quote(f)}), ${quote(f)});\n`).join("") : `const body = JSON.stringify(${c.json});\n`;
    const headers = [c.files.length ? "" : `"Content-Type": "application/json"`, auth].filter(Boolean).join(", ");
    return `${form}const reply = await fetch(${quote(c.url)}, {\n  method: "POST",\n${headers ? `  headers: { ${headers} },\n` : ""}  body,\n});\nconst job = await reply.json();\n` +
      `console.log(job.status);\nfor (const output of job.outputs ?? []) console.log(output.name, new URL((output.url ?? "").slice(1), ${quote(c.base)}).href);`;
  },
  Go: (c) => {
    const imports = ["encoding/json", "fmt", "net/http", ...(c.files.length ? ["bytes", "io", "mime/multipart", "os"] : ["strings", ...(c.auth ? ["os"] : [])])].sort();
    const lines = c.json.split("\n").map((l) => quote(l)).join(" +\n\t\t");
    const body = c.files.length ? `	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	_ = form.WriteField("request", request)
	for name, path := range map[string]string{${c.files.map(([n, f]) => `${quote(n)}: ${quote(f)}`).join(", ")}} {
		file, err := os.Open(path)
		if err != nil {
			panic(err)
		}
		part, _ := form.CreateFormFile(name, path)
		_, _ = io.Copy(part, file)
		file.Close()
	}
	form.Close()
	req, err := http.NewRequest("POST", ${quote(c.url)}, &body)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
` : `	req, err := http.NewRequest("POST", ${quote(c.url)}, strings.NewReader(request))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
`;
    return `package main\n\nimport (\n${imports.map((i) => `\t"${i}"\n`).join("")})\n\nfunc main() {\n	request := ${lines}\n${body}` +
      (c.auth ? `	req.Header.Set("Authorization", "Bearer "+os.Getenv("COMFYCTL_KEY"))\n` : "") + `	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	var job struct {
		Status  any
		Message string
		Outputs []struct{ Name, URL string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&job); err != nil {
		panic(err)
	}
	fmt.Println(job.Status, job.Message, job.Outputs)
}`;
  },
};

const snippet = () => snippets[lang](call());

const langs = Object.keys(snippets);
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

function refresh() { if (workflow && $("fields").childElementCount) $("code").textContent = snippet(); }

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
  $("history").replaceChildren(...list.map((h) => el("li", {}, el("button", { type: "button", onclick: () => again(h) },
    new Date(h.at).toLocaleString([], { dateStyle: "short", timeStyle: "short" }) + " · " + (Object.values(h.input).map(String).join(", ") || "no inputs")))));
}

/** Brings back the inputs of a run, and what it made where that is still kept.
 * @param {any} h */
async function again(h) {
  clearErrors();
  fill(h.input);
  $("run").focus();
  let text = "Inputs restored";
  if (!running) {
    $("outcome").hidden = true;
    try { present(await (await api("v1/jobs/" + h.id)).json(), h.took || 0); text += ", with their result"; } catch { $("gallery").replaceChildren(); outcome("What this run made is no longer kept; run it again."); }
  }
  say(text);
}

async function share() {
  const url = new URL(location.href);
  const parts = Object.entries(values()).map(([k, v]) => [k, String(v)]);
  if (!$("workflows").hidden) parts.unshift(["$workflow", workflow.name]);
  url.hash = new URLSearchParams(parts).toString();
  history_replace(url);
  try { await navigator.clipboard.writeText(url.href); say("Link copied" + (chosen.size ? ", without the files" : "")); $("share").textContent = chosen.size ? "Copied, without files" : "Copied"; } catch { $("share").textContent = "Link is in the address bar"; }
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
let told = ""; // the last kind of state that was said aloud
async function watch() {
  clearTimeout(timer);
  const notes = [];
  let again = 0, kind = "";
  try {
    const r = await (await fetch("readyz", { headers: headers() })).json();
    if (r.engine.kind === "stub") notes.push("Stub engine: pictures are made up and marked STUB; no model runs.");
    if (!r.ready) {
      kind = r.draining ? "The service is shutting down." : r.engine.stage === "starting" ? "The engine is warming up." : `The engine is ${r.engine.stage}.`;
      notes.push(kind + (r.draining ? "" : ` ${Math.round(r.engine.stage_ms / 1000)} s so far; jobs wait until it is ready.`) + (r.engine.reason ? " " + r.engine.reason : ""));
      again = 1500;
    }
    if (r.auth === false && !["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) notes.push("Auth is off: whoever reaches this address can use the service.");
    $("key-box").hidden = !r.auth && !sessionStorage.getItem("comfyctl.key");
  } catch {
    kind = "The service does not answer.";
    notes.push(kind);
    again = 3000;
  }
  // Said once a change, not with every second that passes.
  if (kind !== told) say(kind || "The engine is ready");
  told = kind;
  $("banners").replaceChildren(...notes.map((n) => el("p", { className: "banner" }, n)));
  timer = setTimeout(watch, again || 15000);
}

/** How long a run usually takes, once some were measured. */
async function usual() {
  try {
    const m = (await (await api("v1/workflows/" + encodeURIComponent(workflow.name))).json()).measured;
    $("usual").textContent = m ? `usually ${(m.p50_ms / 1000).toFixed(1)} s` : "";
  } catch { $("usual").textContent = ""; }
}

/** @param {string} name */
async function choose(name) {
  workflow = await (await api("v1/workflows/" + encodeURIComponent(name))).json();
  $("form").hidden = false;
  $("usual").textContent = workflow.measured ? `usually ${(workflow.measured.p50_ms / 1000).toFixed(1)} s` : "";
  $("gallery").replaceChildren();
  $("outcome").hidden = true;
  $("empty").hidden = false;
  clearErrors();
  $("name").textContent = document.title = workflow.name;
  $("about").textContent = workflow.description || "";
  build();
  history();
  resume();
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
  $("key").addEventListener("change", () => { sessionStorage.setItem("comfyctl.key", $("key").value); clearErrors(); load(); });
  window.addEventListener("hashchange", () => { if (workflow) fromLink(); });
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
    select.onchange = () => { if (running) { select.value = workflow.name; say("A job is running"); } else choose(select.value); };
    const asked = new URLSearchParams(location.hash.slice(1)).get("$workflow");
    const first = (list.find((/** @type {any} */ w) => w.name === asked) || list[0]).name;
    select.value = first;
    await choose(first);
  } catch (err) {
    showErrors(/** @type {any} */ (err).code ? err : { title: "The service cannot be reached", message: String(err) });
  }
}

start();
