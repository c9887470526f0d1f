/** The looks of the views, in the colours of the page. */

const CSS = `
[data-view] { color: var(--ink, #1b2230); font-size: .9rem; line-height: 1.45; min-width: 0; position: relative; contain: layout style; }
[data-view]:focus-visible { outline: 2px solid var(--after, #0b6bb0); outline-offset: 6px; border-radius: 4px; }
[data-view] p { margin: .4rem 0; } [data-view] canvas { display: block; }
.nw-bar { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1.1rem; margin: 0 0 .5rem; }
.nw-field { display: inline-flex; align-items: center; gap: .45rem; min-width: 0; }
.nw-field > span:first-child,  .nw-meaning, .nw-note, .nw-help, .nw-empty { color: var(--soft, #4a5468); }
.nw-field output { font-variant-numeric: tabular-nums; min-width: 4.5em; }
.nw-field input[type=range] { width: 7rem; } .nw-field[hidden] { display: none; }
.nw-select, .nw-button, .nw-text { font: inherit; color: var(--ink, #1b2230); background: var(--paper, #fff); border: 1px solid var(--line, #dde2ea); border-radius: 6px; padding: .22rem .55rem; min-height: 1.95rem; max-width: 100%; }
.nw-select { padding-right: .3rem; } .nw-text { min-width: 0; }
.nw-button { cursor: pointer; } .nw-button:hover:not(:disabled), .nw-select:hover { border-color: var(--faint, #657085); }
.nw-button:disabled { color: var(--faint, #657085); cursor: default; }
.nw-button[aria-pressed=true] { background: var(--ink, #1b2230); color: var(--paper, #fff); border-color: var(--ink, #1b2230); }
.nw-under .nw-button { min-height: 1.7rem; padding: .1rem .55rem; font-size: .85rem; }
.nw-group { display: inline-flex; } .nw-group .nw-button { border-radius: 0; margin-left: -1px; }
.nw-group .nw-button:first-child { border-radius: 6px 0 0 6px; margin-left: 0; } .nw-group .nw-button:last-child { border-radius: 0 6px 6px 0; }
.nw-group .nw-button:hover:not(:disabled), .nw-group .nw-button:focus-visible { z-index: 1; position: relative; }
.nw-right { margin-left: auto; display: inline-flex; flex-wrap: wrap; gap: .5rem; }
.nw-select:focus-visible, .nw-button:focus-visible, .nw-text:focus-visible, .nw-map:focus-visible, .nw-plot:focus-visible, .nw-table th button:focus-visible, .nw-table tr:focus-visible { outline: 2px solid var(--after, #0b6bb0); outline-offset: 2px; }
[data-view] input { accent-color: var(--after, #0b6bb0); }
.nw-top { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: flex-start; justify-content: space-between; margin-bottom: .35rem; }
.nw-top .nw-meaning { flex: 1 1 20rem; margin: 0; max-width: 44rem; }
.nw-under { display: flex; flex-wrap: wrap; gap: .2rem 1.5rem; align-items: center; margin: .45rem 0 .1rem; } .nw-under .nw-status { flex: 1 1 20rem; }
.nw-legend { flex: 0 1 auto; min-width: 0; }
.nw-keys { display: flex; flex-wrap: wrap; gap: .15rem .9rem; color: var(--soft, #4a5468); font-size: .8rem; }
.nw-legend .nw-keys { max-width: 34rem; }
.nw-key { display: inline-flex; align-items: center; gap: .35rem; white-space: nowrap; } .nw-key input { margin: 0; }
.nw-swatch { display: inline-block; width: .85em; height: .85em; border-radius: 2px; flex: none; }
.nw-rising { background-image: repeating-linear-gradient(45deg, var(--on) 0 1.5px, transparent 1.5px 4px); }
.nw-falling { background-image: repeating-linear-gradient(-45deg, var(--on) 0 1.5px, transparent 1.5px 4px); }
.nw-level { background-image: repeating-linear-gradient(0deg, var(--on) 0 1.5px, transparent 1.5px 4px); }
.nw-dots { background-image: radial-gradient(var(--on) 1.2px, transparent 1.4px); background-size: 4px 4px; }
.nw-hatched { background: repeating-linear-gradient(-45deg, var(--line, #dde2ea) 0 1px, var(--sheet, #f6f7f9) 1px 4px); border: 1px solid var(--line, #dde2ea); }
.nw-dash { display: inline-block; width: 1.2em; height: 2px; background: var(--ink, #1b2230); }
.nw-frame { position: relative; }
.nw-map { position: relative; touch-action: pan-y; user-select: none; -webkit-user-select: none; border-radius: 3px; min-height: 4rem; outline-offset: 3px; }
.nw-layer { position: absolute; inset: 0 auto auto 0; } .nw-map .nw-layer + .nw-layer { pointer-events: none; }
.nw-track { height: 8px; margin: 5px 0 0; border-radius: 4px; background: var(--sheet, #f6f7f9); border: 1px solid var(--line, #dde2ea); position: relative; cursor: pointer; touch-action: none; }
.nw-track[hidden] { display: none; } .nw-thumb { position: absolute; top: 0; bottom: 0; border-radius: 4px; background: var(--faint, #657085); }
.nw-tip { position: absolute; z-index: 5; pointer-events: none; background: var(--paper, #fff); border: 1px solid var(--line, #dde2ea); border-radius: 6px; box-shadow: 0 4px 16px rgb(0 0 0 / .16); padding: .4rem .6rem; font-size: .82rem; line-height: 1.4; max-width: 20rem; width: max-content; }
.nw-tip[hidden] { display: none; } .nw-tip > * { display: block; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.nw-tip canvas { float: right; width: 44px; height: 44px; object-fit: contain; margin: .1rem 0 .2rem .6rem; } .nw-tip span { color: var(--soft, #4a5468); } .nw-tip .nw-tip-value { color: var(--ink, #1b2230); font-weight: 600; } .nw-tip .nw-tip-finding { color: var(--bad, #b3261e); }
[data-view] .nw-status { max-width: none; font-variant-numeric: tabular-nums; min-height: 1.45em; }
.nw-note, .nw-help { font-size: .82rem; max-width: 44rem; } .nw-note[hidden] { display: none; }
.nw-spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
details.nw-more { border: 0; padding: .3rem 0 0; } details.nw-more summary { font-weight: 400; font-size: .82rem; color: var(--faint, #657085); }
.nw-list { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: .6rem; margin: 0; padding: 0; list-style: none; }
.nw-pattern { display: flex; flex-direction: column; width: 100%; height: 100%; text-align: left; font: inherit; color: inherit; background: var(--sheet, #f6f7f9); border: 1px solid var(--line, #dde2ea); border-radius: 8px; padding: .6rem .8rem; cursor: pointer; }
.nw-pattern:hover { border-color: var(--faint, #657085); } .nw-pattern:focus-visible { outline: 2px solid var(--after, #0b6bb0); outline-offset: 2px; }
.nw-pattern[aria-pressed=true] { border-color: var(--ink, #1b2230); box-shadow: inset 3px 0 0 var(--ink, #1b2230); }
.nw-pattern b { display: block; font-weight: 600; } .nw-pattern span { display: block; color: var(--soft, #4a5468); font-size: .85rem; } .nw-pattern small { color: var(--faint, #657085); font-size: .8rem; }
.nw-picture { image-rendering: pixelated; border: 1px solid var(--line, #dde2ea); border-radius: 3px; background: var(--sheet, #f6f7f9); max-width: 100%; }
.nw-head { display: flex; flex-wrap: wrap; gap: .6rem 1.1rem; align-items: flex-start; margin-bottom: .6rem; } .nw-head > div { min-width: 0; } .nw-part + .nw-head { margin-top: 1.4rem; }
.nw-head h3, .nw-part h4 { margin: 0; } .nw-head h3 { font-size: 1.05rem; }
.nw-part { margin: 1rem 0 0; } .nw-part h4 { font-size: .85rem; font-weight: 600; }
.nw-part h4 small { font-weight: 400; color: var(--faint, #657085); font-size: .8rem; }
.nw-tiles { display: flex; flex-wrap: wrap; gap: .5rem; margin: .4rem 0; } .nw-tile { margin: 0; font-size: .75rem; color: var(--faint, #657085); text-align: center; }
.nw-tile button { display: block; padding: 0; border: 0; background: none; cursor: pointer; border-radius: 3px; } .nw-tile button:focus-visible { outline: 2px solid var(--after, #0b6bb0); outline-offset: 2px; }
.nw-facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .5rem 1.2rem; margin: .5rem 0; } .nw-facts dt { font-size: .78rem; color: var(--faint, #657085); } .nw-facts dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.nw-scroll { overflow-x: auto; max-width: 100%; }
.nw-plot { position: relative; touch-action: pan-y; border-radius: 3px; }
.nw-beliefs { border-collapse: separate; border-spacing: 0 2px; width: auto; margin: .3rem 0; font-size: .82rem; } .nw-beliefs td, .nw-beliefs th { border: 0; padding: .08rem .7rem .08rem 0; vertical-align: middle; color: inherit; font-weight: 400; text-align: left; white-space: nowrap; }
.nw-beliefs tr[aria-current=true] th { font-weight: 600; } .nw-beliefs .nw-right-mark { color: var(--good, #17764a); }
.nw-wrong { color: var(--bad, #b3261e); } .nw-fine { color: var(--good, #17764a); }
.nw-names { display: grid; grid-template-columns: minmax(5rem, max-content) minmax(6rem, 1fr) max-content; gap: .1rem .7rem; align-items: center; max-width: 40rem; font-size: .82rem; font-variant-numeric: tabular-nums; }
.nw-barbox { position: relative; height: .8em; } .nw-barbox i { position: absolute; top: 0; bottom: 0; } .nw-barbox::before { content: ""; position: absolute; left: 50%; top: -2px; bottom: -2px; width: 1px; background: var(--line, #dde2ea); }
.nw-table { border-collapse: collapse; width: 100%; font-size: .85rem; margin: 0; font-variant-numeric: tabular-nums; }
.nw-table th, .nw-table td { padding: .28rem .65rem .28rem 0; border-bottom: 1px solid var(--line, #dde2ea); text-align: left; vertical-align: middle; white-space: nowrap; }
.nw-table .nw-n { text-align: right; } .nw-table thead th { position: sticky; top: 0; background: var(--paper, #fff); z-index: 1; padding-top: .4rem; }
.nw-table th button { font: inherit; font-size: .8rem; color: var(--faint, #657085); background: none; border: 0; padding: 0; cursor: pointer; white-space: nowrap; } .nw-table th button:hover { color: var(--ink, #1b2230); }
.nw-table tbody tr { cursor: pointer; } .nw-table tbody tr:hover { background: var(--sheet, #f6f7f9); } .nw-table tbody tr[aria-current=true] { background: var(--code, #eef1f5); box-shadow: inset 3px 0 0 var(--ink, #1b2230); }
.nw-table td:first-child, .nw-table th:first-child { padding-left: .6rem; }
.nw-kind { color: var(--calm, #0b6374); font-weight: 600; } .nw-table code, .nw-name { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .92em; background: none; padding: 0; }
.nw-tall { max-height: 34rem; overflow: auto; } .nw-spark { display: inline-block; vertical-align: middle; color: var(--after, #0b6bb0); }
.nw-meter { display: inline-block; width: 32px; height: 7px; border-radius: 2px; background: var(--line, #dde2ea); margin-left: .4em; vertical-align: .02em; overflow: hidden; } .nw-meter i { display: block; height: 100%; background: var(--after, #0b6bb0); }
.nw-charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.5rem 2rem; } .nw-figure { margin: 0; min-width: 0; } .nw-figure figcaption { font-size: .85rem; color: var(--soft, #4a5468); margin-bottom: .35rem; } .nw-figure figcaption b { color: var(--ink, #1b2230); font-weight: 600; }
.nw-line { display: inline-block; width: 1.7em; border-top: 3px solid; } .nw-line.nw-dashed { border-top-style: dashed; }
.nw-band { display: inline-block; width: 1em; height: .8em; background: var(--line, #dde2ea); }
.nw-effects { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); gap: .2rem 1.5rem; align-items: start; } .nw-effects .nw-part { margin-top: .7rem; }
.nw-editor { touch-action: none; cursor: crosshair; } .nw-state::before { content: "●"; padding-right: .45em; font-size: .8em; } .nw-state[data-state=running]::before { color: var(--good, #17764a); } .nw-state[data-state=paused]::before { content: "❙❙"; color: var(--warn, #8f5a00); } .nw-state[data-state=failed]::before { content: "×"; color: var(--bad, #b3261e); } .nw-state[data-state=ended]::before { content: "■"; color: var(--faint, #657085); }
.nw-plain { font: inherit; font-size: .82rem; color: inherit; background: none; border: 0; padding: 0; text-align: left; } button.nw-plain { cursor: pointer; text-decoration: underline dotted var(--faint, #657085); text-underline-offset: .2em; }
.nw-units { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: .3rem 1.5rem; } .nw-unit .nw-tiles { margin: .15rem 0 .4rem; gap: .3rem; }
.nw-words { max-width: 44rem; line-height: 1.9; } .nw-words span { border-radius: 3px; padding: .1em .2em; text-underline-offset: .25em; }
.nw-error { color: var(--bad, #b3261e); }
@media (prefers-reduced-motion: no-preference) { .nw-button, .nw-pattern, .nw-select { transition: border-color .12s; } }
@media print { .nw-bar, .nw-help, .nw-more { display: none; } }
`;

/** Once a document. */
export function addStyle(root: Document): void {
  if (root.getElementById("nw-style")) return;
  const style = root.createElement("style");
  style.id = "nw-style";
  style.textContent = CSS;
  root.head.append(style);
}
