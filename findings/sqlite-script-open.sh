#!/usr/bin/env bash
# A text of several SQL statements (begin, two inserts, commit) of which the second insert fails: Python's `executescript`
# and `exec` of node:sqlite (Node 26.10.0) raise the error, but the transaction stays open, and the file stays locked for
# every other connection as long as the first one lives. SQLite's shell with `-bail` ends, and leaves no lock.
# Seen on 1 December 2026: "python: database is locked", "node: database is locked", "shell: free".
set -euo pipefail

folder=$(mktemp --directory)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund node@26.10.0
apt-get -qq download sqlite3=3.40.1-2+deb12u2
dpkg-deb --extract sqlite3_*.deb .
export SCRIPT='begin; insert into t values (1); insert into missing values (1); commit;'

cat >probe.py <<'PYTHON'
import os, sqlite3
first, other = sqlite3.connect("a.db"), sqlite3.connect("a.db", timeout=0)
first.execute("create table t (x)")
try:
    first.executescript(os.environ["SCRIPT"])
except sqlite3.OperationalError as error:
    assert "no such table: missing" in str(error)
try:
    other.execute("insert into t values (2)")
    print("python: free")
except sqlite3.OperationalError as error:
    print("python:", error)
PYTHON
cat >probe.js <<'NODE'
const { DatabaseSync } = require('node:sqlite');
const [first, other] = [new DatabaseSync('b.db'), new DatabaseSync('b.db')];
first.exec('create table t (x)');
try { first.exec(process.env.SCRIPT); } catch (error) { if (!/no such table: missing/.test(error.message)) throw error; }
try { other.exec('insert into t values (2)'); console.log('node: free'); } catch (error) { console.log('node:', error.message); }
NODE
python3 probe.py | tee output
node_modules/.bin/node probe.js 2>/dev/null | tee --append output
usr/bin/sqlite3 c.db 'create table t (x)'
usr/bin/sqlite3 -bail c.db "$SCRIPT" 2>/dev/null || usr/bin/sqlite3 c.db 'insert into t values (2)'
echo 'shell: free' | tee --append output
diff output - <<'EXPECTED'
python: database is locked
node: database is locked
shell: free
EXPECTED
