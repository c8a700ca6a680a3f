// Parses every query of the project's LogQL scripts with the grammar of Grafana's editor, the npm
// package @grafana/lezer-logql, and says which it does not read though they are accepted here, or
// reads though they are refused.
//
//   npm install --prefix FOLDER @grafana/lezer-logql @lezer/common @lezer/lr
//   node scripts/check_logql_grammar.mjs FOLDER query/testdata/logql/*.test
//
// Exits with 1 if there is a difference that is not named in KNOWN.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'

const [folder, ...files] = process.argv.slice(2)
if (!folder || files.length === 0) {
  console.error('usage: node check_logql_grammar.mjs FOLDER FILE...')
  process.exit(2)
}
let parser
try {
  const require = createRequire(join(resolve(folder), 'package.json'))
  parser = require('@grafana/lezer-logql').parser
} catch (error) {
  console.log(`not run: @grafana/lezer-logql is not in ${folder} (${error.code})`)
  process.exit(0)
}

// Parts of the language that this grammar (0.3.0) does not know, each with a reason.
const KNOWN = [
  [/\bapprox_topk\b/, 'newer than the grammar'],
  [/\bSUM BY\b/, 'keywords in capitals'],
  [/unwrap \w+ \[\w+\] offset/, 'an offset behind an unwrapped window'],
  [/\b\d+Ki\b/, 'sizes without their B'],
  [/\[0\]/, 'the duration 0'],
  [/, took < 1s level=/, 'conditions that only a blank joins'],
]

function hasError(text) {
  let found = false
  parser.parse(text).iterate({ enter: (node) => { found ||= node.type.isError } })
  return found
}

let [accepted, refused, known, different] = [0, 0, 0, 0]
for (const file of files) {
  const lines = readFileSync(file, 'utf8').split('\n')
  lines.forEach((line, at) => {
    const header = line.match(
      /^eval (?:instant at \S+|range from \S+ to \S+ step \S+|lines from \S+ to \S+(?: limit \d+)?(?: direction \w+)?) (.*)$/,
    )
    if (!header) return
    const query = header[1]
    const isRefused = /^\s+expect fail/.test(lines[at + 1] ?? '')
    const error = hasError(query)
    if (error && KNOWN.some(([pattern]) => pattern.test(query))) {
      known += 1
    } else if (error && !isRefused) {
      different += 1
      console.log(`${file}:${at + 1}: not read by the grammar: ${query}`)
    } else if (error) {
      refused += 1
    } else {
      accepted += 1
    }
  })
}
console.log(`${accepted} read, ${refused} refused by both, ${known} known gaps, ${different} differences`)
process.exit(different > 0 ? 1 : 0)
