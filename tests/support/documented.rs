//! The texts of the documentation, and the values that they state.

#![allow(dead_code, unreachable_pub)]

use std::{fs, path::Path, time::Duration};

/// The maximum length of a text that counts as a value, such as `2 to 10 seconds`.
const LONGEST: usize = 20;

/// Returns the path and the text of each file at or below these `paths` of the package, except in
/// folders called `tests`. Each line comes without `//!` or `///` and without the spaces before its
/// text.
pub fn pages(paths: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = paths.iter().map(|path| root.join(path)).collect();
    let mut pages = Vec::new();
    while let Some(path) = paths.pop() {
        if path.ends_with("tests") {
            continue;
        }
        if path.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            let lines = text.lines().map(|line| {
                let line = line.trim_start();
                let text = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"));
                text.unwrap_or(line).trim_start()
            });
            let path = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            pages.push((path, lines.collect::<Vec<_>>().join("\n")));
        }
    }
    pages
}

/// The documentation with each page in one line.
pub struct Documented(Vec<String>);

impl Documented {
    pub fn read(paths: &[&str]) -> Self {
        let line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        Self(pages(paths).into_iter().map(|(_, text)| line(text)).collect())
    }

    /// Returns the values that stand at the `{}` of these phrases, on all pages. Panics if a phrase
    /// is on no page.
    #[track_caller]
    fn texts(&self, phrases: &[&str]) -> Vec<&str> {
        let mut texts = Vec::new();
        for phrase in phrases {
            let (before, after) = phrase.split_once("{}").expect("a place for the value");
            let known = texts.len();
            for page in &self.0 {
                texts.extend(page.match_indices(before).filter_map(|(at, _)| {
                    let text = page[at + before.len()..].split_once(after)?.0;
                    let begins =
                        text.starts_with(|char: char| char.is_ascii_digit() || char == 'h');
                    let is_value = begins && !text.ends_with(',');
                    (text.len() <= LONGEST && is_value).then_some(text)
                }));
            }
            assert!(texts.len() > known, "no page says `{phrase}`");
        }
        texts
    }

    #[track_caller]
    fn one<T: PartialEq + std::fmt::Debug>(
        &self,
        phrases: &[&str],
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let texts = self.texts(phrases);
        let mut values = texts.iter().map(|text| {
            parse(text).unwrap_or_else(|| panic!("`{text}` in the place of a value in {phrases:?}"))
        });
        let first = values.next().expect("a text for each phrase");
        assert!(values.all(|value| value == first), "pages contradict each other: {texts:?}");
        first
    }

    /// Returns the time that all pages with one of these phrases state.
    #[track_caller]
    pub fn time(&self, phrases: &[&str]) -> Duration {
        self.one(phrases, time)
    }

    /// Returns the bounds, such as `2 to 10 seconds`, that all pages with one of these phrases
    /// state.
    #[track_caller]
    pub fn range(&self, phrases: &[&str]) -> (Duration, Duration) {
        self.one(phrases, |text| {
            let (min, max) = text.split_once(" to ")?;
            Some((time(min)?, time(max)?))
        })
    }

    /// Returns the number that all pages with one of these phrases state.
    #[track_caller]
    pub fn count(&self, phrases: &[&str]) -> usize {
        self.one(phrases, number)
    }

    /// Returns the number of bytes that all pages with one of these phrases state.
    #[track_caller]
    pub fn bytes(&self, phrases: &[&str]) -> usize {
        self.one(phrases, |text| {
            let (count, unit) = text.split_once(' ')?;
            let shift = ["bytes", "KiB", "MiB", "GiB"].iter().position(|name| *name == unit)?;
            Some(number(count)? << (10 * shift))
        })
    }
}

fn number(text: &str) -> Option<usize> {
    text.replace(',', "").parse().ok()
}

/// Parses a time. A number alone is in seconds.
fn time(text: &str) -> Option<Duration> {
    if text == "half a second" {
        return Some(Duration::from_millis(500));
    }
    let (count, unit) = text.split_once(' ').unwrap_or((text, "seconds"));
    let count = Duration::from_secs(count.parse().ok()?);
    match unit {
        "second" | "seconds" => Some(count),
        "minutes" => Some(60 * count),
        _ => None,
    }
}
