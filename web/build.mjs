/**
 * Builds web/dist: the page with hashed bundles, its service worker, the functions' reference, and the
 * browser helper.
 *
 * `--watch` rebuilds on change.
 */

import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import * as esbuild from "esbuild";

const web = dirname(fileURLToPath(import.meta.url));
const dist = join(web, "dist");
const page = "src/page/main.ts";
const style = "src/page/style.css";

const common = {
  absWorkingDir: web,
  bundle: true,
  format: "esm",
  target: ["chrome123", "firefox125", "safari17.5"],
  minify: true,
  legalComments: "linked",
  logLevel: "warning",
};

/** index.html names sources; in dist it names their bundles, the sheet inside it and the first chunks ahead. */
async function writeIndex(outputs) {
  const bundleOf = (source) =>
    Object.keys(outputs).find((path) => outputs[path].entryPoint === source)?.replace(/^dist\//, "/");
  const script = bundleOf(page);
  const sheet = bundleOf(style);
  const first = outputs[`dist${script}`].imports.filter(({ kind }) => kind === "import-statement");
  const preloads = first.map(({ path }) => `<link rel="modulepreload" href="${path.replace(/^dist\//, "/")}" />`);
  const template = await readFile(join(web, "index.html"), "utf8");
  const html = template
    .replace(`/${page}`, script)
    .replace(`/${style}`, sheet)
    .replace("  </head>", `${preloads.map((each) => `    ${each}\n`).join("")}  </head>`);
  await writeFile(join(dist, "index.html"), html);
  await writeFile(join(dist, "icon.svg"), await readFile(join(web, "icon.svg")));
}

/** Bundles of earlier builds go once the new index no longer names them. */
async function removeStale(outputs) {
  const assets = join(dist, "assets");
  const current = new Set(Object.keys(outputs).map((path) => relative("dist/assets", path)));
  for (const name of await readdir(assets)) if (!current.has(name)) await rm(join(assets, name));
}

const writesIndex = {
  name: "index",
  setup(build) {
    build.onEnd(async (result) => {
      if (result.errors.length > 0) return;
      await writeIndex(result.metafile.outputs);
      await removeStale(result.metafile.outputs);
    });
  },
};

const builds = [
  {
    ...common,
    entryPoints: [page, style],
    outdir: "dist/assets",
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    splitting: true,
    metafile: true,
    sourcemap: true,
    plugins: [writesIndex],
  },
  { ...common, entryPoints: ["src/page/sw.ts"], outfile: "dist/sw.js" },
  { ...common, entryPoints: { reference: "src/api/main.ts" }, outdir: "dist/api" },
  // For other pages: the helper alone, on the firebase package that they have.
  {
    ...common,
    entryPoints: ["src/answers.ts"],
    outdir: "dist/helper",
    splitting: true,
    external: ["firebase/*"],
    minify: false,
  },
];

/** The functions' reference: its page, its style and the generated document it shows. */
async function copyReference() {
  const folder = join(dist, "api");
  await mkdir(folder, { recursive: true });
  await copyFile(join(web, "api.html"), join(folder, "index.html"));
  await copyFile(join(web, "..", "docs", "openapi.json"), join(folder, "openapi.json"));
  await copyFile(join(web, "node_modules", "swagger-ui-dist", "swagger-ui.css"), join(folder, "reference.css"));
}

/** What the page is told in the cloud, where no local run serves it. */
async function copyConfig() {
  const config = join(web, "config.json");
  if (!existsSync(config)) return;
  await mkdir(join(dist, "__lectern"), { recursive: true });
  await copyFile(config, join(dist, "__lectern", "config.json"));
}

await mkdir(join(dist, "assets"), { recursive: true });
await copyReference();
await copyConfig();
if (process.argv.includes("--watch")) {
  for (const each of builds) await (await esbuild.context(each)).watch();
} else {
  const [built] = await Promise.all(builds.map((each) => esbuild.build(each)));
  for (const path of Object.keys(built.metafile.outputs).filter((each) => /\.(js|css)$/.test(each))) {
    const bytes = await readFile(join(web, path));
    console.log(`${path}  ${bytes.length.toLocaleString("en")} bytes, ${gzipSync(bytes).length.toLocaleString("en")} gzipped`);
  }
}
