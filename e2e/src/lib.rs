//! The code of those pages of the guide that needs axum-server or prometheus-client, as doctests:
//! the crate's own tests are built without them.
#![doc(test(attr(deny(warnings), allow(dead_code, unused_imports, unused_variables))))]

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/observing.md")]
struct Observing;

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/serving.md")]
struct Serving;
