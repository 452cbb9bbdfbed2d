//! The table in docs/middlewares.md.

use std::{env, fs, process::Command};

use futures_util::{StreamExt, stream};

use crate::{rows::ROWS, *};

const MANIFEST: &str = include_str!("../../Cargo.toml");

const PAGE: &str = include_str!("../../../../docs/middlewares.md");
const HEADER: &str =
    "| package | layer | one builder | outside | inside |\n|---|---|---|---|---|\n";

/// How many middlewares are tried at a time.
const AT_A_TIME: usize = 8;

/// Returns the version that the manifest requires of a package.
fn version(package: &str) -> &'static str {
    let lines = MANIFEST.lines().filter_map(|line| line.strip_prefix(package));
    let requirement =
        lines.filter(|line| line.starts_with(" = ")).find_map(|it| it.split_once("\"="));
    let (version, _) = requirement.and_then(|(_, it)| it.split_once('"')).expect("a version");
    version
}

/// Returns a row of the table. Outside of `SseLayer` and inside, the layer is tried in one builder
/// and by two calls of `Router::layer`.
async fn line(control: &Control, row: &Row) -> String {
    let [one_outside, outside, one_inside, inside] = differences(control, row.compose).await;
    let both = |one: String, two: String| {
        if one == two { two } else { format!("{two}; in one builder {one}") }
    };
    let (outside, inside) = (both(one_outside, outside), both(one_inside, inside));
    let Row { package, layer, is_boxed, .. } = row;
    let inside =
        if inside == outside && inside != "same" { "as outside".to_owned() } else { inside };
    let one = if *is_boxed { "boxed" } else { "yes" };
    format!("| {package} {} | {layer} | {one} | {outside} | {inside} |\n", version(package))
}

#[tokio::test(flavor = "multi_thread")]
async fn table_is_what_was_seen() {
    let control = &Control::start().await;
    let lines = stream::iter(ROWS).map(|row| line(control, row)).buffered(AT_A_TIME);
    let seen = lines.collect::<String>().await;
    println!("{seen}");
    let (before, rest) = PAGE.split_once(HEADER).expect("the table");
    let (written, after) = rest.split_at(rest.find("\n\n").expect("text after the table") + 1);
    if env::var_os("TOWER_SSE_MIDDLEWARES").is_none_or(|it| it != "write") {
        return assert_eq!(written, seen, "left: docs/middlewares.md");
    }
    let date = Command::new("date").arg("+%Y-%m-%d").output().unwrap().stdout;
    let date = String::from_utf8(date).unwrap();
    let (start, old) = before.split_once("On ").expect("a date");
    let before = format!("{start}On {}{}", date.trim(), &old["2026-11-27".len()..]);
    fs::write(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/middlewares.md"),
        format!("{before}{HEADER}{seen}{after}"),
    )
    .unwrap();
}
