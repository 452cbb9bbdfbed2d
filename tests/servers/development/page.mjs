// A page with an EventSource: page.mjs URL. Prints what it gets, and "over" when it has stopped for good.

import { createRequire } from 'node:module'
import { join } from 'node:path'

const { EventSource } = createRequire(join(process.env.PACKAGES, 'package.json'))('eventsource')

const source = new EventSource(process.argv[2])
source.onmessage = ({ data }) => console.log(`server ${data}`)
source.addEventListener('gap', () => console.log('gap'))
source.onerror = ({ code }) => {
  if (source.readyState === EventSource.CLOSED) console.log(`over ${code}`)
}
