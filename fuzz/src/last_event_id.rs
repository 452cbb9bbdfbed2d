use http::Uri;
use tower_sse::{LastEventId, hub::Hub};

use crate::*;

/// Any header, query or text gives either no id or an id without line breaks and U+0000. A hub
/// answers any id with gaps, with its own events, or with nothing.
pub fn last_event_id(data: &[u8]) {
    let mut ids = Vec::new();
    if let Ok(value) = HeaderValue::from_bytes(data) {
        let mut headers = HeaderMap::new();
        headers.insert(LastEventId::HEADER, value);
        ids.extend(LastEventId::from_headers(&headers));
    }
    if let Ok(query) = str::from_utf8(data)
        && let Ok(uri) = format!("/?{query}").parse::<Uri>()
    {
        ids.extend(LastEventId::from_query(&uri, &["lastEventId", "last_event_id"]));
    }
    if let Ok(text) = str::from_utf8(data) {
        ids.extend(LastEventId::try_from(text));
    }
    for id in ids {
        assert!(!id.as_str().contains(['\r', '\n', '\0']));
        in_runtime(resume(&id));
    }
}

async fn resume(last: &LastEventId) {
    let hub = Hub::new();
    let first = hub.publish_now("a", "one").expect("an open hub").id();
    hub.publish_now("a", "two").expect("an open hub");
    // The fuzzer cannot guess the hub's epoch, with which its ids begin, so `own` stands for it.
    let last = match last.as_str().strip_prefix("own") {
        Some(rest) => {
            let epoch = first.as_str().split_once('-').expect("an epoch").0;
            match LastEventId::try_from(format!("{epoch}{rest}")) {
                Ok(last) => last,
                Err(_) => return,
            }
        }
        None => last.clone(),
    };
    let mut subscription = hub.subscribe_to("a").recent(1).resume(last);
    let mut stream = Vec::new();
    while let Some(Some(item)) = subscription.next().now_or_never() {
        stream.extend_from_slice(item.as_bytes());
    }
    let events = naive::read(&stream).events;
    let data: Vec<_> = events.iter().filter(|(name, ..)| name == "message").collect();
    assert!(data.len() <= 2 && events.len() <= 4, "{events:?}");
    assert!(data.iter().all(|(_, data, _)| data == "one" || data == "two"));
}
