//! The shutdown that the guide shows: the signals that its programs handle, and the numbers of its
//! manifest for Kubernetes.

const MANIFEST: &str = include_str!("../../../docs/guide/kubernetes.md");
const RECIPE: &str = include_str!("../../../docs/guide/shutdown.md");
const RECIPE_OF_RUNS: &str = include_str!("../../../docs/guide/runs_shutdown.md");

/// Returns what stands between the only occurrences of two texts.
fn between<'a>(page: &'a str, before: &str, after: &str) -> &'a str {
    let mut found = page.split(before).skip(1);
    let (Some(rest), None) = (found.next(), found.next()) else { panic!("not once: {before}") };
    rest.split_once(after).expect("an end").0
}

fn number(page: &str, before: &str, after: &str) -> u64 {
    between(page, before, after).parse().unwrap()
}

#[test]
fn pod_lives_longer_than_its_hook_and_the_deadline() {
    let hook = number(MANIFEST, "sleep: { seconds: ", " }");
    let period = number(MANIFEST, "\n      terminationGracePeriodSeconds: ", "\n");
    let deadline = number(RECIPE, "tokio::time::sleep(Duration::from_secs(", "))");
    assert!(period > hook + deadline, "{period} s, {hook} s and {deadline} s");

    let seconds = |name| {
        number(RECIPE_OF_RUNS, &format!("const {name}: Duration = Duration::from_secs("), ")")
    };
    assert!(RECIPE_OF_RUNS.contains("tokio::time::sleep(GRACE + 2 * LEEWAY)"));
    let deadline = seconds("GRACE") + 2 * seconds("LEEWAY");
    let text = MANIFEST.split_whitespace().collect::<Vec<_>>().join(" ");
    let grace = seconds("GRACE");
    let period = number(&text, &format!("With a grace period of {grace} seconds, that is "), ".");
    assert!(period > hook + deadline, "{period} s, {hook} s and {deadline} s");
}

#[test]
fn recipes_handle_the_signals_that_the_example_handles() {
    let signals = |program| between(program, "async fn cancel_on_signal(", "\n}\n");
    let example = signals(include_str!("../../../examples/graceful_axum.rs"));
    assert!(example.contains("SignalKind::terminate()"));
    assert_eq!(signals(RECIPE), example);
    assert_eq!(signals(RECIPE_OF_RUNS), example);
}
