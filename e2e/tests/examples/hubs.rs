//! The examples with a hub, from the quickstart to the ticker.

use crate::*;

const QUICKSTART: &str = include_str!("../../../examples/quickstart.rs");
const README: &str = include_str!("../../../README.md");

/// The lines of the example that open its port.
const PORT: &str = r#"    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
"#;

/// Returns the README's program with the changes under `## Deploy`, and with a port from the
/// environment.
fn deployed() -> String {
    let code = |language: &str, from: &str| {
        let (_, after) = from.split_once(&format!("```{language}\n")).expect(language);
        after.split_once("```").expect("an end").0.to_owned()
    };
    let (before, deploy) = README.split_once("\n## Deploy\n").expect("a section");
    let mut program = code("rust,no_run", before);
    for hunk in code("diff", deploy).split("\n\n") {
        let side = |mark| {
            let lines = hunk.lines().filter(|line| line.starts_with([' ', mark]));
            lines.map(|line| format!("{}\n", &line[1..])).collect::<String>()
        };
        assert_eq!(program.matches(&side('-')).count(), 1, "{hunk}");
        program = program.replace(&side('-'), &side('+'));
    }
    let port = "    let listener = TcpListener::bind(\"127.0.0.1:3000\").await?;\n";
    assert!(program.contains(port), "{program}");
    program.replace(port, PORT)
}

#[tokio::test]
async fn quickstart_resumes_after_a_publish() {
    let (_, program) = QUICKSTART.split_once("\n\n").unwrap();
    assert_eq!(deployed(), program, "the README shows it");
    let example = run("quickstart").await;
    let first = post(example.address, "/events", "one").await;
    post(example.address, "/events", "two").await;
    let mut events = open(example.address, "/events", first.trim()).await;
    assert_eq!(events.next().await.unwrap().data, "two");
}

#[tokio::test]
async fn chat_sends_a_message_to_its_room() {
    let example = run("chat").await;
    let mut page = open(example.address, "/events?room=kitchen&name=ann", "").await;
    let message = json!({ "from": "bob", "to": { "room": "kitchen" }, "text": "tea?" });
    post(example.address, "/messages", &message.to_string()).await;
    let received: Value = serde_json::from_str(&next(&mut page).await.data).unwrap();
    assert_eq!((&received["from"], &received["text"]), (&json!("bob"), &json!("tea?")));
}

#[tokio::test]
async fn notes_begin_with_a_backlog_and_go_on() {
    let example = run("notes").await;
    post(example.address, "/notes", "milk").await;
    let mut notes = open(example.address, "/notes", "").await;
    let backlog = notes.next().await.unwrap();
    assert_eq!((&*backlog.event, &*backlog.data), ("backlog", r#"[{"row":1,"text":"milk"}]"#));
    post(example.address, "/notes", "tea").await;
    assert_eq!(notes.next().await.unwrap().data, r#"{"row":2,"text":"tea"}"#);
}

#[tokio::test]
async fn job_ends_with_its_result() {
    let example = run("job").await;
    let job = post(example.address, "/jobs?fails_at=10", "").await;
    let progress = open(example.address, &format!("/jobs/{job}"), "").await.rest().await;
    let last = progress.last().unwrap();
    assert_eq!((&*last.event, &*last.data), ("failed", "no more paper"));
}

#[tokio::test]
async fn ticker_begins_with_the_prices_of_the_chosen_symbols() {
    let example = run("ticker").await;
    let mut prices = open(example.address, "/prices?symbols=AAB,AAD", "").await;
    let mut chosen = [next(&mut prices).await.data, next(&mut prices).await.data];
    // A price that has changed meanwhile comes last.
    chosen.sort();
    assert!(chosen[0].starts_with("AAB ") && chosen[1].starts_with("AAD "), "{chosen:?}");
}
