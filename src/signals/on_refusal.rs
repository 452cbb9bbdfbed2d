use std::sync::Arc;

/// A callback in a response's extensions, which a layer calls once it has refused the stream and
/// dropped its body. The source cannot learn it from the drop, which has other reasons too.
#[derive(Clone)]
pub(crate) struct OnRefusal(Arc<dyn Fn() + Send + Sync>);

impl OnRefusal {
    pub(crate) fn new(callback: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(callback))
    }

    pub(crate) fn call(&self) {
        (self.0)();
    }
}
