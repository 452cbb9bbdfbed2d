//! What the public errors of the workspace print, and which of them have a source.

use std::{iter, path::Path};

use tower_sse::{BoxError, hub::PublishError};
use tower_sse::{runs::RunKey, runs::Runs};

use crate::*;

fn cause() -> BoxError {
    Box::new(Caused(Box::new(Caused(Root.into()))))
}

const CAUSES: &str = ": caused: root";

/// Returns public errors, each with the end of its text if it has a cause.
async fn errors() -> Vec<(Box<dyn Error>, &'static str)> {
    let mut errors: Vec<(Box<dyn Error>, &str)> = Vec::new();
    for publish in [
        PublishError::Invalid(cause()),
        PublishError::Refused(cause()),
        PublishError::Unknown(cause()),
    ] {
        errors.push((publish.into(), CAUSES));
    }
    let fails = || stream::iter([Err::<Event, _>(cause())]);
    let run = Runs::new().start(&RunKey::new("ann", "a").unwrap(), None, fails).await.unwrap();
    let failed = run.attach(None).await.unwrap().next().await.unwrap().unwrap_err();
    errors.push((failed.into(), CAUSES));

    for without in [
        Box::new(PublishError::Closed) as Box<dyn Error>,
        Box::new(tower_sse::runs::StartError::Unavailable),
        Box::new(RunKey::new("", "").unwrap_err()),
        Box::new(Event::new().try_event("a\n").unwrap_err()),
        Box::new(Decoder::new().max_event_size(1).decode(&mut &b"data: a\n\n"[..]).unwrap_err()),
    ] {
        errors.push((without, ""));
    }
    errors
}

fn reported(error: &(dyn Error + 'static)) -> Vec<String> {
    iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).collect()
}

#[tokio::test]
async fn public_errors_print_their_causes_and_a_reporter_prints_none_twice() {
    for (error, end) in errors().await {
        let reported = reported(&*error);
        let [text, sources @ ..] = &*reported else { unreachable!() };
        assert!(text.ends_with(end), "{error:?}: {text}");
        assert!(!sources.iter().any(|source| text.contains(source)), "{reported:?}");
        assert!(!text.contains("caused: caused"), "{text}");
    }
}

/// The errors that have a source, and why.
const WITH_A_SOURCE: [&str; 3] = [
    // The source of an `ItemError` is the program's error, for which the layer looks. `ItemError`
    // is not public.
    "src/signals.rs: ItemError",
    // The source of a `RunError` holds the run's error or is a mark, and the layer looks for both.
    // The source's text differs from the text of the `RunError`.
    "src/runs/outcome.rs: RunError",
    // The source of a `LateResponse` is the mark that stops an `EventSource`, for which the layer
    // looks. The two have different texts.
    "src/early_head/late_response.rs: LateResponse",
];

fn with_a_source(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            with_a_source(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let mut rest = &*text;
        while let Some((_, after)) = rest.split_once("Error for ") {
            rest = after;
            let (name, body) = after.split_once(" {").unwrap_or_default();
            if body.split("\n}\n").next().unwrap_or_default().contains("fn source(") {
                let root = Path::new(env!("CARGO_MANIFEST_DIR"));
                found.push(format!("{}: {name}", path.strip_prefix(root).unwrap().display()));
            }
        }
    }
}

/// An error's text includes its cause's text, so a reporter would print the text of a source twice.
#[test]
fn no_other_error_of_the_workspace_has_a_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    with_a_source(&root.join("src"), &mut found);
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        with_a_source(&entry.unwrap().path().join("src"), &mut found);
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    assert_eq!(found, WITH_A_SOURCE);
}
