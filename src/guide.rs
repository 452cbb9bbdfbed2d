//! Pages on the use of the crate: whole programs to begin with, production, other libraries, and
//! programs that misbehave.
//!
//! | page | for |
//! |---|---|
//! | [notifications] | a program: notifications for logged-in users, and a log-out |
//! | [runs_quickstart] | a program: answers of a language model that survive a reload |
//! | [mcp] | a program: an MCP server |
//! | [operating] | running event streams in production: a checklist, and what to watch |
//! | [placement] | ordering the layer among other layers |
//! | [clients] | how clients reconnect, disconnect and stop; page code, a watchdog |
//! | [authentication] | cookies, other origins, tickets; a user's topics |
//! | [proxies] | proxies, sockets and connections |
//! | [nginx], [haproxy], [caddy], [envoy] | tested configurations, with HTTP/2 |
//! | [load_balancers] | Google Cloud, AWS, Azure and Heroku |
//! | [kubernetes] | a manifest, ingresses, gateways and Istio |
//! | [compression] | compressing event streams, and what it costs |
//! | [limits] | limits, the memory of a stream, a hub in production |
//! | [performance] | speed and build time, compared with axum's `Sse` |
//! | [shutdown] | graceful shutdown, deployments |
//! | [errors] | errors of the source, cancellations, `Lagged` |
//! | [observing] | each metric and its alert, single streams in metrics, logs and traces |
//! | [upstreams] | forwarding the streams of another server |
//! | [coming_from] | moving from [axum's `Sse`](self::axum), [actix-web-lab](actix_web_lab), [warp], [poem] or [ASP.NET Core](aspnet_core) |
//! | [frameworks] | htmx, datastar and OpenAPI; leptos, dioxus, salvo and topcoat |
//! | [recipes] | choosing between a hub and a run, owners, storing answers |
//! | [runs_clients] | attaching client libraries to runs |
//! | [openai] | serving runs to clients of the OpenAI APIs |
//! | [runs_shutdown] | shutdowns in which answers complete, and restarts |
//! | [presence] | counting the streams of all processes |
//! | [troubleshooting] | programs that do not compile, or misbehave |
//!
//! For several processes over Redis, see
//! [its page on operation](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/operating/) and
//! [that for the operator of Redis](https://docs.rs/tower-sse-redis/latest/tower_sse_redis/running/).

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

/// Declares the page `docs/guide/$name.md`, whose code is that of a program which is tested elsewhere:
/// its files are not there when the code of a page is tested.
macro_rules! program {
    ($name:ident) => {
        #[cfg_attr(not(doctest), doc = include_str!(concat!("../docs/guide/", stringify!($name), ".md")))]
        pub mod $name {}
    };
}

program!(frameworks);
program!(mcp);
program!(notifications);
program!(runs_quickstart);

page!(actix_web_lab);
page!(aspnet_core, "json");
page!(authentication, "axum", "hub");
page!(axum);
page!(caddy);
page!(clients, "axum");
page!(coming_from);
page!(compression);
page!(envoy);
page!(errors);
page!(haproxy);
page!(kubernetes);
page!(limits);
page!(load_balancers);
page!(nginx);
page!(observing, "axum");
page!(openai, "axum", "runs");
page!(operating);
page!(performance);
page!(placement);
page!(poem);
page!(presence, "hub");
page!(proxies);
page!(recipes, "hub", "runs");
page!(runs_clients, "runs");
page!(runs_shutdown, "axum", "runs");
page!(shutdown);
page!(troubleshooting, "hub", "json");
page!(upstreams, "axum");
page!(warp, "axum");
