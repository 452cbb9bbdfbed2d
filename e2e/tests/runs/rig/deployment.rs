//! One service, and three services that share their runs over Redis.

use super::redis_server::Server;
use super::*;

/// The grace of a shutdown, which no deployment begins.
const GRACE: Duration = Duration::from_secs(5);
const PROCESSES: usize = 3;

/// Services that a proxy asks in turn.
pub(crate) struct Deployment {
    services: Vec<Service>,
    addresses: Vec<SocketAddr>,
    /// Stopped when dropped.
    _redis: Option<Server>,
}

impl Deployment {
    /// Returns a deployment of one service and, where Redis is installed, one of services that
    /// share their runs.
    pub(crate) async fn all(pace: Pace) -> Vec<Self> {
        let alone = Service::new(pace, GRACE);
        let mut all = vec![Self::serve(vec![alone], None).await];
        if let Some(redis) = Server::start().await {
            let mut services = Vec::<Service>::new();
            for _ in 0..PROCESSES {
                let runs = Runs::connect(redis.redis().runs("runs")).await.unwrap();
                let calls = services.first().map(Service::counter).unwrap_or_default();
                services.push(Service::with(runs, calls, pace, GRACE));
            }
            all.push(Self::serve(services, Some(redis)).await);
        }
        all
    }

    async fn serve(services: Vec<Service>, redis: Option<Server>) -> Self {
        let mut addresses = Vec::new();
        for service in &services {
            addresses.push(serve_axum(service.app(CancellationToken::new())).await);
        }
        Self { services, addresses, _redis: redis }
    }

    /// Starts a proxy that sends each request to the next service.
    pub(crate) async fn proxy(&self, cuts: impl IntoIterator<Item = Cut>) -> Proxy {
        Proxy::start(self.addresses.clone(), cuts).await
    }

    pub(crate) fn calls(&self) -> usize {
        // All services have the same counter.
        self.services[0].calls()
    }

    /// Returns the number of services, as the output of a test shows it.
    pub(crate) fn name(&self) -> String {
        format!("{} process(es)", self.services.len())
    }
}
