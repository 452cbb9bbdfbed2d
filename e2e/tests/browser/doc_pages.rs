//! The pages of `cargo doc`, at the width of a desktop and of a phone.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::{
    chromium::Chromium,
    screenshots::{directory, phone},
    tools::Tools,
};

/// The elements that are wider than their container. Code may scroll, text and tables may not.
const TOO_WIDE: &str = "
    const wide = [...document.querySelectorAll('.docblock table')]
        .filter(table => table.parentElement.clientWidth > 0)
        .filter(table => table.parentElement.scrollWidth > table.parentElement.clientWidth + 1)
        .map(table => table.innerText.slice(0, 60));
    const page = document.documentElement;
    if (page.scrollWidth > page.clientWidth + 1) wide.push('the page: ' + page.scrollWidth);
    arguments[arguments.length - 1](wide);";

#[tokio::test]
#[ignore = "first: cargo doc --no-deps --all-features --package tower-sse"]
async fn pages_fit_a_desktop_and_a_phone() {
    let Some(tools) = Tools::find() else { return };
    let pages = pages();
    let mut too_wide = Vec::new();
    for (name, arguments, options) in [
        ("1280", vec!["--window-size=1280,1600", "--hide-scrollbars"], json!({})),
        ("400", vec!["--hide-scrollbars"], phone(400)),
    ] {
        let browser = Chromium::start_with(&tools, &arguments, &options).await;
        for page in &pages {
            browser.open(&format!("file://{}", page.display())).await;
            browser.until("document.readyState === 'complete'").await;
            let found = browser.answer(TOO_WIDE).await.unwrap();
            for found in found.as_array().unwrap() {
                let found = found.as_str().unwrap();
                too_wide.push(format!("{} at {name} pixels: {found}", page.display()));
            }
            if let Some(directory) = directory() {
                let path = directory.join(format!("{}-{name}.png", file_name(page)));
                fs::write(path, browser.screenshot_of_all()).unwrap();
            }
        }
    }
    assert!(too_wide.is_empty(), "{}", too_wide.join("\n"));
}

/// Returns the manual pages, which are those of modules, and those of the main types.
fn pages() -> Vec<PathBuf> {
    let test = env::current_exe().unwrap();
    let root = test.ancestors().nth(3).unwrap().join("doc/tower_sse");
    assert!(root.exists(), "first run: cargo doc --no-deps --all-features --package tower-sse");
    let mut pages = vec![
        root.join("struct.SseLayer.html"),
        root.join("struct.StreamOptions.html"),
        root.join("struct.Event.html"),
        root.join("hub/struct.Hub.html"),
    ];
    let mut directories = vec![root];
    while let Some(directory) = directories.pop() {
        pages.push(directory.join("index.html"));
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.join("index.html").exists() {
                directories.push(path);
            }
        }
    }
    // The browser shows a page of its own for a file that is missing, such as one of a feature.
    for page in &pages {
        assert!(page.exists(), "no {}", page.display());
    }
    pages.sort();
    pages
}

fn file_name(page: &Path) -> String {
    let parts: Vec<_> = page.components().rev().take(3).map(|part| part.as_os_str()).collect();
    parts.iter().rev().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("-")
}
