//! Replays the corpora, so that defects that a fuzzer has found stay fixed.

use std::{fs, path::Path};

use tower_sse_fuzz::TARGETS;

#[test]
fn corpora_hold() {
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut inputs = 0;
        for file in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}")) {
            let path = file.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "{folder:?} is empty");
    }
}
