// Bundles a page for a framework around the hook on standard input: `hooks.mjs react`. Prints it.
//
// The page's global `app` mounts, changes and unmounts a list of the events.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const packages = process.env.PACKAGES;
const require = createRequire(`${packages}/`);
const { build } = require("esbuild");
const { compile, compileModule } = require("svelte/compiler");

const APPS = {
  react: `
    import { createElement, StrictMode, useState } from "react";
    import { createRoot } from "react-dom/client";
    import { useEvents } from "./hook.ts";
    let root, setUrl;
    const item = (event, index) => createElement("li", { key: index }, event);
    function List() {
      const [url, set] = useState("/events");
      setUrl = set;
      return createElement("ul", null, useEvents(url).map(item));
    }
    window.app = {
      mount() {
        root = createRoot(document.body);
        root.render(createElement(StrictMode, null, createElement(List)));
      },
      change: url => setUrl(url),
      unmount: () => root.unmount(),
    };`,
  vue: `
    import { createApp, h, ref } from "vue";
    import { useEvents } from "./hook.js";
    let app, url;
    window.app = {
      mount() {
        url = ref("/events");
        const setup = () => {
          const events = useEvents(url);
          return () => h("ul", events.value.map(event => h("li", event)));
        };
        app = createApp({ setup });
        app.mount(document.body);
      },
      change(next) { url.value = next; },
      unmount: () => app.unmount(),
    };`,
  svelte: `
    import { mount, unmount } from "svelte";
    import List from "./list.svelte";
    import { state } from "./state.svelte.js";
    let app;
    window.app = {
      mount() {
        state.url = "/events";
        app = mount(List, { target: document.body });
      },
      change(next) { state.url = next; },
      unmount: () => unmount(app),
    };`,
};

const FILES = {
  app: APPS[process.argv[2]],
  "./hook.js": readFileSync(0, "utf8"),
  "./state.svelte.js": `export const state = $state({ url: "/events" });`,
  "./list.svelte": `
    <script>
      import { useEvents } from "./hook.svelte.js";
      import { state } from "./state.svelte.js";
      const events = useEvents(() => state.url);
    </script>
    <ul>{#each events.all as event}<li>{event}</li>{/each}</ul>`,
};

const files = {
  name: "files",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /tower-sse\.js$/ }, () => ({ path: "/tower-sse.js", external: true }));
    onResolve({ filter: /^(app|\.\/(hook|state|list)\..*)$/ }, ({ path }) => ({ path, namespace: "own" }));
    onLoad({ filter: /.*/, namespace: "own" }, ({ path }) => {
      const text = FILES[path.replace(/^\.\/hook\..*/, "./hook.js")];
      const contents = path.endsWith(".svelte") ? compile(text, { dev: true, filename: path }).js.code
        : path.includes(".svelte") ? compileModule(text, { dev: true, filename: path }).js.code : text;
      return { contents, loader: path.endsWith(".ts") ? "ts" : "js", resolveDir: packages };
    });
  },
};

const { outputFiles } = await build({
  entryPoints: ["app"],
  bundle: true,
  write: false,
  format: "esm",
  nodePaths: [packages],
  conditions: ["browser", "development"],
  define: {
    "process.env.NODE_ENV": '"development"',
    __VUE_OPTIONS_API__: "false",
    __VUE_PROD_DEVTOOLS__: "false",
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false",
  },
  plugins: [files],
  logLevel: "error",
});
process.stdout.write(outputFiles[0].text);
