use std::fs::{create_dir, remove_dir_all};
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

/// Returns the path of a program that may have several names.
pub fn find(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian installs servers in a folder that is not in the `PATH` of users.
    let directories: Vec<_> = env::split_paths(&path).chain(["/usr/sbin".into()]).collect();
    let found = names
        .iter()
        .flat_map(|name| directories.iter().map(move |directory| directory.join(name)))
        .find(|program| program.is_file());
    if found.is_none() {
        skip(&format!("no {} here", names.join(" or ")));
    }
    found
}

/// Returns a path in the folder `target` of the workspace, where `.ci/run` installs packages.
pub fn target(path: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package.ancestors().find(|folder| folder.join(".ci").is_dir());
    root.expect("the workspace").join("target").join(path)
}

/// Returns a path in the folder `target`, or `None` if nothing is there.
pub fn installed(path: &str) -> Option<PathBuf> {
    let found = Some(target(path)).filter(|path| path.exists());
    if found.is_none() {
        skip(&format!("no target/{path} here"));
    }
    found
}

pub fn package(name: &str) -> Option<PathBuf> {
    installed(&format!("npm/node_modules/{name}"))
}

/// Prints that a test was skipped. Panics if `TOWER_SSE_REQUIRE_TOOLS` is in the environment.
pub fn skip(missing: &str) {
    assert!(env::var_os("TOWER_SSE_REQUIRE_TOOLS").is_none(), "{missing}");
    // This doesn't use `eprintln!`, because the test harness captures what passing tests print with
    // that.
    #[allow(clippy::explicit_write)]
    writeln!(stderr(), "skipped: {missing}").unwrap();
}

pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = format!("tower-sse-{name}-{}-{number}", process::id());
        let directory = env::temp_dir().join(directory);
        create_dir(&directory).unwrap();
        Self(directory)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A program that was killed may still be writing there; its files may stay behind.
        _ = remove_dir_all(&self.0);
    }
}
