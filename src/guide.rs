//! The crate's guide: whole programs to start from, operation in production, moving from other
//! libraries, and troubleshooting.
//!
//! | page | for |
//! |---|---|
//! | [notifications] | notifications for logged-in users, with log-out (a whole program) |
//! | [assistant] | a language model's answers, through its silence, reloads and deployments (a whole program) |
//! | [mcp] | an MCP server (a whole program) |
//! | [agents] | an AG-UI agent whose answers survive its process, and an A2A server (two programs) |
//! | [graphql] | GraphQL subscriptions, on hyper or axum (a whole program) |
//! | [serving] | setting up a server: `TCP_NODELAY`, a deadline, TLS, metrics, many clients |
//! | [operating] | running event streams in production: a checklist |
//! | [placement] | the layer's place among other layers |
//! | [clients] | how clients reconnect, disconnect and stop for good; JavaScript with a watchdog |
//! | [authentication] | cookies, tickets and other origins; the topics of each user |
//! | [proxies] | proxies in general: timeouts, buffers and HTTP/2; options of TCP sockets |
//! | [nginx], [other_proxies] | tested configurations of nginx, HAProxy, Caddy and Envoy, with HTTP/2 |
//! | [load_balancers] | Google Cloud, AWS, Azure and Heroku |
//! | [kubernetes] | a manifest, ingresses, gateways and Istio |
//! | [limits] | limiting the number of streams; their memory and speed; a hub in production |
//! | [shutdown] | graceful shutdown, deployments, time for answers to finish |
//! | [errors] | errors from the source, cancellations, `Lagged` |
//! | [observing] | metrics, alerts, logs and traces |
//! | [upstreams] | forwarding the streams of another server, and compressing streams |
//! | [coming_from] | moving from axum's `Sse`, actix-web, warp, poem, ASP.NET Core, Go or Spring |
//! | [frameworks] | htmx, datastar, OpenAPI and salvo; leptos, dioxus and topcoat |
//! | [runs_clients] | attaching client libraries to runs: AI SDK, LangGraph, OpenAI's APIs |
//! | [troubleshooting] | programs that do not compile, or misbehave |
//!
//! If Redis connects your processes, see [operating
//! `tower-sse-redis`](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/operating/). The page
//! [running](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/running/) is for the operator
//! of the Redis server.

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

program!(agents);
program!(assistant);
program!(frameworks);
program!(graphql);
program!(mcp);
program!(notifications);
program!(observing);
program!(serving);

page!(authentication, "axum", "hub");
page!(clients, "axum");
page!(coming_from, "axum", "json");
page!(errors);
page!(kubernetes);
page!(limits);
page!(load_balancers);
page!(nginx);
page!(operating);
page!(other_proxies);
page!(placement);
page!(proxies);
page!(runs_clients, "axum", "runs");
page!(shutdown, "axum", "runs");
page!(troubleshooting, "hub", "json");
page!(upstreams, "axum");
