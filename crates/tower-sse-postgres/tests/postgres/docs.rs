use std::fmt::Write;

const OPERATING: &str = include_str!("../../docs/operating.md");

/// Returns the statements of the block with this name in the operator's page.
pub(crate) fn statements_of(name: &str) -> String {
    block(OPERATING, &format!("sql,{name}"))
}

/// Returns the block of a page that begins with this line.
pub(crate) fn block(page: &str, fence: &str) -> String {
    let text = |line| str::strip_prefix(line, "//! ").or(str::strip_prefix(line, "//!"));
    let mut lines = page.lines().map(|line| text(line).unwrap_or(line));
    assert!(lines.any(|line| line.strip_prefix("```") == Some(fence)), "no block {fence}");
    let mut block = String::new();
    for line in lines.take_while(|line| *line != "```") {
        writeln!(block, "{line}").unwrap();
    }
    block
}
