/// The supertrait of the public traits that only this crate implements.
pub trait Sealed {}
