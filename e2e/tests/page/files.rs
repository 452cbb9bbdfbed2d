//! The size of the module, and what is left of it.

use crate::{rig::PAGE, *};

/// Prints the module's size as a server compresses it.
const ZIPPED: &str = "console.log(require('zlib').gzipSync(require('fs').readFileSync(process.argv[1]), { level: 9 }).length)";

#[tokio::test]
async fn module_is_small() {
    let path = format!("{PAGE}/tower-sse.js");
    let module = fs::read_to_string(&path).unwrap();
    assert!(module.lines().count() <= 560, "{} lines", module.lines().count());
    assert!(module.len() <= 21_500, "{} bytes", module.len());
    let Some(node) = find(&["node", "nodejs"]) else { return };
    let mut zipped = Program::start(Command::new(node).args(["--eval", ZIPPED, &path]));
    let zipped = zipped.line().await.unwrap().parse::<usize>().unwrap();
    assert!(zipped <= 7_000, "{zipped} bytes when compressed");
}
