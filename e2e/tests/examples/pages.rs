//! The pages of the guide that show a whole program: the one that the tests run.

/// Each page with the files that it shows.
const PAGES: [(&str, &[(&str, &str)]); 8] = [
    (
        include_str!("../../../docs/guide/notifications.md"),
        &[
            ("rust", include_str!("../../../examples/notifications/main.rs")),
            ("html", include_str!("../../../examples/notifications/page.html")),
            ("rust", include_str!("../../../examples/notifications/database.rs")),
        ],
    ),
    (
        include_str!("../../../docs/guide/runs_quickstart.md"),
        &[
            ("rust", include_str!("../../../examples/runs_quickstart/src/main.rs")),
            ("rust", include_str!("../../../examples/runs_quickstart/src/model.rs")),
            ("html", include_str!("../../../examples/runs_quickstart/src/page.html")),
        ],
    ),
    (
        include_str!("../../../docs/guide/mcp.md"),
        &[("rust", include_str!("../../../examples/mcp/src/main.rs"))],
    ),
    (
        include_str!("../../../docs/guide/graphql.md"),
        &[
            ("rust", include_str!("../../../examples/graphql_sse/src/main.rs")),
            ("rust", include_str!("../../../examples/graphql_sse/src/chat.rs")),
            (
                "rust",
                include_str!("../../../examples/graphql_sse/tests/graphql_sse/axum_handler.rs"),
            ),
        ],
    ),
    (
        include_str!("../../../docs/guide/agents.md"),
        &[
            ("rust", include_str!("../../../examples/ag_ui/src/main.rs")),
            ("js", include_str!("../../../examples/ag_ui/src/ask.mjs")),
            ("rust", include_str!("../../../examples/a2a/src/main.rs")),
            ("json", include_str!("../../../examples/a2a/src/agent_card.json")),
        ],
    ),
    (
        include_str!("../../../docs/guide/authentication.md"),
        &[
            ("rust", include_str!("../../../examples/tickets/tickets.rs")),
            ("js", include_str!("../../../examples/tickets/listen.js")),
        ],
    ),
    (
        include_str!("../../../crates/tower-sse-postgres/docs/notifications.md"),
        &[
            ("rust,ignore", include_str!("../../../examples/notifications_postgres/src/main.rs")),
            ("sql,tables", include_str!("../../../examples/notifications_postgres/src/tables.sql")),
        ],
    ),
    (
        include_str!("../../../docs/guide/upstreams.md"),
        &[
            ("rust", include_str!("../runs/gateways/first_token.rs")),
            ("rust", include_str!("../runs/gateways/redaction.rs")),
        ],
    ),
];

#[test]
fn pages_show_the_programs_that_are_tested() {
    for (page, files) in PAGES {
        for (language, file) in files {
            // The first paragraph of a program is for those who see only the file.
            let program = match file.split_once("\n\n") {
                Some((first, rest)) if first.starts_with("//!") => rest,
                _ => file,
            };
            let first = program.lines().next().unwrap();
            assert!(page.contains(&format!("```{language}\n{program}```")), "{first}");
        }
    }
}

#[test]
fn page_serving_shows_the_functions_that_are_tested() {
    let file = include_str!("../../../examples/mcp/src/serving.rs");
    let (_, functions) = file.split_once("\n\n/// Serves until").unwrap();
    let page = include_str!("../../../docs/guide/serving.md");
    assert!(page.contains(&format!("\n\n/// Serves until{functions}```")));
}

/// `fastrand` is not cryptographic: from one's own number, the numbers of others can be computed.
#[test]
fn cookies_and_tickets_of_pages_and_examples_cannot_be_computed() {
    let shared = ("rust", include_str!("../../../examples/runs/main.rs"));
    let files = PAGES
        .iter()
        .flat_map(|(page, files)| [("markdown", *page)].into_iter().chain(files.iter().copied()));
    let is_secret = |file: &str| ["HttpOnly", "let ticket ="].iter().any(|it| file.contains(it));
    let with_secrets: Vec<_> = files.chain([shared]).filter(|(_, file)| is_secret(file)).collect();
    assert_eq!(with_secrets.len(), 9);
    for (_, file) in with_secrets {
        assert!(file.contains("rand::random::<u128>()") && !file.contains("fastrand"), "{file}");
    }
}
