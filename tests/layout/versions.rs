use std::fs;

fn value(manifest: &str, key: &str) -> String {
    let line = manifest.lines().find(|line| line.starts_with(key));
    line.unwrap_or_else(|| panic!("no `{key}`")).replace(key, "").trim_matches('"').to_owned()
}

#[test]
fn all_published_crates_have_one_version_and_require_it_exactly() {
    let version = value(&fs::read_to_string("Cargo.toml").unwrap(), "version = ");
    let mut crates = 0;
    for entry in fs::read_dir("crates").unwrap() {
        let path = entry.unwrap().path().join("Cargo.toml");
        let manifest = fs::read_to_string(&path).unwrap();
        let requirement = format!("tower-sse = {{ version = \"={version}\", path = ");
        assert_eq!(value(&manifest, "version.workspace = "), "true", "{}", path.display());
        assert!(manifest.contains(&requirement), "{} needs {requirement}", path.display());
        let broker = format!("tower-sse-broker = {{ version = \"={version}\", path = ");
        let uses_broker = manifest.contains("\ntower-sse-broker = ");
        assert!(!uses_broker || manifest.contains(&broker), "{} needs {broker}", path.display());
        crates += 1;
    }
    assert!(crates > 0);
}

/// Pages keep the module of an earlier server, so the module of each release is kept: until then,
/// as a link.
#[test]
fn module_for_pages_has_the_version_of_the_crates_and_is_kept() {
    let version = value(&fs::read_to_string("Cargo.toml").unwrap(), "version = ");
    let package = fs::read_to_string("page/package.json").unwrap();
    assert!(package.contains(&format!("\"version\": \"{version}\",")), "{package}");
    let kept = format!("e2e/tests/page/releases/{version}.mjs");
    let is_link = fs::symlink_metadata(&kept).expect(&kept).is_symlink();
    let changes = fs::read_to_string("CHANGELOG.md").unwrap();
    let is_released = changes.lines().any(|line| line.starts_with(&format!("# {version}")));
    assert!(!(is_link && is_released), "replace the link {kept} with a copy of the module");
}
