/** Writes `demo.html`: a made-up network of 200 layers and 500 inputs in all views. `npm run demo`, then open it. */

import { readFileSync, writeFileSync } from "node:fs";
import { page } from "./fixture";

const [rows = 200, inputs = 500, moments = 3] = process.argv.slice(2, 5).map(Number);
const out = process.argv[5] ?? "demo.html";
const only = process.argv[6];
const style = readFileSync("../src/netwright/views/templates/style.css", "utf8");
const script = readFileSync("../src/netwright/views/static/netwright.js", "utf8");
const data = page({ rows, inputs, moments });
if (only?.startsWith("live")) {
  data.live = { statistics: [{ name: "norm", label: "size of outputs", meaning: "Root mean square of the outputs.", scale: "log" }, { name: "zeros", label: "share of zeros", meaning: "Outputs that are 0.", scale: "linear" }], layers: data.layers.map((layer) => layer.name), epochs: 40, socket: "live?token=none" };
}
const views: [string, string][] = [
  ["live", "Training"], ["atlas", "Map"], ["patterns", "Patterns"], ["input", "Input"], ["layer", "Layer"],
  ["data", "Data map"], ["listing", "Layers"], ["curves", "Curves"], ["trials", "Trials"],
];
const wanted = only && only !== "all" ? only.split(",") : views.map(([name]) => name).filter((name) => name !== "live");
const body = views.filter(([name]) => wanted.includes(name)).map(([name, title]) => `<h2>${title}</h2><div data-view="${name}"></div>`).join("\n");
/** Stands in for the socket of the workbench: a training that never ends. */
const fake = `
const layers = ${data.layers.length};
window.WebSocket = class {
  constructor() { this.readyState = 1; this.step = 0; this.state = "running"; setTimeout(() => { this.onopen(); this.go(); }); }
  tell(message) { this.onmessage({ data: JSON.stringify(message) }); }
  said(message = "") { this.tell({ type: "state", state: this.state, epoch: 1 + Math.floor(this.step / 60), epochs: 40, step: this.step, checkpoints: Array.from({ length: Math.floor(this.step / 60) }, (_, n) => n + 1), message }); }
  column() {
    this.step++;
    const norm = Array.from({ length: layers }, (_, n) => Math.exp(Math.sin(n / 9) + Math.sin(this.step / 40 + n / 30) + 0.4 * Math.random()));
    const zeros = norm.map((_, n) => n % 7 === 3 ? null : 0.5 + 0.4 * Math.sin(n / 5 + this.step / 80));
    this.tell({ type: "column", step: this.step, epoch: 1 + Math.floor(this.step / 60), loss: this.step === 77 ? null : 2.3 * Math.exp(-this.step / 150) + 0.1 * Math.random(), values: { norm, zeros } });
    if (this.step % 60 === 0) { this.said(); this.tell({ type: "epoch", epoch: this.step / 60, loss: 1.2, val_loss: 1.3, val_score: 0.61 }); }
  }
  go() { this.said(); for (let n = 0; n < 150; n++) this.column(); this.timer = setInterval(() => this.state === "running" && this.column(), 30); }
  send(text) {
    const m = JSON.parse(text);
    if (m.type === "edit") {
      const before = Array.from({ length: layers }, (_, n) => n % 10), after = before.map((b, n) => n > layers - 5 ? (b + 1) % 10 : b);
      this.tell({ type: "edited", input: m.input, before: { belief: before, norm: before.map((b) => b + 1) }, after: { belief: after, norm: before.map((b, n) => b + 1 + Math.sin(n) / 3) } });
    } else if (m.command === "rewind") { this.step = 60 * m.epoch; this.said("gone back"); }
    else { this.state = m.command === "resume" ? "running" : "paused"; if (m.command === "step") this.column(); this.said(); }
  }
  close() { clearInterval(this.timer); }
};`;
const json = JSON.stringify(data).replaceAll("<", "\\u003c");
writeFileSync(
  out,
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'unsafe-inline'">
<title>Netwright views</title><style>${style} h2 { margin-top: 2.5rem; }</style></head>
<body><main><h1>${data.name}</h1><p class="sub">${data.run}</p>${body}</main>
<script type="application/json" id="netwright-data">${json}</script>
${only?.startsWith("live") ? `<script>${fake}</script>` : ""}
<script type="module">${script}</script></body></html>`,
);
