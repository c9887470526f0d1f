/** The little of Node that the tests use. */
declare module "node:zlib" {
  export function deflateRawSync(bytes: Uint8Array): { toString(encoding: "base64"): string };
}
declare module "node:fs" {
  export function readFileSync(path: string, encoding: "utf8"): string;
  export function writeFileSync(path: string, text: string): void;
}
declare const process: { argv: string[] };
interface ImportMeta {
  glob(pattern: string, options: { query: "?raw"; import: "default"; eager: true }): Record<string, string>;
}
