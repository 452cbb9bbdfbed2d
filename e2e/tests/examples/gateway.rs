use crate::*;

/// Returns the answer to a request, and whether it is whole.
async fn ask(gateway: &Example, path: &str) -> (u16, String, bool) {
    let response = client::post(gateway.address, path, &[], "{}".to_owned()).await;
    let status = response.status().as_u16();
    let (mut body, mut text) = (response.into_body(), String::new());
    while let Some(frame) = soon(body.frame()).await {
        let Ok(frame) = frame else { return (status, text, false) };
        text += std::str::from_utf8(frame.data_ref().unwrap()).unwrap();
    }
    (status, text, true)
}

#[tokio::test]
async fn gateway_fails_over_redacts_and_bills_once() {
    let mut gateway = Example::start("gateway");
    let (status, text, is_whole) = ask(&gateway, "/v1/chat/completions").await;
    assert_eq!((status, is_whole), (200, true));
    assert!(!text.contains("overloaded"), "{text}");
    assert!(!text.contains("server") && text.contains(r#""content":"see "}}]}"#), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    let billed = gateway.lines.next().unwrap().unwrap();
    assert_eq!(billed, "billed 3 events of /v1/chat/completions: completed");
}

#[tokio::test]
async fn gateway_fails_an_answer_that_was_cut_and_bills_it() {
    let mut gateway = Example::start("gateway");
    let (status, text, is_whole) = ask(&gateway, "/cut").await;
    assert_eq!((status, is_whole), (200, false));
    assert_eq!(text.matches("data: ").count(), 2, "{text}");
    let billed = gateway.lines.next().unwrap().unwrap();
    assert_eq!(billed, "billed 2 events of /cut: stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_leaves_is_billed_for_what_was_sent() {
    let mut gateway = Example::start("gateway");
    let response = client::post(gateway.address, "/left", &[], "{}".to_owned()).await;
    let mut body = response.into_body();
    soon(body.frame()).await.unwrap().unwrap();
    drop(body);
    let billed = gateway.lines.next().unwrap().unwrap();
    assert!(billed.starts_with("billed ") && billed.ends_with(" events of /left: disconnected"));
}
