//! Pages on the use of the crate: in production, in place of other libraries, and when a program
//! misbehaves.
//!
//! | page | for |
//! |---|---|
//! | [operating] | running event streams in production: a checklist, and what to watch |
//! | [placement] | ordering the layer among other layers |
//! | [clients] | how clients reconnect, disconnect and stop |
//! | [proxies] | proxies, sockets and connections |
//! | [compression] | compressing event streams, and what it costs |
//! | [limits] | limits, the memory of a stream, a hub in production |
//! | [shutdown] | graceful shutdown, deployments, MCP servers |
//! | [errors] | errors of the source, cancellations, `Lagged` |
//! | [upstreams] | forwarding the streams of another server |
//! | [coming_from] | moving from [axum's `Sse`](self::axum), [actix-web-lab](actix_web_lab), [warp], [poem] or [ASP.NET Core](aspnet_core) |
//! | [recipes] | choosing between a hub and a run, owners, storing answers |
//! | [runs_clients] | attaching client libraries to runs |
//! | [openai] | serving runs to clients of the OpenAI APIs |
//! | [runs_shutdown] | shutdowns in which answers complete, and restarts |
//! | [presence] | counting the streams of all processes |
//! | [troubleshooting] | programs that do not compile, or misbehave |
//!
//! For several processes over Redis, see [`redis::operating`](crate::redis::operating) and
//! [`redis::running`](crate::redis::running).

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

page!(actix_web_lab);
page!(aspnet_core, "json");
page!(axum);
page!(clients, "axum");
page!(coming_from);
page!(compression);
page!(errors);
page!(limits);
page!(openai, "axum", "runs");
page!(operating);
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
