//! The pages of `.ci/run docs`, at the width of a desktop and of a phone.

use crate::*;

/// Finds tables that are wider than their container, and a page that is wider than the window. Code
/// may scroll.
const TOO_WIDE: &str = "
    const wide = [...document.querySelectorAll('.docblock table')]
        .filter(table => table.parentElement.clientWidth > 0)
        .filter(table => table.parentElement.scrollWidth > table.parentElement.clientWidth + 1)
        .map(table => table.innerText.slice(0, 60));
    const page = document.documentElement;
    if (page.scrollWidth > page.clientWidth + 1) wide.push('the page: ' + page.scrollWidth);
    arguments[arguments.length - 1](wide);";

/// Finds the words in tables that are broken across lines.
const BROKEN: &str = "
    const broken = [];
    for (const cell of document.querySelectorAll('.docblock td, .docblock th')) {
        const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
            for (const word of texts.currentNode.data.matchAll(/\\w+/g)) {
                const range = document.createRange();
                range.setStart(texts.currentNode, word.index);
                range.setEnd(texts.currentNode, word.index + word[0].length);
                const lines = new Set([...range.getClientRects()].map(box => box.top));
                if (lines.size > 1) broken.push('broken: ' + word[0]);
            }
        }
    }
    arguments[arguments.length - 1](broken);";

#[tokio::test]
#[ignore = "first: .ci/run docs"]
async fn pages_fit_a_desktop_and_a_phone() {
    let Some(tools) = Tools::find() else { return };
    let pages = pages();
    let (desktop, phone) = (json!({}), phone(360));
    let wide = ["--window-size=1280,1600", "--hide-scrollbars"];
    let (mut misfits, others) = tokio::join!(
        misfits(&tools, &pages, "1280", &wide, &desktop),
        misfits(&tools, &pages, "360", &["--hide-scrollbars"], &phone),
    );
    misfits.extend(others);
    assert!(misfits.is_empty(), "{}", misfits.join("\n"));
}

/// Returns what does not fit in these pages at a width in pixels.
async fn misfits(
    tools: &Tools,
    pages: &[PathBuf],
    width: &str,
    arguments: &[&str],
    options: &Value,
) -> Vec<String> {
    let browser = Chromium::start_with(tools, arguments, options).await;
    let mut misfits = Vec::new();
    for page in pages {
        browser.open(&format!("file://{}", page.display())).await;
        browser.until("document.readyState === 'complete'").await;
        for script in [TOO_WIDE, BROKEN] {
            let found = browser.answer(script).await.unwrap();
            for found in found.as_array().unwrap() {
                let found = found.as_str().unwrap();
                misfits.push(format!("{} at {width} pixels: {found}", page.display()));
            }
        }
        if let Some(directory) = directory_of_screenshots() {
            let path = directory.join(format!("{}-{width}.png", file_name(page)));
            fs::write(path, browser.screenshot_of_all()).unwrap();
        }
    }
    misfits
}

/// Returns the pages of modules, which are the manual, and all other pages with a table.
fn pages() -> Vec<PathBuf> {
    let test = env::current_exe().unwrap();
    let roots = ["", "_broker", "_redis", "_postgres", "_sqlite"]
        .map(|name| format!("docs/doc/tower_sse{name}"));
    let mut directories = roots.map(|root| test.ancestors().nth(3).unwrap().join(root)).to_vec();
    for root in &directories {
        assert!(root.exists(), "no {}: run `.ci/run docs` first", root.display());
    }
    let mut pages = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html") {
                let is_manual = path.ends_with("index.html");
                if is_manual || fs::read_to_string(&path).unwrap().contains("<table") {
                    pages.push(path);
                }
            }
        }
    }
    let is_there = |end: &str| pages.iter().any(|page| page.ends_with(end));
    for end in ["tower_sse/index.html", "guide/clients/index.html", "runs/struct.Runs.html"] {
        assert!(is_there(end), "no {end}");
    }
    pages.sort();
    pages
}

fn file_name(page: &Path) -> String {
    let parts: Vec<_> = page.components().rev().take(3).map(|part| part.as_os_str()).collect();
    parts.iter().rev().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("-")
}
