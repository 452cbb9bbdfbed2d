// Runs a development server or a proxy of npm in front of an origin:
// node gateway.mjs NAME PORT ORIGIN

import { spawn } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const [name, port, target] = [process.argv[2], Number(process.argv[3]), process.argv[4]]
const packages = process.env.PACKAGES
const require = createRequire(join(packages, 'package.json'))
const host = '127.0.0.1'
const folder = join(process.cwd(), 'app')
mkdirSync(folder, { recursive: true })
const listen = (handler) => createServer(handler).listen(port, host)
const load = (path) => import(join(packages, path))
const fail = (response) => (response.headersSent ? response.destroy() : response.writeHead(502).end())

async function webpackDevServer(Server, proxy) {
  const webpack = require('webpack')
  writeFileSync(join(folder, 'index.js'), '')
  const compiler = webpack({ mode: 'development', context: folder, entry: './index.js', stats: 'none' })
  await new Server({ host, port, proxy, static: false, client: false }, compiler).start()
}

function middleware(name, ...before) {
  const app = require('express')()
  for (const it of before) app.use(it)
  listen(app.use(require(name).createProxyMiddleware({ target, logLevel: 'silent' })))
}

function nuxt(config) {
  symlinkSync(packages, join(folder, 'node_modules'))
  writeFileSync(join(folder, 'app.vue'), '<template><p>a</p></template>')
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'nuxt.config.mjs'), `export default ${JSON.stringify({ telemetry: false, devtools: { enabled: false }, ...config })}`)
  const nuxi = join(packages, 'nuxt/bin/nuxt.mjs')
  const options = { cwd: folder, stdio: 'inherit', env: { ...process.env, NUXT_TELEMETRY_DISABLED: '1' } }
  spawn('node', [nuxi, 'dev', '--host', host, '--port', String(port), '--no-fork'], options)
}

const hops = {
  async vite() {
    const { createServer } = await load('vite/dist/node/index.js')
    const server = { host, port, strictPort: true, ws: false, proxy: { '/events': target } }
    await (await createServer({ configFile: false, root: folder, logLevel: 'silent', server })).listen()
  },

  'webpack-dev-server': () => webpackDevServer(require('webpack-dev-server'), [{ context: ['/events'], target }]),

  'webpack-dev-server-4': () => webpackDevServer(require('wds-4'), { '/events': { target, logLevel: 'silent' } }),

  async rsbuild() {
    const { createRsbuild } = await load('@rsbuild/core/dist/index.js')
    writeFileSync(join(folder, 'index.js'), '')
    const rsbuildConfig = {
      root: folder,
      source: { entry: { index: './index.js' } },
      server: { host, port, strictPort: true, printUrls: false, proxy: { '/events': target } },
    }
    const rsbuild = await createRsbuild({ cwd: folder, rsbuildConfig })
    await rsbuild.startDevServer()
  },

  async next() {
    process.env.NEXT_TELEMETRY_DISABLED = '1'
    // Next.js looks for its packages below its folder, so the folder is the one that has
    // `node_modules`.
    const dir = join(packages, '..')
    mkdirSync(join(dir, 'pages'), { recursive: true })
    writeFileSync(join(dir, 'pages/index.js'), 'export default () => null')
    const rewrites = JSON.stringify([{ source: '/events', destination: `${target}/events` }])
    writeFileSync(join(dir, 'next.config.js'), `module.exports = { turbopack: { root: __dirname }, rewrites: () => ${rewrites} }`)
    const next = require('next')({ dev: true, dir, hostname: host, port })
    await next.prepare()
    listen(next.getRequestHandler())
  },

  'nuxt-rules': () => nuxt({ routeRules: { '/events': { proxy: `${target}/events` } } }),

  'nuxt-dev': () => nuxt({ nitro: { devProxy: { '/events': { target: `${target}/events` } } } }),

  'browser-sync'() {
    const sync = require('browser-sync').create()
    sync.init({ proxy: target, port, host, listen: host, open: false, ui: false, notify: false, logLevel: 'silent' })
  },

  'http-proxy-middleware': () => middleware('http-proxy-middleware'),

  'http-proxy-middleware-3': () => middleware('hpm-3'),

  'http-proxy-middleware-2': () => middleware('hpm-2'),

  compression: () => middleware('http-proxy-middleware', require('compression')({ filter: () => true })),

  async 'http-proxy-3'() {
    const { createProxyServer } = await load('http-proxy-3/dist/lib/index.js')
    const proxy = createProxyServer({ target })
    proxy.on('error', (error, request, response) => fail(response))
    listen((request, response) => proxy.web(request, response))
  },

  async httpxy() {
    const { createProxyServer } = await load('httpxy/dist/index.mjs')
    const proxy = createProxyServer({ target })
    listen((request, response) => proxy.web(request, response).catch(() => fail(response)))
  },

  'express-http-proxy': () => listen(require('express')().use(require('express-http-proxy')(target))),

  async fastify() {
    const app = require('fastify')()
    await app.register(require('@fastify/http-proxy'), { upstream: target })
    await app.listen({ port, host })
  },

  async hono() {
    const [{ Hono }, { proxy }] = [await load('hono/dist/index.js'), await load('hono/dist/helper/proxy/index.js')]
    const { serve } = await load('@hono/node-server/dist/index.mjs')
    const app = new Hono()
    app.all('/events', ({ req }) => proxy(target + req.url.slice(new URL(req.url).origin.length), req))
    serve({ fetch: app.fetch, port, hostname: host })
  },

  miniflare() {
    const { Miniflare } = require('miniflare')
    const script = `export default { fetch(request) {
      const url = new URL(request.url)
      return fetch(new Request('${target}' + url.pathname + url.search, request))
    } }`
    new Miniflare({ modules: true, script, port, host, compatibilityDate: '2026-01-01' })
  },
}

await hops[name]()
