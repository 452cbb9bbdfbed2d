//! Doctests of the guide's pages whose code needs axum-server or prometheus-client. The crate's own
//! tests are built without these two.
#![doc(test(attr(deny(warnings), allow(dead_code, unused_imports, unused_variables))))]

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/observing.md")]
struct Observing;

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/serving.md")]
struct Serving;
