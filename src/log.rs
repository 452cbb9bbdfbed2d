//! Logging macros that expand to nothing without the `tracing` feature.

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

#[cfg(feature = "hub")]
macro_rules! error {
    ($($message:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::error!($($message)+);
    }};
}
