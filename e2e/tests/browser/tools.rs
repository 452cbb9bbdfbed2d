//! The programs and packages that these tests need. If one is missing, a test prints one line and
//! passes; with `TOWER_SSE_REQUIRE_TOOLS` in the environment it fails.

use std::{
    env,
    fs::{create_dir, remove_dir_all},
    io::{Write, stderr},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

pub(crate) struct Tools {
    pub(crate) chromium: PathBuf,
    pub(crate) chromedriver: PathBuf,
}

impl Tools {
    pub(crate) fn find() -> Option<Self> {
        Some(Self {
            chromium: find(&["chromium", "chromium-browser", "google-chrome"])?,
            chromedriver: find(&["chromedriver"])?,
        })
    }
}

pub(crate) fn find_nginx() -> Option<PathBuf> {
    find(&["nginx"])
}

pub(crate) fn find_node() -> Option<PathBuf> {
    find(&["node", "nodejs"])
}

/// Returns the directory of an npm package.
pub(crate) fn find_package(name: &str) -> Option<PathBuf> {
    // Where `.ci/run` installs them.
    let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/npm/node_modules");
    let package = Path::new(modules).join(name);
    let found = package.is_dir().then_some(package);
    if found.is_none() {
        skip(&format!("no {name} in target/npm"));
    }
    found
}

/// Returns the path of a program that may have several names.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers out of the path of users.
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

fn skip(missing: &str) {
    assert!(env::var_os("TOWER_SSE_REQUIRE_TOOLS").is_none(), "{missing}");
    // Not by a macro: the test harness captures what passing tests print with those.
    #[allow(clippy::explicit_write)]
    writeln!(stderr(), "skipped: {missing}").unwrap();
}

/// An empty directory, removed when dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = format!("tower-sse-{name}-{}-{number}", process::id());
        let directory = env::temp_dir().join(directory);
        create_dir(&directory).unwrap();
        Self(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A program that was killed may still be writing there; its files may stay behind.
        _ = remove_dir_all(&self.0);
    }
}
