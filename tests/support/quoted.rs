//! Compiler errors that a page quotes, with `…` for the parts that differ.

/// Returns whether `line` matches `pattern`. Each `…` stands for any text before the first
/// occurrence of the pattern's next part.
pub(crate) fn is_like(line: &str, pattern: &str) -> bool {
    let mut rest = line;
    pattern.split('…').enumerate().all(|(index, part)| match rest.find(part) {
        Some(at) if index > 0 || at == 0 => {
            rest = &rest[at + part.len()..];
            true
        }
        _ => false,
    }) && (rest.is_empty() || pattern.ends_with('…'))
}
