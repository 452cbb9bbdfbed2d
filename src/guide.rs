#![doc = include_str!("../docs/README.md")]

/// Declares the page `docs/guide/$name.md`. The page's code is tested here if the condition
/// `$tested` holds. `any()` never holds: the code of pages with `any()` is tested in `e2e/`,
/// because it's a whole program, or needs crates that no other test of this crate needs.
macro_rules! page {
    ($name:ident, $tested:meta) => {
        #[cfg_attr(
                            any(not(doctest), $tested),
                            doc = include_str!(concat!("../docs/guide/", stringify!($name), ".md"))
                        )]
        pub mod $name {}
    };
}

page!(assistant, any());
page!(frameworks, any());
page!(graphql, any());
page!(mcp, any());
page!(notifications, any());
page!(observing, any());
page!(serving, any());

page!(authentication, all(feature = "axum", feature = "hub"));
page!(clients, all(feature = "axum", feature = "hub"));
page!(clouds, all());
page!(coming_from, all(feature = "axum", feature = "hub", feature = "json"));
page!(errors, all());
page!(generated_clients, all());
page!(limits, all());
page!(nginx, all());
page!(operating, all());
page!(other_proxies, all());
page!(placement, all());
page!(proxies, all());
page!(runs_clients, all(feature = "axum", feature = "runs"));
page!(shutdown, all(feature = "axum", feature = "signal"));
page!(troubleshooting, all(feature = "hub", feature = "json"));
page!(upstreams, all(feature = "axum"));
