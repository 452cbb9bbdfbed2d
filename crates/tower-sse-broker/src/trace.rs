//! Logging macros that expand to nothing without the `tracing` feature of the crate that uses them.

#[doc(hidden)]
#[macro_export]
macro_rules! debug {
    ($($message:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::debug!($($message)+);
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! warn {
    ($($message:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::warn!($($message)+);
    }};
}
