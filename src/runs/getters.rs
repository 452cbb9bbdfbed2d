/// Declares public getters: each returns the field of its name, whose type is `Copy`.
macro_rules! getters {
    ($($(#[$doc:meta])+ $field:ident: $type:ty,)+) => {$(
        $(#[$doc])+
        #[must_use]
        pub const fn $field(&self) -> $type {
            self.$field
        }
    )+};
}
