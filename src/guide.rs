#![doc = include_str!("../docs/README.md")]

/// Declares the page `docs/guide/$name.md`. The tests of its code need the features.
macro_rules! page {
    ($name:ident $(, $feature:literal)*) => {
        #[cfg_attr(
            any(not(doctest), all($(feature = $feature),*)),
            doc = include_str!(concat!("../docs/guide/", stringify!($name), ".md"))
        )]
        pub mod $name {}
    };
}

/// Declares the page `docs/guide/$name.md`, whose code `e2e/` tests: the files of a program, or code
/// that needs crates which no other test of this crate needs.
macro_rules! program {
    ($name:ident) => {
        #[cfg_attr(not(doctest), doc = include_str!(concat!("../docs/guide/", stringify!($name), ".md")))]
        pub mod $name {}
    };
}

program!(assistant);
program!(frameworks);
program!(graphql);
program!(mcp);
program!(notifications);
program!(observing);
program!(serving);

page!(authentication, "axum", "hub");
page!(clients, "axum", "hub");
page!(clouds);
page!(coming_from, "axum", "hub", "json");
page!(errors);
page!(limits);
page!(nginx);
page!(operating);
page!(other_proxies);
page!(placement);
page!(proxies);
page!(runs_clients, "axum", "runs");
page!(shutdown, "axum", "runs");
page!(troubleshooting, "hub", "json");
page!(upstreams, "axum");
