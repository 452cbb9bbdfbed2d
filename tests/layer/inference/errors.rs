//! The compiler's errors name the mistake. The page on troubleshooting quotes these errors.

use super::compiler::{BARE_STREAM, compile, is_quoted};
use crate::quoted::is_like;

const PAGE: &str = include_str!("../../../docs/guide/troubleshooting.md");

#[track_caller]
fn assert_error(snippet: &str, texts: &[&str]) {
    assert_contains(&compile(snippet), texts);
}

#[track_caller]
fn assert_contains(printed: &str, texts: &[&str]) {
    for text in texts {
        assert!(printed.contains(text), "{text}\n\n{printed}");
    }
}

/// Asserts that the page has the line `error`, in which `…` stands for any text, and that `snippet`
/// does not compile. A compiler of the version that the page quotes must print this line. Returns
/// what the compiler prints.
#[track_caller]
fn assert_quoted(error: &str, snippet: &str) -> String {
    assert!(PAGE.contains(&format!("\n{error}\n")), "the page has no line {error}");
    let printed = compile(snippet);
    assert!(printed.contains("error"), "it compiles");
    let is_printed = !is_quoted() || printed.lines().any(|line| is_like(line, error));
    assert!(is_printed, "{error}\n\n{printed}");
    printed
}

#[test]
fn pattern_is_like_lines_with_any_text_in_its_gaps() {
    assert!(is_like("error: `a<b>` fails", "error: `…` fails"));
    assert!(!is_like("error: `a<b>` fails.", "error: `…` fails"));
    assert!(!is_like("an error: `a` fails", "error: `…` fails"));
    assert!(is_like("x", "x") && !is_like("y", "x"));
}

#[test]
fn bare_stream_in_an_axum_handler() {
    let handler = "async fn events() -> impl Stream<Item = Event> { stream::empty::<Event>() }
        fn app() -> Router { Router::new().route(\"/\", get(events)) }";
    assert_quoted(
        "error[E0277]: the trait bound `fn() -> … {events}: Handler<_, _>` is not satisfied",
        handler,
    );
    assert_quoted(
        "error[E0277]: the trait bound `…: IntoResponse` is not satisfied",
        "async fn events() -> impl IntoResponse { stream::empty::<Event>() }",
    );
}

#[cfg(not(feature = "axum"))]
#[test]
fn extractors_and_options_without_feature_axum() {
    for extractor in ["LastEventId", "Option<LastEventId>", "Disconnect"] {
        let handler = format!(
            "async fn events(_: {extractor}) -> impl IntoResponse {{ response(stream::empty::<Event>()) }}
            fn app() -> Router {{ Router::new().route(\"/\", get(events)) }}"
        );
        assert_quoted(
            "error[E0277]: the trait bound `fn(…) -> … {events}: Handler<_, _>` is not satisfied",
            &handler,
        );
    }
    assert_quoted(
        "error[E0277]: the trait bound `tower_sse::StreamOptions: IntoResponseParts` is not satisfied",
        "async fn events() -> impl IntoResponse {
            (StreamOptions::new(), response(stream::empty::<Event>()))
        }",
    );
}

#[test]
fn items_that_are_not_events() {
    for item in ["1", "\"a\"", "String::new()", "Ok::<_, std::io::Error>(1)"] {
        let snippet = format!("fn events() {{ _ = response(stream::iter([{item}])); }}");
        let printed = assert_quoted("error[E0277]: `…` is not an event", &snippet);
        assert_contains(&printed, &["by `stream.map(Event::from)`", "by `stream.map(Json::new)`"]);
    }
    assert_quoted(
        "error[E0277]: the trait bound `MyError: std::error::Error` is not satisfied",
        "struct MyError;
        fn events() { _ = response(stream::iter([Ok::<_, MyError>(Event::new())])); }",
    );
}

#[test]
fn values_that_are_not_streams_of_events() {
    let axums = "stream::iter([axum::response::sse::Event::default()])";
    let of_axum = ["`axum::response::sse::Event` is not an event", "`axum::response::Sse`"];
    let not_a_stream = ["is not a stream of events", "`futures_util::stream::iter`"];
    for (value, texts) in [
        (axums, of_axum),
        ("vec![Event::new()]", not_a_stream),
        ("[Event::new()]", not_a_stream),
        ("[Event::new()].into_iter()", not_a_stream),
    ] {
        assert_error(&format!("fn events() {{ _ = response({value}); }}"), &texts);
    }
}

#[cfg(feature = "hub")]
#[test]
fn error_of_a_forgotten_resume_names_it() {
    let forgotten = "fn events(hub: &hub::Hub) { _ = response(hub.subscribe([\"news\"])); }";
    let remedy = "resume(last_event_id).response()";
    assert_error(forgotten, &["`Subscribe` is not a stream of events", remedy]);
    assert_eq!(compile(&forgotten.replace("])", "]).resume(None)")), "");

    let forgotten = "fn events(hub: &hub::Hub) { _ = hub.subscribe_to(\"news\").response(); }";
    assert_error(forgotten, &["can't make an event stream of `Subscribe`", remedy]);
    assert_eq!(compile(&forgotten.replace(".response", ".resume(None).response")), "");
}

#[cfg(all(feature = "hub", feature = "json"))]
#[test]
fn values_that_are_published_without_json() {
    for method in ["publish", "publish_now", "end"] {
        for value in ["Value", "&Value", "&vec![1]", "42"] {
            let snippet = format!(
                "struct Value;
                fn publish(hub: &hub::Hub) {{ _ = hub.{method}(\"a\", {value}); }}"
            );
            let error = "error[E0277]: `…` is not an event that can be published";
            let printed = assert_quoted(error, &snippet);
            let texts = ["by `Json::new(value)`", "`Event::new().event(\"name\").json(value)`"];
            assert_contains(&printed, &texts);
        }
    }
    let published = "fn publish(hub: &hub::Hub) { _ = hub.publish(\"a\", Json::new(42)); }";
    assert_eq!(compile(published), "");
}

#[cfg(feature = "hub")]
#[test]
fn one_topic_is_not_a_list_of_topics() {
    for topic in ["\"one\"", "String::new()", "&String::new()"] {
        let snippet = format!("fn events(hub: &hub::Hub) {{ _ = hub.subscribe({topic}); }}");
        let printed = assert_quoted("error[E0277]: `…` is not a list of topics", &snippet);
        assert_contains(&printed, &["by `hub.subscribe_to(topic)`"]);
        assert_eq!(compile(&snippet.replace("subscribe(", "subscribe_to(")), "");
    }
}

#[cfg(feature = "runs")]
#[test]
fn source_of_a_run_is_a_function_that_returns_a_stream() {
    let snippet = |method, source: &str| {
        format!(
            "fn start(runs: &runs::Runs, key: &runs::RunKey) {{
                let events = stream::empty::<Event>();
                _ = runs.{method}(key, None, {source});
            }}"
        )
    };
    for method in ["start", "replace"] {
        for source in ["events", "|| async { events }", "async || events", "async move { events }"]
        {
            let error = "error[E0277]: `…` is not a function that returns a stream of events";
            let printed = assert_quoted(error, &snippet(method, source));
            assert_contains(&printed, &["`|| stream`", "`Runs::start_with`"]);
        }
        assert_eq!(compile(&snippet(method, "|| events")), "");
        assert_eq!(compile(&snippet(method, "stream::empty::<Event>")), "");
    }
    // A mistake in the stream itself causes an error about the stream, not about the function.
    let numbers = "|| stream::iter([1])";
    assert_error(&snippet("start", numbers), &["`{integer}` is not an event"]);
    let local =
        "{ let shared = std::rc::Rc::new(1); move || events.map(move |event| event.id(*shared)) }";
    assert_error(&snippet("start", local), &["`Rc<i32>` cannot be sent between threads safely"]);
}

#[test]
fn borrowed_ids_and_names() {
    for borrows in ["Event::new().event(text.as_str())", "Event::new().id(text.as_str())"] {
        assert_quoted(
            "error[E0597]: `text` does not live long enough",
            &format!("fn event() -> Event {{ let text = String::new(); {borrows} }}"),
        );
        let borrows = borrows.replace(".as_str()", "");
        assert_quoted(
            "error[E0521]: borrowed data escapes outside of function",
            &format!("fn event(text: &str) -> Event {{ {borrows} }}"),
        );
    }
}

#[test]
fn data_that_is_not_text() {
    for value in ["42", "1.5", "Some(\"a\")", "format_args!(\"a\")"] {
        assert_quoted(
            "error[E0277]: the trait bound `String: From<…>` is not satisfied",
            &format!("fn event() {{ _ = Event::new().data({value}); }}"),
        );
    }
}

#[test]
fn names_and_ids_that_are_not_validated() {
    for (method, message) in [("event", "can't name an event"), ("id", "can't be an event's id")] {
        assert_error(
            &format!("fn event(text: String) {{ _ = Event::new().{method}(text); }}"),
            &[message, &format!("`event.try_{method}(text)?`")],
        );
    }
}

#[test]
fn stream_that_is_not_send_or_borrows_from_its_handler() {
    assert_quoted(
        "error[E0277]: `Rc<…>` cannot be sent between threads safely",
        "async fn events() -> impl IntoResponse {
            let shared = std::rc::Rc::new(1);
            response(stream::iter([0]).map(move |_| Event::new().id(*shared)))
        }",
    );
    assert_quoted(
        "error[E0515]: cannot return value referencing local variable `words`",
        "async fn events() -> impl IntoResponse {
            let words = vec![String::new()];
            response(stream::iter(words.iter().map(Event::from)))
        }",
    );
}

#[test]
fn layer_of_another_kind() {
    let snippet = BARE_STREAM.replace("SseLayer<_>", "SseLayer");
    let printed =
        assert_quoted("error[E0277]: `SseLayer` can't make an event stream of `…`", &snippet);
    assert_contains(&printed, &["it must be `SseLayer<marker::Events>`"]);
}
