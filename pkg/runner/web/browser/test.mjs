// Drives the page in Chromium, as a person would: node test.mjs URL [FOLDER].
// Pictures of what it sees go to FOLDER. The last line counts the checks.
import { chromium } from "playwright-core";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [url, folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let passed = 0, failed = 0;
function check(what, ok, seen) {
  if (ok) passed++;
  else { failed++; console.error(`FAIL ${what}` + (seen === undefined ? "" : `: ${JSON.stringify(seen)}`)); }
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
for (const scheme of ["light", "dark"]) {
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width: 1100, height: 900 }, bypassCSP: false });
  const page = await context.newPage();
  const problems = [];
  page.on("console", (m) => { if (m.type() === "error" && !m.text().includes("422")) problems.push(m.text()); });
  page.on("pageerror", (e) => problems.push(String(e)));
  await page.goto(url);
  await page.waitForSelector("#in-prompt");
  check("the stub is named", (await page.textContent("#banners")).includes("STUB") || (await page.textContent("#banners")).includes("Stub"));

  await page.fill("#in-prompt", "");
  await page.click("#run");
  check("a missing field is told, with focus", await page.evaluate(() => document.activeElement?.id) === "summary");
  check("the field is marked", await page.getAttribute("#in-prompt", "aria-invalid") === "true");

  await page.fill("#in-prompt", "a fox");
  await page.fill("#in-steps", "999");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector("#in-steps-wrong:visible");
  check("a 422 lands on its field", (await page.textContent("#in-steps-wrong")).includes("maximum"), await page.textContent("#in-steps-wrong"));
  check("the code shows the values", (await page.textContent("#code")).includes("999"));

  await page.fill("#in-steps", "6");
  await page.fill("#in-seed", "18446744073709551615");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector("#preview:visible", { timeout: 10000 }).then(() => check("a preview is shown", true), () => check("a preview is shown", false));
  if (folder && scheme === "light") await page.screenshot({ path: `${folder}/running.png`, fullPage: true });
  await page.waitForSelector("figure img");
  await page.waitForFunction(() => { const i = document.querySelector("figure img"); return i && i.complete && i.naturalWidth > 0; });
  check("the picture has its size", await page.evaluate(() => document.querySelector("figure img").naturalWidth) === 128);
  check("every digit of a seed arrives", (await page.textContent("#gallery details")).includes("18446744073709551615"), await page.textContent("#gallery details"));
  check("the end is said", /^Done in .* 1 output$/.test(await page.textContent("#live")), await page.textContent("#live"));
  check("what the stub drew says so", (await page.textContent("figcaption")).includes("STUB"));

  await page.fill("#in-prompt", "something else");
  await page.click("#history button");
  check("history restores inputs", await page.inputValue("#in-prompt") === "a fox");

  await page.click("#tab-curl");
  await page.keyboard.press("ArrowRight");
  check("arrows move the tabs", await page.getAttribute("#tab-Python", "aria-selected") === "true" && await page.evaluate(() => document.activeElement?.id) === "tab-Python");
  for (const lang of ["Python", "JavaScript", "Go"]) {
    await page.click("#tab-" + lang);
    check(lang + " has the values", (await page.textContent("#code")).includes("a fox"));
  }

  await page.fill("#in-steps", "40");
  await page.fill("#in-seed", "");
  await page.click("#run");
  await page.waitForSelector("#cancel:visible");
  await page.waitForTimeout(300);
  await page.keyboard.press("Escape");
  await page.waitForSelector("#run:enabled", { timeout: 10000 });
  check("Escape cancels", (await page.textContent("#gallery")).includes("canceled"), await page.textContent("#gallery"));

  await page.goto(url + "#prompt=from+a+link&steps=3");
  await page.reload();
  await page.waitForSelector("#in-prompt");
  check("a link carries inputs", await page.inputValue("#in-prompt") === "from a link" && await page.inputValue("#in-steps") === "3");

  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] }));
  check("axe finds nothing", found.violations.length === 0, found.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]));
  if (folder) await page.screenshot({ path: `${folder}/${scheme}.png`, fullPage: true });

  await page.setViewportSize({ width: 360, height: 740 });
  check("no sideways scroll on a phone", await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), await page.evaluate(() => document.documentElement.scrollWidth));
  if (folder && scheme === "light") await page.screenshot({ path: `${folder}/phone.png`, fullPage: true });
  check("no errors in the console", problems.length === 0, problems);
  await context.close();
}
await browser.close();
if (folder) writeFileSync(`${folder}/result.txt`, `${passed} passed, ${failed} failed\n`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
