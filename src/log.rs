//! Logging macros that expand to nothing without the `tracing` feature, and the names of variants
//! in logs and metrics.

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

/// Defines a public enum with a name in snake case for each variant.
#[doc(hidden)]
#[macro_export]
macro_rules! named_enum {
    ($(#[$attribute:meta])* pub enum $type:ident {
        $($(#[$of_variant:meta])* $variant:ident = $name:literal,)+
    }) => {
        $(#[$attribute])*
        pub enum $type {
            $($(#[$of_variant])* $variant,)+
        }

        impl $type {
            /// All variants, in the order of their declaration.
            #[allow(dead_code)] // some enums have no counters
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns the name of the variant in snake case, for logs and metric labels.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}
