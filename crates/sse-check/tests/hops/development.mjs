// Runs a development server or a proxy of npm in front of an origin:
// node development.mjs NAME PORT ORIGIN

import { mkdirSync, writeFileSync } from 'node:fs'
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

const hops = {
  async vite() {
    const { createServer } = await import(join(packages, 'vite/dist/node/index.js'))
    const server = { host, port, strictPort: true, ws: false, proxy: { '/events': target } }
    await (await createServer({ configFile: false, root: folder, logLevel: 'silent', server })).listen()
  },

  async 'webpack-dev-server'() {
    const [webpack, Server] = [require('webpack'), require('webpack-dev-server')]
    writeFileSync(join(folder, 'index.js'), '')
    const compiler = webpack({ mode: 'development', context: folder, entry: './index.js', stats: 'none' })
    const proxy = [{ context: ['/events'], target }]
    await new Server({ host, port, proxy, static: false, client: false }, compiler).start()
  },

  'http-proxy-middleware'() {
    const { createProxyMiddleware } = require('http-proxy-middleware')
    listen(require('express')().use(createProxyMiddleware({ target })))
  },

  'http-proxy-middleware-2'() {
    const { createProxyMiddleware } = require('hpm-2')
    listen(require('express')().use(createProxyMiddleware({ target, logLevel: 'silent' })))
  },

  async httpxy() {
    const { createProxyServer } = await import(join(packages, 'httpxy/dist/index.mjs'))
    const proxy = createProxyServer({ target })
    const fail = (response) => (response.headersSent ? response.destroy() : response.writeHead(502).end())
    listen((request, response) => proxy.web(request, response).catch(() => fail(response)))
  },

  async next() {
    process.env.NEXT_TELEMETRY_DISABLED = '1'
    // It looks for its packages below its folder.
    const dir = join(packages, '..')
    mkdirSync(join(dir, 'pages'), { recursive: true })
    writeFileSync(join(dir, 'pages/index.js'), 'export default () => null')
    const rewrites = JSON.stringify([{ source: '/events', destination: `${target}/events` }])
    writeFileSync(join(dir, 'next.config.js'), `module.exports = { turbopack: { root: __dirname }, rewrites: () => ${rewrites} }`)
    const next = require('next')({ dev: true, dir, hostname: host, port })
    await next.prepare()
    listen(next.getRequestHandler())
  },
}

await hops[name]()
