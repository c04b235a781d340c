// Builds the front end into static/dist: `npm run build`. What a template names is what is built in.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, "static/dist");
const packages = createRequire(import.meta.url);

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
cpSync(join(root, "static/img"), dist, { recursive: true });
cpSync(
  packages.resolve("@fontsource-variable/inter/files/inter-latin-wght-normal.woff2"),
  join(dist, "inter.woff2"),
);

await build({
  absWorkingDir: root,
  entryPoints: ["static/js/app.js", "static/js/chart.js", "static/js/status.js"],
  outdir: dist,
  bundle: true,
  minify: true,
  target: "es2022",
  logLevel: "warning",
});

const tailwind = join(root, "node_modules/@tailwindcss/cli/dist/index.mjs");
for (const sheet of ["app", "status", "admin"]) {
  const files = ["-i", `static/css/${sheet}.css`, "-o", `static/dist/${sheet}.css`, "--minify"];
  execFileSync(process.execPath, [tailwind, ...files], { cwd: root, stdio: ["ignore", "ignore", "pipe"] });
}

// Icons that templates name, as the inside of a 24 × 24 drawing.
const lucide = JSON.parse(readFileSync(packages.resolve("@iconify-json/lucide/icons.json"), "utf8"));
const icons = {};
for (const name of readdirSync(join(root, "templates"), { recursive: true })) {
  const file = join(root, "templates", name);
  if (!file.endsWith(".html")) continue;
  for (const [, icon] of readFileSync(file, "utf8").matchAll(/(?:\{% icon |icon=)"([a-z0-9-]+)"/g)) {
    const target = lucide.aliases?.[icon]?.parent ?? icon;
    if (!lucide.icons[target]) throw new Error(`${file}: Lucide has no icon ${icon}`);
    icons[icon] = lucide.icons[target].body.replaceAll(/ (?:stroke-width|stroke-linecap|stroke-linejoin|stroke|fill)="[^"]*"/g, "");
  }
}
writeFileSync(join(dist, "icons.json"), JSON.stringify(icons));
