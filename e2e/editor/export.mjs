// Lets the editor of a running ComfyUI export saved workflows:
// node export.mjs URL FOLDER FILE… writes FOLDER/NAME for every FILE: an object
// with `output`, the editor's export, or `error`. Chance always falls on the
// first choice. CHROMIUM is the browser, if it is not /usr/bin/chromium.
import { chromium } from "playwright-core";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const [url, folder, ...files] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage();
await page.addInitScript(() => { Math.random = () => 0; });
await page.goto(url, { timeout: 120000 });
// The page takes work before it knows the classes.
await page.waitForFunction(() => window.app?.vueAppReady && "KSampler" in window.LiteGraph.registered_node_types, null, { timeout: 300000 });
await page.waitForTimeout(3000);
for (const file of files) {
  const answer = await page.evaluate(async (text) => {
    try {
      await window.app.loadGraphData(JSON.parse(text));
      return { output: (await window.app.graphToPrompt()).output };
    } catch (e) {
      return { error: String(e) };
    }
  }, readFileSync(file, "utf8"));
  writeFileSync(join(folder, basename(file)), JSON.stringify(answer, null, 1) + "\n");
}
await browser.close();
