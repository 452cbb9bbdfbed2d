use http::{StatusCode, header};
use http_body_util::Full;

use crate::*;

/// Whatever `Accept`, `Cache-Control` and `Content-Type` are, a second layer doesn't change the
/// response head. The head of an event stream has `no-transform`.
pub fn headers(data: &[u8]) {
    let mut values =
        pieces(data).into_iter().filter_map(|piece| HeaderValue::from_bytes(piece).ok());
    let [accept, cache_control, own_cache_control, own_type] = [(); 4].map(|()| values.next());
    let mut request = Request::new(());
    set(request.headers_mut(), header::ACCEPT, accept);
    set(request.headers_mut(), header::CACHE_CONTROL, cache_control);
    let mut response = Response::new(Full::new(Bytes::from_static(b"data: x\n\n")));
    set(response.headers_mut(), header::CACHE_CONTROL, own_cache_control);
    let event_stream = HeaderValue::from_static("text/event-stream");
    set(response.headers_mut(), header::CONTENT_TYPE, Some(own_type.unwrap_or(event_stream)));

    let layer: SseLayer = SseLayer::new().require_accept(true);
    let once = answer::answer_to(request.clone(), &layer, response.clone());
    let within = |request| answer::answer_to(request, &layer, response);
    let twice = answer::answer_by(request, &layer, within);
    let (status, headers) = (once.status(), once.headers());
    assert_eq!((status, headers), (twice.status(), twice.headers()));
    if status == StatusCode::OK
        && headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "text/event-stream")
    {
        let cache_control: Vec<_> = headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(|directive| directive.trim_ascii().to_ascii_lowercase())
            .collect();
        let no_transform = |directive: &&Vec<u8>| *directive == b"no-transform";
        assert!(cache_control.iter().filter(no_transform).count() >= 1, "{headers:?}");
    }
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}
