//! Checks that pages of the documentation show the programs that the tests run, and that the
//! programs' secrets cannot be computed.

/// Each page with the languages and paths of the files that it shows.
const PAGES: [(&str, &str); 7] = [
    (
        "docs/guide/notifications.md",
        "rust examples/notifications/main.rs, html examples/notifications/page.html, \
         rust examples/notifications/database.rs",
    ),
    (
        "docs/guide/assistant.md",
        "rust examples/assistant/src/main.rs, rust examples/assistant/src/model.rs, \
         html examples/assistant/src/page.html",
    ),
    ("docs/guide/mcp.md", "rust examples/mcp/src/main.rs"),
    (
        "docs/guide/graphql.md",
        "rust examples/graphql_sse/src/main.rs, rust examples/graphql_sse/src/chat.rs, \
         rust examples/graphql_sse/tests/graphql_sse/axum_handler.rs",
    ),
    (
        "docs/agents.md",
        "rust examples/ag_ui/src/main.rs, js examples/ag_ui/src/ask.mjs, \
         rust examples/a2a/src/main.rs, json examples/a2a/src/agent_card.json",
    ),
    (
        "crates/tower-sse-postgres/docs/notifications.md",
        "rust,ignore examples/notifications_postgres/src/main.rs, \
         sql,tables examples/notifications_postgres/src/tables.sql",
    ),
    (
        "docs/guide/upstreams.md",
        "rust e2e/tests/runs/gateways/first_token.rs, rust e2e/tests/runs/gateways/redaction.rs, \
         rust e2e/tests/runs/gateways/failures.rs",
    ),
];

fn read(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    std::fs::read_to_string(format!("{root}/{path}")).unwrap_or_else(|it| panic!("{path}: {it}"))
}

fn files(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.split(", ").map(|file| file.split_once(' ').unwrap())
}

#[test]
fn pages_show_the_programs_that_are_tested() {
    for (page, list) in PAGES {
        let page = read(page);
        for (language, path) in files(list) {
            let file = read(path);
            // Pages leave out a program's first paragraph, which is for readers who see only the
            // file.
            let program = match file.split_once("\n\n") {
                Some((first, rest)) if first.starts_with("//!") => rest,
                _ => &file,
            };
            assert!(page.contains(&format!("```{language}\n{program}```")), "{path}");
        }
    }
}

#[test]
fn pages_on_servers_show_the_functions_that_are_tested() {
    let file = read("examples/mcp/src/serving.rs");
    let (_, functions) = file.split_once("\n\n/// Serves until").unwrap();
    let page = read("docs/guide/serving.md");
    assert!(page.contains(&format!("\n\n/// Serves until{functions}```")));

    let file = read("examples/existing_axum.rs");
    let (_, rest) = file.split_once("\n\n/// Serves until").unwrap();
    let (function, _) = rest.split_once("\n\n").unwrap();
    let page = read("docs/guide/shutdown.md");
    assert!(page.contains(&format!("\n\n/// Serves until{function}\n```")));
}

#[test]
fn section_on_newest_values_shows_the_page_of_the_ticker() {
    let manual = read("src/hub/mod.rs").replace("//! ", "").replace("//!\n", "\n");
    let (_, code) = manual.split_once("```js\nlet source;").expect("a block");
    let (code, _) = code.split_once("```").unwrap();
    assert!(read("examples/ticker/page.html").contains(&format!("\nlet source;{code}")), "{code}");
}

#[test]
fn section_on_filters_shows_the_filter_that_is_tested() {
    let manual = read("src/filter/mod.rs").replace("//! ", "");
    let (_, code) = manual.split_once("let without_keep_alives =").expect("a block");
    let lines: Vec<_> = code.split("```").next().unwrap().split_whitespace().collect();
    let tested = read("e2e/tests/runs/gateways/keep_alives.rs");
    let tested: Vec<_> = tested.split_whitespace().collect();
    assert!(tested.join(" ").contains(&lines.join(" ")));
}

/// `fastrand` is not cryptographic: a user can compute the numbers of other users from their own.
#[test]
fn cookies_of_pages_and_examples_cannot_be_computed() {
    let shown = PAGES
        .iter()
        .flat_map(|(page, list)| [*page].into_iter().chain(files(list).map(|(_, path)| path)));
    let all = shown.chain(["examples/runs/main.rs"]).map(read);
    let with_secrets: Vec<_> = all.filter(|file| file.contains("HttpOnly")).collect();
    assert_eq!(with_secrets.len(), 7);
    for file in with_secrets {
        assert!(file.contains("rand::random::<u128>()") && !file.contains("fastrand"), "{file}");
    }
}
