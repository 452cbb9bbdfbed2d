//! Logging macros that expand to nothing without feature `tracing`.

macro_rules! debug {
    ($($message:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::debug!($($message)+);
    }};
}

macro_rules! warn {
    ($($message:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::warn!($($message)+);
    }};
}
