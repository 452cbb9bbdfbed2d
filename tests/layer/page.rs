//! The module for pages, as the crate serves it.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use tower_sse::page::{MODULE, module};

use crate::*;

#[test]
fn module_is_served_with_its_type_and_a_tag() {
    let response = module(&HeaderMap::new());
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/javascript; charset=utf-8");
    assert_eq!(response.headers()[CACHE_CONTROL], "no-cache");
    assert_eq!(response.body(), MODULE);
    assert!(MODULE.contains("export class EventStream "));
}

#[test]
fn copy_that_is_current_is_not_sent_again() {
    let tag = module(&HeaderMap::new()).headers()[ETAG].to_str().unwrap().to_owned();
    assert!(tag.len() > 10 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    for (tags, is_current) in [
        (tag.clone(), true),
        (format!("W/{tag}"), true),
        (format!("\"other\", W/{tag}"), true),
        ("*".to_owned(), true),
        ("\"other\"".to_owned(), false),
        (tag.replace('"', ""), false),
    ] {
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, tags.parse().unwrap())]);
        let response = module(&headers);
        let status = if is_current { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        assert_eq!(response.status(), status, "{tags}");
        assert_eq!(response.body().is_empty(), is_current, "{tags}");
        assert_eq!(response.headers()[ETAG], *tag, "{tags}");
    }
}
