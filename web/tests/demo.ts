/** Writes `demo.html`: a made-up network of 200 layers and 500 inputs in all views. `npm run demo`, then open it. */

import { readFileSync, writeFileSync } from "node:fs";
import { page } from "./fixture";

const [rows = 200, inputs = 500, moments = 3] = process.argv.slice(2, 5).map(Number);
const out = process.argv[5] ?? "demo.html";
const only = process.argv[6];
const style = readFileSync("../src/netwright/views/templates/style.css", "utf8");
const script = readFileSync("../src/netwright/views/static/netwright.js", "utf8");
const data = page({ rows, inputs, moments });
if (only === "live") {
  data.live = { statistics: [{ name: "norm", label: "size of outputs", meaning: "Root mean square of the outputs.", scale: "log" }, { name: "zeros", label: "share of zeros", meaning: "Outputs that are 0.", scale: "linear" }], layers: data.layers.map((layer) => layer.name), epochs: 40, socket: "" };
}
const views: [string, string][] = [
  ["live", "Training"], ["atlas", "Map"], ["patterns", "Patterns"], ["input", "Input"], ["layer", "Layer"],
  ["data", "Data map"], ["listing", "Layers"], ["curves", "Curves"], ["trials", "Trials"],
];
const wanted = only && only !== "all" ? only.split(",") : views.map(([name]) => name).filter((name) => name !== "live");
const body = views.filter(([name]) => wanted.includes(name)).map(([name, title]) => `<h2>${title}</h2><div data-view="${name}"></div>`).join("\n");
const json = JSON.stringify(data).replaceAll("<", "\\u003c");
writeFileSync(
  out,
  `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'unsafe-inline'">
<title>Netwright views</title><style>${style} main { max-width: 76rem; } h2 { margin-top: 2.5rem; }</style></head>
<body><main><h1>${data.name}</h1><p class="sub">${data.run}</p>${body}</main>
<script type="application/json" id="netwright-data">${json}</script>
<script type="module">${script}</script></body></html>`,
);
