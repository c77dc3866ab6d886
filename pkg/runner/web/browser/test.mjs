// Drives the page in Chromium, as a person would:
// node test.mjs URL URL-THAT-WANTS-KEY KEY WORK [FOLDER].
// WORK is an empty folder for what is made on the way; pictures of what the
// page looks like go to FOLDER. The last line counts the checks.
import { chromium } from "playwright-core";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [url, keyed, key, work, folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
// One pixel of red.
const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==", "base64");
let passed = 0, failed = 0;
function check(what, ok, seen) {
  if (ok) passed++;
  else { failed++; console.error(`FAIL ${what}` + (seen === undefined ? "" : `: ${JSON.stringify(seen)}`)); }
}

/** Runs a snippet as its reader would and expects a job that succeeded. */
function runs(lang, code, env = {}) {
  const file = join(work, { curl: "a.sh", Python: "a.py", JavaScript: "a.mjs", Go: "a.go" }[lang]);
  writeFileSync(file, code);
  const [cmd, ...args] = { curl: ["bash", file], Python: ["python3", file], JavaScript: ["node", file], Go: ["go", "run", file] }[lang];
  const r = spawnSync(cmd, args, { cwd: work, encoding: "utf8", env: { ...process.env, ...env } });
  check(`the ${lang} code runs`, r.status === 0 && r.stdout.includes("succeeded"), [code, r.stdout, r.stderr, r.error]);
}

const text = (page, sel) => page.textContent(sel);
const active = (page) => page.evaluate(() => document.activeElement?.id);

async function look(page, scheme, name) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] }));
  check(`axe finds nothing (${name}, ${scheme})`, found.violations.length === 0, found.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]));
  if (folder) await page.screenshot({ path: join(folder, `${name}-${scheme}.png`), fullPage: true });
}

/** The form, a run with everything that can be seen of it, errors. */
async function portrait(page, scheme) {
  await page.waitForSelector("#in-prompt");
  check("the stub is named", (await text(page, "#banners")).includes("Stub"));
  check("no key is asked for", await page.isHidden("#key-box"));

  await page.fill("#in-prompt", "");
  await page.click("#run");
  check("a missing field is told, with focus", await active(page) === "summary");
  check("the field is marked", await page.getAttribute("#in-prompt", "aria-invalid") === "true");
  await page.click("#summary a");
  check("the summary leads to the field", await active(page) === "in-prompt");

  await page.fill("#in-prompt", "a fox");
  await page.fill("#in-steps", "999");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector("#in-steps-wrong:visible");
  check("a 422 lands on its field", (await text(page, "#in-steps-wrong")).includes("maximum"), await text(page, "#in-steps-wrong"));
  await look(page, scheme, "errors");

  await page.fill("#in-steps", "6");
  check("the slider follows the number", await page.inputValue("input[type=range]") === "6");
  await page.fill("#in-seed", "18446744073709551615");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector("#preview:visible", { timeout: 10000 }).then(() => check("a preview is shown", true), () => check("a preview is shown", false));
  check("the title tells the percent", /^\d+ % · portrait$/.test(await page.title()), await page.title());
  if (folder) await page.screenshot({ path: join(folder, `running-${scheme}.png`), fullPage: true });
  await page.waitForSelector("figure img");
  await page.waitForFunction(() => { const i = document.querySelector("figure img"); return i && i.complete && i.naturalWidth > 0; });
  check("the picture has its size", await page.evaluate(() => document.querySelector("figure img").naturalWidth) === 128);
  check("every digit of a seed arrives", (await text(page, "#gallery details")).includes("18446744073709551615"), await text(page, "#gallery details"));
  check("nodes have their titles", (await text(page, "#gallery table")).includes("Face pass (node 3)"), await text(page, "#gallery table"));
  check("the end is said", /^Done in .* 1 output$/.test(await text(page, "#live")), await text(page, "#live"));
  check("what the stub drew says so", (await text(page, "figcaption")).includes("STUB"));
  await page.waitForFunction(() => document.getElementById("usual").textContent.startsWith("usually "));
  await look(page, scheme, "done");
}

async function history(page) {
  await page.fill("#in-prompt", "something else");
  await page.evaluate(() => document.getElementById("gallery").replaceChildren());
  await page.click("#history button");
  check("history restores inputs", await page.inputValue("#in-prompt") === "a fox");
  await page.waitForSelector("figure img");
  check("history brings the result back", (await text(page, "#live")).includes("with their result"), await text(page, "#live"));
}

async function code(page) {
  await page.click("#tab-curl");
  await page.keyboard.press("ArrowRight");
  check("arrows move the tabs", await page.getAttribute("#tab-Python", "aria-selected") === "true" && await active(page) === "tab-Python");
  // Quotes of every shell and language, and text beyond ASCII.
  await page.fill("#in-prompt", "a \"fox\" isn't `here` $HOME \\n ${x} <b>; ünï 🦊");
  await page.fill("#in-steps", "1");
  for (const lang of ["curl", "Python", "JavaScript", "Go"]) {
    await page.click("#tab-" + lang);
    runs(lang, await text(page, "#code"));
  }
}

async function cancel(page) {
  await page.fill("#in-prompt", "a fox");
  await page.fill("#in-steps", "40");
  await page.fill("#in-seed", "");
  await page.click("#run");
  await page.waitForSelector("#cancel:visible");
  await page.waitForFunction(() => document.title.includes("%"));
  await page.reload();
  await page.waitForSelector("#cancel:visible");
  check("a reload takes the job up again", await page.inputValue("#in-steps") === "40");
  await page.keyboard.press("Escape");
  await page.waitForSelector("#run:enabled", { timeout: 10000 });
  check("Escape cancels", (await text(page, "#outcome")).includes("canceled"), await text(page, "#outcome"));
}

async function links(page) {
  await page.goto("about:blank");
  await page.goto(url + "#prompt=from+a+link&steps=3");
  await page.waitForSelector("#in-prompt");
  check("a link carries inputs", await page.inputValue("#in-prompt") === "from a link" && await page.inputValue("#in-steps") === "3");
  await page.goto("about:blank");
  await page.goto(url + "#%24workflow=invert&note=hello");
  await page.waitForSelector("#in-note");
  check("a link names its workflow", await page.inputValue("#in-note") === "hello" && await page.inputValue("#workflows") === "invert");
}

/** A workflow that takes a file and gives a picture and a text. */
async function invert(page, scheme) {
  await page.click("#run");
  check("a missing file is told", await page.isVisible("#in-photo-wrong"));
  await page.setInputFiles("#in-photo", { name: "big.png", mimeType: "image/png", buffer: Buffer.alloc(2 << 20) });
  check("a file that is too large is told", (await text(page, "#in-photo-wrong")).includes("at most"), await text(page, "#in-photo-wrong"));
  const photo = { name: "a \"b\".png", mimeType: "image/png", buffer: png };
  writeFileSync(join(work, photo.name), png);
  await page.setInputFiles("#in-photo", photo);
  check("the error goes with the right file", await page.isHidden("#in-photo-wrong"));
  await page.waitForFunction(() => document.querySelector(".drop img")?.complete);
  for (const lang of ["curl", "Python", "JavaScript", "Go"]) {
    await page.click("#tab-" + lang);
    runs(lang, await text(page, "#code"));
  }
  await page.keyboard.press("Control+Enter");
  await page.waitForFunction(() => document.querySelectorAll("figure").length === 2);
  check("a text output is shown", await text(page, "figure pre") === "hello", await text(page, "#gallery"));
  const colour = await page.evaluate(async () => {
    const i = document.querySelector("figure img");
    await i.decode();
    const c = document.createElement("canvas");
    c.width = c.height = 1;
    const x = c.getContext("2d");
    x.drawImage(i, 0, 0);
    return [...x.getImageData(0, 0, 1, 1).data];
  });
  check("the file was used", colour[0] === 0 && colour[1] === 255 && colour[2] === 255, colour);
  await look(page, scheme, "file");
  await page.click(".chosen button");
  check("a file can be taken away", await page.isHidden(".chosen") && await active(page) === "in-photo");
  await page.evaluate((bytes) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], "pasted.png", { type: "image/png" }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
  }, [...png]);
  check("a picture can be pasted", (await text(page, ".chosen")).includes("pasted.png"));
}

/** A connection that breaks goes on where it was. */
async function broken(page) {
  let asked = [];
  await page.route("**/events", async (route) => {
    asked.push(route.request().headers()["last-event-id"] ?? "");
    if (asked.length > 1) return route.continue();
    await route.fulfill({ status: 200, contentType: "text/event-stream", body: 'id: 1\nevent: status\ndata: {"status":"running"}\n\nid: 2\nevent: prog' });
  });
  await page.fill("#in-prompt", "a broken line");
  await page.fill("#in-steps", "9");
  await page.fill("#in-seed", "");
  await page.click("#run");
  await page.waitForSelector("#run:enabled", { timeout: 15000 });
  check("the stream is taken up after its last whole event", asked.length === 2 && asked[1] === "1", asked);
  check("the job is seen to its end", (await text(page, "#live")).startsWith("Done in"), await text(page, "#live"));
  await page.unroute("**/events");
}

/** What the page says while the engine is not ready. */
async function warming(page) {
  let ms = 1000;
  await page.route("**/readyz", (route) => route.fulfill({ status: 503, contentType: "application/json",
    body: JSON.stringify({ ready: false, auth: false, engine: { kind: "comfyui", stage: "starting", stage_ms: ms += 61000 } }) }));
  await page.evaluate(() => { window.said = []; new MutationObserver(() => window.said.push(document.getElementById("live").textContent)).observe(document.getElementById("live"), { childList: true }); });
  await page.reload();
  await page.waitForFunction(() => document.getElementById("banners").textContent.includes("warming up"));
  check("a warm-up tells how long", /warming up\. 62 s so far/.test(await text(page, "#banners")), await text(page, "#banners"));
  await page.evaluate(() => { window.said = []; new MutationObserver(() => window.said.push(document.getElementById("live").textContent)).observe(document.getElementById("live"), { childList: true }); });
  await page.waitForFunction(() => document.getElementById("banners").textContent.includes("123 s so far"), null, { timeout: 10000 });
  check("it is said once, not every second", (await page.evaluate(() => window.said.length)) === 0, await page.evaluate(() => window.said));
  await page.unroute("**/readyz");
  await page.waitForFunction(() => window.said.includes("The engine is ready"), null, { timeout: 10000 });
  check("being ready is said", true);
}

/** A service that wants a key. */
async function withKey(page, scheme) {
  await page.goto(keyed);
  await page.waitForSelector("#summary:visible");
  check("a missing key is told", (await text(page, "#summary")).includes("key") && await active(page) === "key" && await page.isHidden("#form"), await text(page, "#summary"));
  await look(page, scheme, "key");
  await page.fill("#key", "ck_wrong");
  await page.keyboard.press("Tab");
  await page.waitForFunction(() => document.getElementById("summary").textContent.includes("does not know this key"));
  check("a wrong key is told", true);
  await page.fill("#key", key);
  await page.keyboard.press("Tab");
  await page.waitForSelector("#in-prompt");
  check("the key lets in", await page.isHidden("#summary"));
  await page.fill("#in-prompt", "a key");
  await page.fill("#in-steps", "2");
  for (const lang of ["curl", "Python", "JavaScript", "Go"]) {
    await page.click("#tab-" + lang);
    const code = await text(page, "#code");
    check(lang + " names the variable, not the key", code.includes("COMFYCTL_KEY") && !code.includes(key), code);
    if (scheme === "light") runs(lang, code, { COMFYCTL_KEY: key });
  }
  await page.click("#run");
  await page.waitForFunction(() => { const i = document.querySelector("figure img"); return i && i.src.startsWith("blob:") && i.complete && i.naturalWidth > 0; });
  check("pictures come with the key", true);
  check("the key is in no history and no address", !(await page.evaluate(() => JSON.stringify(localStorage))).includes(key) && !page.url().includes(key));
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
for (const scheme of ["light", "dark"]) {
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width: 1100, height: 900 } });
  const page = await context.newPage();
  const problems = [];
  // Refused requests are part of the test; anything else in the console is not.
  page.on("console", (m) => { if (m.type() === "error" && !/\b(401|422|503)\b/.test(m.text())) problems.push(m.text()); });
  page.on("pageerror", (e) => problems.push(String(e)));
  await page.goto(url);
  await portrait(page, scheme);
  await history(page);
  if (scheme === "light") await code(page);
  await cancel(page);
  if (scheme === "light") { await broken(page); await warming(page); }
  await links(page);
  if (scheme === "light") await invert(page, scheme);
  await page.setViewportSize({ width: 360, height: 740 });
  check("no sideways scroll on a phone", await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), await page.evaluate(() => document.documentElement.scrollWidth));
  if (folder) await page.screenshot({ path: join(folder, `phone-${scheme}.png`), fullPage: true });
  await page.setViewportSize({ width: 1100, height: 900 });
  await withKey(page, scheme);
  check("no errors in the console", problems.length === 0, problems);
  await context.close();
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
