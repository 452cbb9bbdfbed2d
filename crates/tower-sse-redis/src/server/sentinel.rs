use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, ConnectionAddr};
use tokio::task::JoinSet;

use super::servers::{ACTION, Failures, dial, redirect};
use crate::{Error, ErrorKind};

/// Asks all Sentinels at once for the primary's address, and returns a client for the first one
/// that arrives. The host of `client` is the primary's name, and its other settings stay.
pub(crate) async fn find_primary(
    sentinels: &[Client],
    client: &Client,
    timeout: Duration,
    server_name: Option<&str>,
) -> Result<Client, Error> {
    let (ConnectionAddr::Tcp(primary, _) | ConnectionAddr::TcpTls { host: primary, .. }) =
        client.get_connection_info().addr().clone()
    else {
        return Err(Error::new(ACTION, "the URL has no host, which is the primary's name"));
    };
    // Those of the other connections can have more options, which only servers understand.
    let timeouts = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout));
    let mut attempts = JoinSet::new();
    for sentinel in sentinels {
        let (sentinel, address) = (sentinel.clone(), sentinel.get_connection_info().addr());
        let address = address.to_string();
        let (config, primary) = (timeouts.clone(), primary.clone());
        let server_name = server_name.map(str::to_owned);
        attempts.spawn(async move {
            let asked = ask(&sentinel, &primary, &config, server_name.as_deref()).await;
            asked.map_err(|error| (address, error))
        });
    }
    let mut failures = Failures::default();
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok((host, port))) => {
                if let Some(found) = redirect(client, &format!("{host}:{port}")) {
                    return Ok(found);
                }
            }
            Ok(Err(failure)) => failures.0.push(failure),
            // The runtime shuts down.
            Err(_) => {}
        }
    }
    Err(failures.into_error("no Sentinel names a primary"))
}

/// Returns the host and the port that a Sentinel returns.
async fn ask(
    sentinel: &Client,
    primary: &str,
    config: &AsyncConnectionConfig,
    server_name: Option<&str>,
) -> Result<(String, String), Error> {
    let mut connection = dial(sentinel, config, server_name).await?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(primary);
    let answer = connection.send_packed_command(&command).await;
    let answer: Option<(String, String)> = answer
        .and_then(|answer| Ok(redis::from_redis_value(answer.extract_error()?)?))
        .map_err(|error| Error::new("ask Sentinel", error))?;
    let unknown = || format!("Sentinel knows no primary named `{primary}`");
    answer.ok_or_else(|| Error::with_kind(ACTION, ErrorKind::Other, unknown()))
}
