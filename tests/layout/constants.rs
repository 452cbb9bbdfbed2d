//! The page of constants has each integer constant of the crates, once.

use std::{collections::BTreeSet, fs};

use crate::{CRATES, sources};

const INTEGERS: [&str; 9] = ["u8", "u16", "u32", "u64", "u128", "usize", "i32", "i64", "i128"];

/// Returns the name of the integer constant that a line of code declares.
fn constant(line: &str) -> Option<&str> {
    let declared = line.trim_start();
    let declared = declared.split_once("const ").filter(|(before, _)| {
        before.is_empty() || before.starts_with("pub") && before.ends_with([' ', ')'])
    });
    let (name, rest) = declared?.1.split_once(": ")?;
    let kind = rest.split([' ', '=']).next()?;
    let is_name = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    (is_name && INTEGERS.contains(&kind)).then_some(name)
}

/// Returns the file and the name of each constant in a row of the page. In a row, the file is the
/// first name in backticks.
fn listed() -> Vec<(String, String)> {
    let page = fs::read_to_string("e2e/constants.md").unwrap();
    let mut listed = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let mut names = row.split('`').skip(1).step_by(2).map(str::to_owned);
        let file = names.next().unwrap();
        let constants = names.filter(|name| name.chars().all(|c| !c.is_ascii_lowercase()));
        listed.extend(constants.map(|name| (file.clone(), name)));
    }
    listed
}

#[test]
fn page_of_constants_has_each_integer_constant_of_the_crates() {
    let mut declared = BTreeSet::new();
    for root in CRATES.iter().filter(|root| !root.ends_with("sse-check/src")) {
        for (file, code) in sources(root) {
            if file.contains("/testing/") {
                continue;
            }
            let names = code.lines().filter_map(constant);
            declared.extend(names.map(|name| (file.clone(), name.to_owned())));
        }
    }
    let listed = listed();
    let unique: BTreeSet<_> = listed.iter().cloned().collect();
    let missing: Vec<_> = declared.difference(&unique).collect();
    let gone: Vec<_> = unique.difference(&declared).collect();
    assert!(missing.is_empty() && gone.is_empty(), "missing: {missing:#?}, gone: {gone:#?}");
    assert_eq!(listed.len(), unique.len(), "a constant is in two rows");
    assert!(declared.len() > 100, "{}", declared.len());
}
