import { type Plugin, transformWithEsbuild } from "vite";
import { defineConfig } from "vitest/config";

/** Vite leaves the spaces of an ES library alone; nobody bundles this one again. */
const small: Plugin = {
  name: "small",
  async generateBundle(_, bundle) {
    for (const chunk of Object.values(bundle)) {
      if (chunk.type !== "chunk") continue;
      const { code } = await transformWithEsbuild(chunk.code, chunk.fileName, { minify: true, legalComments: "none", target: "es2022", sourcemap: false });
      // The module stands inside a <script> of the page: nothing in it may end that element.
      if (/<\/script|<!--/i.test(code)) throw new Error("the built module holds text that would end a script element");
      chunk.code = code;
    }
  },
};

export default defineConfig({
  plugins: [small],
  build: {
    target: "es2022",
    lib: { entry: "src/main.ts", formats: ["es"], fileName: () => "netwright.js" },
    outDir: "../src/netwright/views/static",
    emptyOutDir: false,
    sourcemap: false,
    reportCompressedSize: false,
  },
  test: { environment: "jsdom", include: ["tests/**/*.test.ts"] },
});
