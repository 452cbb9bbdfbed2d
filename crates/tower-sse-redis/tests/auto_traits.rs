//! The auto traits of public types: a change breaks programs that rely on them.

use std::marker::PhantomData;

use tower_sse_redis::LogStats;
use tower_sse_redis::{BrokerStats, Credentials, Error, ErrorKind, Health, Redis, RedisBroker};

const fn shared<T: Send + Sync + Unpin>() {}
const fn cloned<T: Send + Sync + Unpin + Clone>() {}

// The compiler checks these bounds.
const _: () = {
    cloned::<Redis>();
    cloned::<Credentials>();
    cloned::<Health>();
    cloned::<BrokerStats>();
    cloned::<LogStats>();
    cloned::<ErrorKind>();
    shared::<Error>();
    shared::<RedisBroker>();
    #[cfg(feature = "runs")]
    shared::<tower_sse_redis::RedisRuns>();
    #[cfg(feature = "tls")]
    cloned::<tower_sse_redis::Tls>();
};

// A broker is for one hub, and a store for one set of runs, because a `Health` describes only one.
#[test]
fn broker_and_store_cannot_be_cloned() {
    trait Probe {
        fn is_clone(&self) -> bool {
            false
        }
    }
    impl<T> Probe for &PhantomData<T> {}
    trait CloneProbe {
        fn is_clone(&self) -> bool {
            true
        }
    }
    impl<T: Clone> CloneProbe for PhantomData<T> {}

    assert!(PhantomData::<Redis>.is_clone());
    assert!(!(&PhantomData::<RedisBroker>).is_clone());
    #[cfg(feature = "runs")]
    assert!(!(&PhantomData::<tower_sse_redis::RedisRuns>).is_clone());
}
